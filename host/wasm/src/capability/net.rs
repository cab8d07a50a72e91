//! `net`: streams to named peers, with TLS on the host's side, and datagrams (`extra` of a peer is `{"transport": "udp"}`).

use std::time::Duration;

use serde_json::Value;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::v0_1::net::{Host, HostConnection, NetError, Peer as WitPeer};
use crate::grants::Transport;
use crate::net::{NetFailure, NetStream, Peer};
use crate::state::GuestState;

/// What a call uses of `net`.
#[derive(Debug, Default)]
pub(crate) struct NetUse {
    connections: u32,
    bytes: u64,
}

/// A connection that a guest holds.
pub struct Connection(NetStream);

impl Host for GuestState {
    async fn connect(
        &mut self,
        target: WitPeer,
    ) -> Result<std::result::Result<Resource<Connection>, NetError>> {
        self.enter()?;
        match self.open(target).await {
            Ok(stream) => Ok(Ok(self.table.push(Connection(stream))?)),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl HostConnection for GuestState {
    async fn read(
        &mut self,
        connection: Resource<Connection>,
        max: u32,
        timeout_ms: Option<u32>,
    ) -> Result<std::result::Result<Option<Vec<u8>>, NetError>> {
        self.enter()?;
        let limit = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let read = self.table.get_mut(&connection)?.0.read(max as usize, limit).await;
        Ok(read.map_err(NetError::from).and_then(|bytes| {
            self.count(bytes.as_ref().map_or(0, Vec::len))?;
            Ok(bytes)
        }))
    }

    async fn write(
        &mut self,
        connection: Resource<Connection>,
        data: Vec<u8>,
    ) -> Result<std::result::Result<(), NetError>> {
        self.enter()?;
        if let Err(error) = self.count(data.len()) {
            return Ok(Err(error));
        }
        Ok(self.table.get_mut(&connection)?.0.write(&data).await.map_err(NetError::from))
    }

    async fn finish(
        &mut self,
        connection: Resource<Connection>,
    ) -> Result<std::result::Result<(), NetError>> {
        self.enter()?;
        Ok(self.table.get_mut(&connection)?.0.finish().await.map_err(NetError::from))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl GuestState {
    async fn open(&mut self, target: WitPeer) -> std::result::Result<NetStream, NetError> {
        let WitPeer { host, port, tls, timeout_ms, extra } = target;
        let transport = transport(&extra)?;
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| other("bad_peer", "a port is 1 to 65535"))?;
        let peer = Peer {
            transport,
            host,
            port,
            tls,
            timeout: timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        };
        self.call.net.connections += 1;
        let most = self.identity.limits.net_connections;
        if self.call.net.connections > most {
            return Err(self.limit("net_connections", u64::from(most)));
        }
        let stream = self.identity.services.net.connect(&self.identity.grants.get(), &peer).await?;
        self.http_budget().record_contact(&format!("{}:{port}", peer.host));
        Ok(stream)
    }

    fn count(&mut self, bytes: usize) -> std::result::Result<(), NetError> {
        self.call.net.bytes += bytes as u64;
        let most = self.identity.limits.net_bytes;
        if self.call.net.bytes > most { Err(self.limit("net_bytes", most)) } else { Ok(()) }
    }

    fn limit(&self, key: &str, most: u64) -> NetError {
        let name = &self.identity.name;
        other("net_limit", &format!("the limit plugins.{name}.limits.{key} is {most}"))
    }
}

fn transport(extra: &str) -> std::result::Result<Transport, NetError> {
    let extra: Value =
        if extra.is_empty() { Value::Null } else { serde_json::from_str(extra).unwrap_or_default() };
    match extra.get("transport").map(Value::as_str) {
        None | Some(Some("tcp")) => Ok(Transport::Tcp),
        Some(Some("udp")) => Ok(Transport::Udp),
        Some(_) => Err(other("bad_peer", "`transport` in `extra` is \"tcp\" or \"udp\"")),
    }
}

fn other(code: &str, message: &str) -> NetError {
    NetError::Other(serde_json::json!({"code": code, "message": message}).to_string())
}

impl From<NetFailure> for NetError {
    fn from(failure: NetFailure) -> Self {
        let text = failure.to_string();
        match failure {
            NetFailure::Denied(_) => Self::Denied(text),
            NetFailure::Prohibited(_) => Self::ProhibitedAddress(text),
            NetFailure::Timeout(_) => Self::Timeout(text),
            NetFailure::Connect(_) => Self::Connect(text),
            NetFailure::Closed => Self::Closed,
        }
    }
}
