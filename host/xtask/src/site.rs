//! A small HTTP server for examples: the files of one folder, on a free port of this machine, until it is dropped.
//! Only for trying things out; nothing else may use it. The port is not known before it runs, so whatever an example
//! says about the site's own address is filled in here: in the pages, and by `example.rs` in the tree.

use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tiny_http::{Header, Method, Request, Response, Server};

/// Puts a site's address into a text: `{{site}}` is the whole of it, `{{site-authority}}` host and port alone, which is
/// what grants name.
pub fn fill_in(text: &str, url: &str) -> String {
    let authority = url.strip_prefix("http://").unwrap_or(url);
    text.replace("{{site}}", url).replace("{{site-authority}}", authority)
}

/// A running server.
pub struct Site {
    /// Where it is: `http://127.0.0.1:<port>`.
    pub url: String,
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
}

impl Site {
    /// Serves the files in `folder`.
    pub fn start(folder: &Path) -> Result<Self> {
        let server =
            Server::http("127.0.0.1:0").map_err(|error| anyhow!("cannot serve the site: {error}"))?;
        let port = server.server_addr().to_ip().context("a TCP address")?.port();
        let url = format!("http://127.0.0.1:{port}");
        let server = Arc::new(server);
        let (requests, pages) = (Arc::clone(&server), Pages { folder: folder.to_owned(), url: url.clone() });
        let thread = std::thread::spawn(move || {
            for request in requests.incoming_requests() {
                // A client that went away is no concern of the others.
                let _ = pages.answer(request);
            }
        });
        Ok(Self { url, server, thread: Some(thread) })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Pages {
    folder: PathBuf,
    url: String,
}

impl Pages {
    fn answer(&self, request: Request) -> std::io::Result<()> {
        if *request.method() != Method::Get && *request.method() != Method::Head {
            return request.respond(Response::from_string("only GET and HEAD").with_status_code(405));
        }
        match file_of(&self.folder, request.url()).and_then(|path| Some((self.read(&path)?, path))) {
            None => request.respond(Response::from_string("there is no such page").with_status_code(404)),
            Some((page, path)) => request.respond(Response::from_data(page).with_header(content_type(&path))),
        }
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let bytes = fs::read(path).ok()?;
        // What is not text is served as it is.
        Some(match String::from_utf8(bytes) {
            Ok(text) => fill_in(&text, &self.url).into_bytes(),
            Err(binary) => binary.into_bytes(),
        })
    }
}

// None for whatever would lead out of the folder.
fn file_of(folder: &Path, url: &str) -> Option<PathBuf> {
    let path = Path::new(url.split(['?', '#']).next()?.trim_start_matches('/'));
    let stays_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    let file = folder.join(path);
    stays_inside.then(|| if file.is_dir() { file.join("index.html") } else { file })
}

fn content_type(path: &Path) -> Header {
    let kind = match path.extension().and_then(|ext| ext.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("txt" | "md" | "csv") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    Header { field: "Content-Type".parse().expect("a header's name"), value: kind.parse().expect("ASCII") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn get(site: &Site, path: &str) -> String {
        let address = site.url.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn serves_its_folder_and_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("site")).unwrap();
        fs::write(dir.path().join("site/data.json"), "{\"a\":1}").unwrap();
        fs::write(dir.path().join("site/index.html"), "<p>hello").unwrap();
        fs::write(dir.path().join("site/links.txt"), "{{site}}/a on {{site-authority}}").unwrap();
        fs::write(dir.path().join("site/bytes"), [0xff, 0x00]).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        let site = Site::start(&dir.path().join("site")).unwrap();
        let data = get(&site, "/data.json?x=1");
        assert!(data.starts_with("HTTP/1.1 200") && data.ends_with("{\"a\":1}"), "{data}");
        assert!(data.contains("Content-Type: application/json"), "{data}");
        assert!(get(&site, "/").ends_with("<p>hello"));
        let authority = site.url.strip_prefix("http://").unwrap();
        assert!(get(&site, "/links.txt").ends_with(&format!("http://{authority}/a on {authority}")));
        assert!(get(&site, "/bytes").contains("Content-Length: 2\r\n"));
        for path in ["/none", "/../secret", "//etc/hostname", "/a/../../secret"] {
            assert!(get(&site, path).starts_with("HTTP/1.1 404"), "{path}");
        }
    }
}
