//! PostgreSQL servers for tests, made of the machine's own binaries, in temporary folders, on loopback.
//!
//! All tests of a run share one server, each with a [`Database`] of its own: whoever needs it first starts it, under a lock,
//! in a folder named after the process that runs the tests (each test may be a process of its own). A shell that only
//! watches that process stops the server and removes the folder when the process has ended, however that came about.
//! A test that stops or restarts its server takes one for itself: [`Server::own`].

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Enough for all tests that run at a time.
const CONNECTIONS: &str = "max_connections=200";

/// Stops the server in the folder `$2` and removes the folder when process `$1` has ended.
const WATCH: &str = r#"(
while kill -0 "$1" 2>/dev/null; do sleep 1; done
server=$(head -n 1 "$2/data/postmaster.pid" 2>/dev/null)
[ -n "$server" ] && kill -QUIT "$server" 2>/dev/null && while kill -0 "$server" 2>/dev/null; do sleep 0.1; done
rm -rf "$2" "$2.lock"
) &"#;

/// A running server.
#[derive(Debug)]
pub struct Server {
    tools: Tools,
    folder: PathBuf,
    port: u16,
    /// More settings, as `name=value`.
    settings: Vec<String>,
    is_own: bool,
}

impl Server {
    /// The server that all tests of this run share.
    ///
    /// # Panics
    /// If there is no PostgreSQL on this machine, with the command that installs it, or if it does not start.
    pub fn shared() -> Self {
        let runner = parent_id();
        let folder = std::env::temp_dir().join(format!("apflow-postgres-{runner}"));
        let lock = File::create(folder.with_extension("lock")).unwrap_or_else(|error| panic!("{error}"));
        lock.lock().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let tools = Tools::find();
        match fs::read_to_string(folder.join("port")) {
            Ok(port) => {
                let port = port.parse().unwrap_or_else(|error| panic!("port '{port}': {error}"));
                Self { tools, folder, port, settings: Vec::new(), is_own: false }
            }
            Err(_) => Self::start(tools, folder, runner, Vec::new(), false),
        }
    }

    /// A server of this test's own; it is stopped when this is dropped.
    ///
    /// # Panics
    /// As [`Server::shared`].
    pub fn own() -> Self {
        Self::own_with(&[])
    }

    /// The same with settings of its own, as `name=value`.
    ///
    /// # Panics
    /// As [`Server::shared`].
    pub fn own_with(settings: &[&str]) -> Self {
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("apflow-postgres-{id}-{}", number()));
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self::start(Tools::find(), folder, id, settings, true)
    }

    fn start(tools: Tools, folder: PathBuf, watched: u32, settings: Vec<String>, is_own: bool) -> Self {
        // What is there belongs to a process that had the same id before.
        let _ = fs::remove_dir_all(&folder);
        make(&folder, tools.user);
        let port = free_port();
        let mut watch = Command::new("sh");
        watch.args(["-c", WATCH, "watch"]).arg(watched.to_string()).arg(&folder).process_group(0);
        let watch = watch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(watch.is_ok_and(|status| status.success()), "no shell to watch the server with");
        let server = Self { tools, folder, port, settings, is_own };
        let data = server.data();
        let mut initdb = server.tools.command("initdb");
        initdb.arg("-D").arg(&data).args(["-U", "apflow", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]);
        run(&mut initdb);
        server.restart();
        fs::write(server.folder.join("port"), port.to_string()).unwrap_or_else(|error| panic!("{error}"));
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it, on the port and the data that it had.
    pub fn restart(&self) {
        let mut settings = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories={} -c {CONNECTIONS}",
            self.port,
            self.folder.display()
        );
        for setting in &self.settings {
            settings.push_str(" -c ");
            settings.push_str(setting);
        }
        let mut start = self.tools.command("pg_ctl");
        start.arg("-D").arg(self.data()).arg("-l").arg(self.folder.join("log"));
        run(start.args(["-w", "-o", &settings, "start"]));
    }

    /// Stops it at once: connections break, what was committed stays.
    pub fn stop(&self) {
        run(self.tools.command("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-m", "immediate", "stop"]));
    }

    /// Stops it in good order, without waiting for those who are connected.
    pub fn stop_in_order(&self) {
        run(self.tools.command("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-m", "fast", "stop"]));
    }

    /// Makes a user who must give a password.
    pub fn user_with_password(&self, name: &str, password: &str) {
        self.sql(&format!("CREATE USER {name} PASSWORD '{password}'"));
        let rules = self.data().join("pg_hba.conf");
        let others = fs::read_to_string(&rules).unwrap_or_else(|error| panic!("{error}"));
        let all = format!("host all {name} 127.0.0.1/32 scram-sha-256\n{others}");
        fs::write(&rules, all).unwrap_or_else(|error| panic!("{error}"));
        self.sql("SELECT pg_reload_conf()");
    }

    /// A new database, empty.
    pub fn database(&self) -> Database {
        let name = format!("t{}_{}", std::process::id(), number());
        self.sql(&format!("CREATE DATABASE {name}"));
        let url = format!("postgres://apflow@127.0.0.1:{}/{name}", self.port);
        Database { url, name, port: self.port, tools: self.tools.clone() }
    }

    fn sql(&self, text: &str) {
        self.tools.sql(self.port, text);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_own {
            let mut stop = self.tools.command("pg_ctl");
            stop.arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]);
            // It may have been stopped; the watching shell removes the folder.
            let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// A database of a test's own; dropped with this.
#[derive(Debug)]
pub struct Database {
    /// `postgres://…`.
    pub url: String,
    name: String,
    port: u16,
    tools: Tools,
}

impl Database {
    /// A new one on the shared server.
    ///
    /// # Panics
    /// As [`Server::shared`].
    pub fn new() -> Self {
        Server::shared().database()
    }

    /// Runs a text of SQL in it and gives what it prints: a line for each row, columns parted by `|`.
    ///
    /// # Panics
    /// If it fails.
    pub fn query(&self, text: &str) -> String {
        let mut psql = self.tools.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-d", &self.url, "-c", text]);
        let output = psql.output().unwrap_or_else(|error| panic!("psql: {error}"));
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends all connections to it, as an operator does with `pg_terminate_backend`.
    pub fn cut_connections(&self) {
        let name = &self.name;
        self.tools.sql(
            self.port,
            &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
        );
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let text = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // The server may be gone.
        let _ = self.tools.psql(self.port, &text).output();
    }
}

/// Where the binaries are, and who runs them.
#[derive(Debug, Clone)]
struct Tools {
    bin: PathBuf,
    /// Somebody who is not root, where this is root: a server refuses to be run by him.
    user: Option<(u32, u32)>,
}

impl Tools {
    fn find() -> Self {
        let bin = find().unwrap_or_else(|| {
            panic!("there is no PostgreSQL here (initdb is not to be found): apt-get install postgresql")
        });
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        Self { bin, user: is_root.then(other_user) }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.current_dir("/").stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn psql(&self, port: u16, text: &str) -> Command {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-h", "127.0.0.1", "-U", "apflow", "-d", "postgres", "-c", text, "-p"]);
        psql.arg(port.to_string());
        psql
    }

    fn sql(&self, port: u16, text: &str) {
        run(&mut self.psql(port, text));
    }
}

/// The folder of the server's binaries: behind the links in PATH, or where Debian puts them, the newest first.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let linked =
        std::env::split_paths(&path).filter_map(|folder| fs::canonicalize(folder.join("initdb")).ok());
    let linked = linked.filter_map(|initdb| initdb.parent().map(Path::to_owned));
    let mut packaged: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    packaged.sort();
    let mut all = linked.chain(packaged.into_iter().rev().map(|(_, folder)| folder));
    all.find(|folder| ["initdb", "pg_ctl", "psql"].iter().all(|name| folder.join(name).exists()))
}

/// User and group of `postgres`, or of `nobody`.
fn other_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody")).unwrap_or((65534, 65534))
}

fn make(folder: &Path, user: Option<(u32, u32)>) {
    fs::create_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    if let Some((user, group)) = user {
        chown(folder, Some(user), Some(group))
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
    listener.local_addr().unwrap_or_else(|error| panic!("{error}")).port()
}

fn number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Runs a program that must succeed. Its output goes to a file, which a server that it starts may keep open.
fn run(command: &mut Command) {
    let program = command.get_program().to_owned();
    let log = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("{error}"));
    let output = || log.reopen().map(Stdio::from).unwrap_or_else(|error| panic!("{error}"));
    let status = command.stdout(output()).stderr(output()).status();
    let status = status.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = fs::read_to_string(log.path()).unwrap_or_default();
    let arguments: Vec<&OsStr> = command.get_args().collect();
    assert!(status.success(), "{} {arguments:?}: {status}\n{said}", program.display());
}
