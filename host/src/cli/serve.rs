//! `apflow serve`: the server. Its first line on standard output says where it listens; logs go to standard error; an
//! interrupt or a termination signal stops it in good order.

use std::net::SocketAddr;
use std::time::Duration;

use apflow_host::Host;
use apflow_host::config::ServerConfig;
use apflow_server::ServerOptions;
use tokio::net::TcpListener;
use toml::Value;

use super::errors::{Exit, Failure};
use super::options::{HostArgs, start_logging};
use super::output::print_text;
use super::signals::Signals;

/// Flags of `apflow serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one [default: 8000]
    #[arg(long, short, value_name = "PORT")]
    port: Option<u16>,
    #[command(flatten)]
    common: HostArgs,
}

/// Serves until told to stop.
pub async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let mut flags = Vec::new();
    if let Some(host) = args.host {
        flags.push(("server.host", Value::String(host), "--host"));
    }
    if let Some(port) = args.port {
        flags.push(("server.port", Value::Integer(port.into()), "--port"));
    }
    let loaded = args.common.load(flags)?;
    start_logging(&loaded, None);
    let server = loaded.config.server.clone();
    // Before the database, so that a port that is taken changes nothing.
    let (listener, address) = listen(&server).await?;
    let mut signals = Signals::register()?;
    let host = Host::builder().config(loaded.config).start().await?;
    let url = format!("http://{address}");
    host.announce(&url);
    print_text(&format!("apflow {} listens on {url}", env!("CARGO_PKG_VERSION")));
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the server is reachable from other machines and asks for no authentication");
    }
    let router = apflow_server::router(host.engine().clone(), options(&server));
    let stop = async move {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping");
    };
    let served = apflow_server::serve(listener, router, stop).await;
    host.stop().await;
    served.map_err(|error| Failure::missing("server_failed", format!("The server stopped: {error}")))?;
    tracing::info!("stopped");
    Ok(Exit::Success)
}

fn options(server: &ServerConfig) -> ServerOptions {
    ServerOptions {
        max_body_bytes: server.max_body_bytes,
        body_timeout: Duration::from_millis(server.body_timeout_ms.into()),
        max_batch: server.max_batch,
        max_streams: server.max_streams,
        keep_alive: Duration::from_millis(server.keep_alive_ms.into()),
        allowed_origins: server.allowed_origins.clone(),
    }
}

async fn listen(server: &ServerConfig) -> Result<(TcpListener, SocketAddr), Failure> {
    let (host, port) = (server.host.trim_matches(['[', ']']), server.port);
    let bound = async {
        let listener = TcpListener::bind((host, port)).await?;
        let address = listener.local_addr()?;
        Ok::<_, std::io::Error>((listener, address))
    };
    bound.await.map_err(|error| {
        let message = format!(
            "Cannot listen on {host}:{port}: {error}. Choose another with --host and --port (0 takes a free port)"
        );
        Failure::missing("address_unavailable", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_configuration_and_server_are_the_same() {
        let (ours, theirs) = (options(&ServerConfig::default()), ServerOptions::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }
}
