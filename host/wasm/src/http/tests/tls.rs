//! TLS and HTTP/2: certificates are checked against the name, and the protocol is what both sides can.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::kit::*;
use crate::http::*;

/// A server with a certificate for `secure.test`, and that certificate.
async fn secure(alpn: &[&str]) -> (Server, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["secure.test".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let speaks = Speaks::Tls(TlsAcceptor::from(Arc::new(config)));
    let server = Server::speaking(speaks, |request: Request<Incoming>| async move {
        text(200, format!("{:?} {}", request.version(), request.uri().path()))
    })
    .await;
    (server, certificate)
}

fn trusting(roots: Vec<CertificateDer<'static>>) -> HttpClient {
    let resolver = Scripted::new(&[&["127.0.0.1"]]);
    HttpClient::new(HttpClientOptions { resolver, extra_roots: roots, ..HttpClientOptions::default() })
        .unwrap()
}

#[tokio::test]
async fn the_protocol_is_negotiated() {
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let (server, certificate) = secure(alpn).await;
        let client = trusting(vec![certificate]);
        let url = format!("https://secure.test:{}/a", server.address.port());
        let grants = reaching("secure.test");
        for _ in 0..3 {
            assert_eq!(get(&client, &grants, &url).await.unwrap(), (200, format!("{version:?} /a")));
        }
        assert_eq!(server.accepted(), 1, "{version:?}");
    }
}

#[tokio::test]
async fn a_wrong_name_or_an_unknown_authority_is_no_connection() {
    let (server, certificate) = secure(&[]).await;
    let port = server.address.port();
    let (known, unknown) = (trusting(vec![certificate]), trusting(Vec::new()));
    let grants = reaching("127.0.0.1");
    let table = [
        (&known, format!("https://other.test:{port}/"), "not valid for name"),
        (&known, format!("https://127.0.0.1:{port}/"), "not valid for name"),
        (&unknown, format!("https://secure.test:{port}/"), "invalid peer certificate"),
    ];
    for (client, url, part) in table {
        let error = get(client, &grants, &url).await.unwrap_err();
        assert!(
            matches!(&error, HttpError::Connect { problem, .. } if problem.contains(part)),
            "{url}: {error:?}"
        );
    }
}

#[tokio::test]
async fn grpc_without_tls_speaks_http_2_with_trailers() {
    let server = Server::speaking(Speaks::Http2, |request: Request<Incoming>| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers()["te"], "trailers");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let frames = [Frame::data(body), Frame::trailers(trailers)];
        Response::new(StreamBody::new(futures::stream::iter(frames).map(Ok)).boxed_unsync())
    })
    .await;
    let headers = [("content-type", "application/grpc+proto"), ("te", "trailers")];
    let mut request = OutRequest::parse("POST", server.url("/pkg.Service/Call"), headers).unwrap();
    request.body = Bytes::from_static(b"\0\0\0\0\x02hi").into();
    let mut response = client().send(&reaching("127.0.0.1"), request, budget()).await.unwrap();
    assert_eq!(response.body.read_to_end().await.unwrap(), &b"\0\0\0\0\x02hi"[..]);
    assert_eq!(response.body.trailers()["grpc-status"], "0");
}
