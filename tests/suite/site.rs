//! Small HTTP servers on loopback for tests, gone with the runtime of the test that started them.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// Serves what `answer` says; gives `http://127.0.0.1:port`.
pub async fn serve<A>(answer: A) -> String
where
    A: Fn(&str) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    url
}

/// Serves the files of a folder, with `{{site}}` in them replaced by the address.
pub async fn site(folder: &Path) -> String {
    let folder = folder.to_owned();
    let url = Arc::new(std::sync::OnceLock::<String>::new());
    let own = Arc::clone(&url);
    let address =
        serve(move |path| match std::fs::read_to_string(folder.join(path.trim_start_matches('/'))) {
            Err(_) => Response::builder().status(404).body(Full::default()).unwrap(),
            Ok(text) => {
                let text = text.replace("{{site}}", own.get().unwrap());
                Response::builder()
                    .header("content-type", "application/json")
                    .body(Full::new(text.into()))
                    .unwrap()
            }
        })
        .await;
    url.set(address.clone()).unwrap();
    address
}
