//! Sends datagrams through the host's `net` interface, where each `write` of a peer with `{"transport": "udp"}` is one.

use apflow_sdk::Failure;

use crate::settings::Settings;

/// Sends all of them.
#[cfg(target_family = "wasm")]
pub fn send(settings: &Settings, datagrams: &[Vec<u8>]) -> Result<(), Failure> {
    let peer = net::Peer {
        host: settings.host.clone(),
        port: settings.port.into(),
        tls: false,
        timeout_ms: Some(5_000),
        extra: r#"{"transport":"udp"}"#.to_owned(),
    };
    let connection = net::connect(&peer).map_err(failure)?;
    datagrams.iter().try_for_each(|datagram| connection.write(datagram).map_err(failure))
}

/// Outside a component there is no host.
#[cfg(not(target_family = "wasm"))]
pub fn send(_: &Settings, _: &[Vec<u8>]) -> Result<(), Failure> {
    Err(Failure::permanent("no_host", "datagrams are sent by a host, and there is none here"))
}

#[cfg(target_family = "wasm")]
fn failure(error: net::NetError) -> Failure {
    match error {
        net::NetError::Denied(text) => Failure::permanent("net_denied", text),
        net::NetError::ProhibitedAddress(text) => Failure::permanent("net_prohibited_address", text),
        net::NetError::Timeout(text) => Failure::retryable("net_timeout", text, None),
        net::NetError::Connect(text) => Failure::retryable("net_connect", text, None),
        net::NetError::Closed => Failure::retryable("net_closed", "the agent's port is closed", None),
        net::NetError::Other(json) => Failure::retryable("net_failed", json, None),
    }
}

#[cfg(target_family = "wasm")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "package apflow:dogstatsd; world guest { import apflow:plugin/net@0.1.0; }",
        generate_all,
    });
}
#[cfg(target_family = "wasm")]
use bindings::apflow::plugin::net;
