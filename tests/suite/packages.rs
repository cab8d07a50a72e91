//! Packages from a real OCI registry, a server of files and folders: installed, updated, held, signed, refused; and what a
//! failed installation leaves, which is what was there.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{PATIENCE, Server, Setup, binary, shipped};
use crate::hostile::copy_folder;

/// A folder to run commands in, with `apflow.toml` and `plugins`.
struct Place {
    folder: TempDir,
}

/// How a command ended.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {}", self.out))
    }

    /// It was refused with that stable code.
    fn refused(&self, code: &str) {
        assert!(
            self.code != 0 && self.err.contains(&format!("({code})")),
            "{code}: {}{}",
            self.out,
            self.err
        );
    }
}

impl Place {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        let config = format!("[sandbox]\nfolders = [\"plugins\"]\nbundled = false\n{config}");
        std::fs::write(folder.path().join("apflow.toml"), config).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `apflow plugin ARGS --output json`.
    fn plugin(&self, args: &[&str]) -> Ended {
        let mut command = Command::new(binary());
        command.arg("plugin").args(args).args(["--output", "json"]).current_dir(self.folder.path());
        ended(&mut command)
    }

    /// A version of the smallest plugin, as its author would have it in a folder.
    fn package(&self, version: &str, requests: &str) -> PathBuf {
        let folder = self.path(&format!("source-{version}/noop_executor"));
        copy_folder(&shipped().join("noop_executor"), &folder);
        let manifest = std::fs::read_to_string(folder.join("plugin.toml")).unwrap();
        let manifest = manifest.replace("version = \"0.1.0\"", &format!("version = \"{version}\""));
        std::fs::write(folder.join("plugin.toml"), format!("{manifest}\n{requests}\n")).unwrap();
        let mut component =
            std::fs::OpenOptions::new().append(true).open(folder.join("noop_executor.wasm")).unwrap();
        // A custom section: other bytes, same behaviour.
        let text = version.as_bytes();
        let head = [0, u8::try_from(text.len()).unwrap() + 2, 1, b'v'];
        component.write_all(&[&head[..], text].concat()).unwrap();
        folder
    }

    /// The files of the plugins folder with their bytes, but for what begins with a dot.
    fn installed(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path("plugins")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.clone(), std::fs::read(path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

fn ended(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Debian's registry, with storage of its own; killed when dropped.
struct Registry {
    child: Child,
    host: String,
    _storage: TempDir,
}

impl Registry {
    fn start() -> Self {
        let storage = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{host}\"}}\n",
            storage.path().display()
        );
        std::fs::write(storage.path().join("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command
            .arg("serve")
            .arg(storage.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("docker-registry is missing: apt-get install docker-registry");
        let registry = Self { child, host, _storage: storage };
        let begun = std::time::Instant::now();
        while TcpStream::connect(&registry.host).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the registry does not start");
            std::thread::yield_now();
        }
        registry
    }

    fn config(&self) -> String {
        format!("[packages]\nplain_http = [\"{}\"]\n", self.host)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a path is answered with.
#[derive(Clone)]
enum Page {
    Whole(Vec<u8>),
    /// Half of the bytes, and then nothing more.
    CutOff(Vec<u8>),
    Redirect(String),
}

/// Files over HTTP, from a thread that ends with the test.
struct Files {
    host: String,
    pages: Arc<Mutex<HashMap<String, Page>>>,
}

impl Files {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let pages: Arc<Mutex<HashMap<String, Page>>> = Arc::default();
        let shared = Arc::clone(&pages);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(stream, &shared);
            }
        });
        Self { host, pages }
    }

    fn put(&self, name: &str, page: Page) -> String {
        self.pages.lock().unwrap().insert(format!("/{name}"), page);
        format!("http://{}/{name}", self.host)
    }
}

fn answer(mut stream: TcpStream, pages: &Mutex<HashMap<String, Page>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    for _ in lines.take_while(|line| !line.is_empty()) {}
    let name = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let page = pages.lock().unwrap().get(&name).cloned();
    let (status, more, body, most) = match page {
        Some(Page::Whole(body)) => ("200 OK", String::new(), body, usize::MAX),
        Some(Page::CutOff(body)) => {
            let half = body.len() / 2;
            ("200 OK", String::new(), body, half)
        }
        Some(Page::Redirect(to)) => ("302 Found", format!("location: {to}\r\n"), Vec::new(), 0),
        None => ("404 Not Found", String::new(), Vec::new(), 0),
    };
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{more}connection: close\r\n\r\n", body.len());
    // The other side may have heard enough.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body[..body.len().min(most)]);
}

async fn live(server: &Server) -> Value {
    let (_, answer) = server.rpc("/system", "system.plugins", json!({})).await;
    answer["result"]["plugins"][0].clone()
}

/// Asks until that version serves.
async fn until_version(server: &Server, version: &str) {
    let begun = std::time::Instant::now();
    loop {
        let plugin = live(server).await;
        if plugin["version"] == version && plugin["problem"].is_null() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{version} does not go live: {plugin}");
    }
}

#[tokio::test]
async fn a_package_goes_through_a_registry_into_a_running_server_and_what_asks_for_more_is_held() {
    let registry = Registry::start();
    let place = Place::new(&registry.config());
    let reference = |tag: &str| format!("{}/tools/noop:{tag}", registry.host);
    let push = |version: &str, requests: &str| {
        let folder = place.package(version, requests);
        place.plugin(&["push", &reference(version), path(&folder)]).json()
    };
    let pushed = push("0.1.0", "");
    assert!(pushed["digest"].as_str().unwrap().starts_with("sha256:"), "{pushed}");

    let server = Server::start(Setup { plugins: vec![place.path("plugins")], ..Setup::default() }).await;
    let installed = place.plugin(&["install", &reference("0.1.0")]).json();
    assert_eq!((&installed["name"], &installed["version"]), (&json!("noop_executor"), &json!("0.1.0")));
    until_version(&server, "0.1.0").await;

    push("0.2.0", "");
    let outdated = place.plugin(&["list", "--outdated"]).json();
    assert_eq!(outdated["plugins"][0]["state"], "outdated", "{outdated}");
    assert_eq!(outdated["plugins"][0]["source"], reference("0.2.0"));
    let updates = place.plugin(&["update"]).json();
    assert_eq!(updates["updates"][0]["outcome"], "updated", "{updates}");
    until_version(&server, "0.2.0").await;
    assert_eq!(place.plugin(&["update"]).json()["updates"][0]["outcome"], "current");

    push("0.3.0", "env = [\"LANG\"]");
    let held = place.plugin(&["update", "noop_executor"]).json();
    assert_eq!(held["updates"][0]["outcome"], "held", "{held}");
    assert_eq!(held["updates"][0]["asks_for_more"], json!({"env": ["LANG"]}));
    assert_eq!(live(&server).await["version"], "0.2.0", "the old one serves on");
    let refused = place.plugin(&["approve", "noop_executor"]);
    refused.refused("approval_required");
    assert!(refused.err.contains("env = [\"LANG\"]"), "{}", refused.err);
    place.plugin(&["approve", "noop_executor", "--yes"]).json();
    until_version(&server, "0.3.0").await;

    let by_digest = format!("{}/tools/noop@{}", registry.host, pushed["digest"].as_str().unwrap());
    place.plugin(&["install", &by_digest]).json();
    until_version(&server, "0.1.0").await;
    place.plugin(&["install", &reference("9.9.9")]).refused("source_unreachable");
    place.plugin(&["remove", "noop_executor"]).json();
    place.plugin(&["remove", "noop_executor"]).refused("not_installed");
    assert!(place.path("plugins/noop_executor").symlink_metadata().is_err());
}

#[test]
fn signatures_are_those_of_minisign_and_cover_everything() {
    let place = Place::new("[packages]\nrequire_signature = true\nkeys = [\"own.pub\"]\n");
    let folder = place.package("0.1.0", "");
    let minisign = |args: &[&str]| {
        let ended = ended(Command::new("minisign").args(args).current_dir(&folder));
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    };
    let (key, public) = (place.path("own"), place.path("own.pub"));
    minisign(&["-G", "-W", "-p", path(&public), "-s", path(&key)]);
    place.plugin(&["install", path(&folder)]).refused("package_unsigned");

    // Made by minisign, checked here.
    let sums =
        ended(Command::new("sha256sum").args(["noop_executor.wasm", "plugin.toml"]).current_dir(&folder));
    std::fs::write(folder.join("SUMS"), sums.out).unwrap();
    minisign(&["-S", "-s", path(&key), "-m", "SUMS", "-x", "plugin.minisig"]);
    let signer = place.plugin(&["verify-signature", path(&folder)]).json()["signer"].clone();
    let installed = place.plugin(&["install", path(&folder)]).json();
    assert_eq!(installed["signer"], signer);
    let lock = std::fs::read_to_string(place.path("plugins/plugins.lock")).unwrap();
    assert!(lock.contains(&format!("signer = {signer}")), "{lock}");

    // Made here, checked by minisign.
    std::fs::remove_file(folder.join("plugin.minisig")).unwrap();
    place.plugin(&["sign", path(&folder), "--key", path(&key)]).json();
    minisign(&["-V", "-p", path(&public), "-m", "SUMS", "-x", "plugin.minisig"]);

    // What was changed after it was signed.
    let before = place.installed();
    let manifest = std::fs::read_to_string(folder.join("plugin.toml")).unwrap();
    std::fs::write(folder.join("plugin.toml"), format!("{manifest}system = true\n")).unwrap();
    place.plugin(&["install", path(&folder), "--yes"]).refused("signature_wrong");
    std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
    let mut component = std::fs::read(folder.join("noop_executor.wasm")).unwrap();
    component.extend([0, 3, 1, b'v', 9]);
    std::fs::write(folder.join("noop_executor.wasm"), component).unwrap();
    place.plugin(&["install", path(&folder)]).refused("signature_wrong");

    // Another's key.
    place.plugin(&["key", "other"]).json();
    place.plugin(&["sign", path(&folder), "--key", path(&place.path("other"))]).json();
    place.plugin(&["install", path(&folder)]).refused("unknown_key");
    assert_eq!(place.installed(), before, "nothing was changed by what was refused");
    place.plugin(&["install", path(&folder), "--key", "other.pub"]).json();
}

#[test]
fn a_download_that_fails_leaves_what_is_there() {
    let files = Files::start();
    let config = format!("[packages]\nplain_http = [\"{}\"]\nmax_bytes = 1000000\n", files.host);
    let place = Place::new(&config);
    let pack = |version: &str| {
        let package = apflow_packages::archive::read_folder(&place.package(version, "")).unwrap();
        apflow_packages::archive::write(&package).unwrap()
    };
    let (one, two) = (pack("0.1.0"), pack("0.2.0"));
    let first = files.put("one.tar", Page::Whole(one.clone()));
    place.plugin(&["install", &first]).json();
    let before = place.installed();

    let whole = files.put("two.tar", Page::Whole(two.clone()));
    let cut = files.put("cut.tar", Page::CutOff(two.clone()));
    let large = files.put("large.tar", Page::Whole(vec![0; 1_000_001]));
    let nonsense = files.put("nonsense.tar", Page::Whole(b"nonsense".to_vec()));
    let circle = files.put("circle.tar", Page::Redirect("/circle.tar".into()));
    let away = files.put("away.tar", Page::Redirect("http://127.0.0.1:1/x.tar".into()));
    let zeros = "0".repeat(64);
    for (source, code) in [
        (&cut, "download_cut_off"),
        (&large, "package_too_large"),
        (&nonsense, "package_malformed"),
        (&circle, "source_unreachable"),
        (&away, "source_unreachable"),
        (&format!("http://{}/missing.tar", files.host), "source_unreachable"),
        (&"http://127.0.0.1:1/x.tar".to_owned(), "source_unreachable"),
    ] {
        place.plugin(&["install", source]).refused(code);
        assert_eq!(place.installed(), before, "{source}");
    }
    place.plugin(&["install", &whole, "--sha256", &zeros]).refused("digest_mismatch");
    assert_eq!(place.installed(), before);

    // A component that no host would load does not replace one that works.
    let broken = place.package("0.4.0", "");
    std::fs::write(broken.join("noop_executor.wasm"), "broken").unwrap();
    place.plugin(&["install", path(&broken)]).refused("plugin_error");
    assert_eq!(place.installed(), before);

    let round = files.put("round.tar", Page::Redirect("/two.tar".into()));
    let mut sum = Command::new("sha256sum");
    std::fs::write(place.path("two.tar"), two).unwrap();
    let sum = ended(sum.arg(place.path("two.tar"))).out[..64].to_owned();
    place.plugin(&["install", &round, "--sha256", &sum]).json();
    assert_ne!(place.installed(), before);
}

#[test]
fn files_that_are_not_those_of_the_lock_are_reported() {
    let place = Place::new("");
    let folder = place.package("0.1.0", "");
    place.plugin(&["install", path(&folder)]).json();
    let drift = || {
        let list = place.plugin(&["list", "--local"]).json();
        list["plugins"][0]["installed"]["drift"].as_str().unwrap().to_owned()
    };
    assert_eq!(drift(), "none");
    let component = place.path("plugins/noop_executor/noop_executor.wasm");
    let mut bytes = std::fs::read(&component).unwrap();
    bytes.extend([0, 3, 1, b'v', 7]);
    std::fs::write(component, bytes).unwrap();
    assert_eq!(drift(), "component");
    let text =
        ended(Command::new(binary()).args(["plugin", "list", "--local"]).current_dir(place.folder.path()));
    assert!(text.out.contains("is not the one that was installed"), "{}", text.out);
}

#[test]
fn an_archive_is_the_same_whoever_packs_it() {
    let place = Place::new("");
    let folder = place.package("0.1.0", "");
    let one = apflow_packages::archive::pack(&folder, &place.path("one.tar")).unwrap();
    let two = apflow_packages::archive::pack(&folder, &place.path("two.tar")).unwrap();
    assert_eq!(one.sha256, two.sha256);
    let mut listed = String::new();
    let mut tar = Command::new("tar").arg("tf").arg(&one.path).stdout(Stdio::piped()).spawn().unwrap();
    tar.stdout.take().unwrap().read_to_string(&mut listed).unwrap();
    assert!(tar.wait().unwrap().success());
    assert_eq!(listed, "plugin.toml\nnoop_executor.wasm\n");
}

/// A request of `rest_executor` to the file server; gives the status of the task and the code of its error.
async fn request(server: &Server, url: &str) -> (Value, Value) {
    let tasks = json!([{"name": "a", "executor": "rest_executor", "inputs": {"url": url, "method": "GET"}}]);
    let answer = server.run(tasks).await;
    let task = server.task(answer["root_task_id"].as_str().unwrap()).await;
    (task["status"].clone(), task["error_info"]["code"].clone())
}

#[tokio::test]
async fn grants_change_at_once_and_stay_after_a_restart() {
    let files = Files::start();
    let url = files.put("page", Page::Whole(b"{}".to_vec()));
    let mut server = Server::start(Setup { plugins: vec![shipped()], ..Setup::default() }).await;
    let plugin = |server: &Server, args: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("plugin").args(args).args(["--server", &server.url, "--output", "json"]);
        ended(command.current_dir(server.folder.path()))
    };
    let refused = (json!("failed"), json!("http_prohibited_address"));
    let completed = (json!("completed"), Value::Null);
    assert_eq!(request(&server, &url).await, refused);

    let policy = plugin(&server, &["policy", "rest_executor"]).json();
    assert_eq!(
        (&policy["origin"], &policy["unmet"]),
        (&json!("shipped"), &json!({"private_network": ["*"]}))
    );
    let granted = plugin(&server, &["grant", "rest_executor", "--private-network", &files.host]).json();
    assert_eq!(granted["origin"], "grants file", "{granted}");
    assert_eq!(granted["effective"]["private_network"], json!([files.host]));
    assert_eq!(request(&server, &url).await, completed);
    server.await_log("grants were changed").await;

    server.crash_and_restart().await;
    assert_eq!(request(&server, &url).await, completed, "what was granted is granted after a restart");
    let wrong = plugin(&server, &["revoke", "rest_executor", "--private-network", "10.0.0.0/8"]);
    wrong.refused("invalid_params");
    plugin(&server, &["revoke", "rest_executor", "--private-network", &files.host]).json();
    assert_eq!(request(&server, &url).await, refused);
    let all = plugin(&server, &["revoke", "rest_executor", "--all"]).json();
    assert_eq!(all["allowed"], json!({}));
    let reset = plugin(&server, &["revoke", "rest_executor", "--reset"]).json();
    assert_eq!(reset["origin"], "shipped");
    plugin(&server, &["grant", "nobody", "--system"]).refused("invalid_params");
    plugin(&server, &["grant", "rest_executor", "--add", "htpp = []"]).refused("invalid_params");
}
