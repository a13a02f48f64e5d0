//! A PostgreSQL server of the tests' own: a private cluster in a temporary folder, on a socket's
//! folder and a free port of loopback, ended with the test program.
//!
//! Its programs come from `EMO_PREFLIGHT_PG_BIN`, else from where `pg_config --bindir` says. Where there
//! are none [`server`] says so in one line, and what needs it does not run.

// Each test program uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod proxy;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A running server.
pub struct Server {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
}

/// This test program's server; none where there is no PostgreSQL.
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let server = bin().and_then(Server::start);
        if server.is_none() {
            println!("NOT RUN: no PostgreSQL server was found (EMO_PREFLIGHT_PG_BIN, pg_config)");
        }
        server
    });
    server.as_ref()
}

/// One more, for a test that takes it down.
pub fn another() -> Option<Server> {
    bin().and_then(Server::start)
}

/// Where initdb and postgres are.
fn bin() -> Option<PathBuf> {
    let named = std::env::var_os("EMO_PREFLIGHT_PG_BIN").map(PathBuf::from);
    let found = named.or_else(|| {
        let said = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(said.stdout).ok()?.trim()))
    })?;
    found.join("initdb").exists().then_some(found)
}

/// Debian's packages make this account.
const UNPRIVILEGED: &str = "postgres";

impl Server {
    pub fn start(bin: PathBuf) -> Option<Self> {
        // Not in the target folder: the server's account has to get there.
        let folder = std::env::temp_dir().join(format!(
            "emo-preflight-pg-{}-{}",
            std::process::id(),
            next_number()
        ));
        std::fs::create_dir(&folder).unwrap();
        if is_root() {
            let given = Command::new("chown").arg(UNPRIVILEGED).arg(&folder).status().unwrap();
            assert!(given.success(), "the folder is given to {UNPRIVILEGED}");
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { bin, folder, port };
        let made = server
            .as_unprivileged("initdb")
            .args(["--auth=trust", "--username=test", "--encoding=UTF8", "--no-locale", "-D"])
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.go();
        server.end_with_this_program();
        Some(server)
    }

    /// Starts it and waits until it answers.
    pub fn go(&self) {
        self.go_with("");
    }

    /// The same, with more settings.
    pub fn go_with(&self, more: &str) {
        let options = format!(
            "-c listen_addresses=127.0.0.1 -p {} -k {} -c max_connections=400 -c shared_buffers=64MB \
             -c fsync=on -c log_min_messages=fatal {more}",
            self.port,
            self.folder.display()
        );
        let done = self
            .as_unprivileged("pg_ctl")
            .args(["start", "-w", "-t", "60", "-D"])
            .arg(self.data())
            .arg("-l")
            .arg(self.folder.join("log"))
            .args(["-o", &options])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(done.success(), "the server starts: {log}");
    }

    /// Ends it: `fast` or `immediate`.
    pub fn stop(&self, mode: &str) {
        let _ = self
            .as_unprivileged("pg_ctl")
            .args(["stop", "-w", "-t", "60", "-m", mode, "-D"])
            .arg(self.data())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new database of its own, by its URL.
    pub fn database(&self) -> String {
        let name = format!("test_{}_{}", std::process::id(), next_number());
        self.run("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://test@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements as anyone may, from outside.
    pub fn run(&self, database: &str, statements: &str) -> String {
        let url = self.url(database);
        let done = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", statements])
            .output()
            .unwrap();
        assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// Takes TLS from here on, with this certificate and its key, as PEM.
    pub fn use_tls(&self, certificate: &str, key: &str) {
        // Written by the server itself: it takes no key that another user could have changed.
        for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.data().join(name).display().to_string();
            let lines = format!("SELECT unnest(string_to_array('{}', E'\\n'))", pem.trim());
            self.run("postgres", &format!("COPY ({lines}) TO PROGRAM 'umask 077; cat > {path}'"));
        }
        self.run("postgres", "ALTER SYSTEM SET ssl = on");
        self.run("postgres", "SELECT pg_reload_conf()");
        until("TLS is on", || self.run("postgres", "SHOW ssl") == "on\n");
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of the server's. PostgreSQL does not run as root.
    fn as_unprivileged(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", UNPRIVILEGED, "--regid", UNPRIVILEGED, "--clear-groups"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder);
        command
    }

    /// A static is never dropped: a process of its own waits for this one's end, however it ends, then
    /// stops the server and removes its folder.
    fn end_with_this_program(&self) {
        let script = format!(
            "while kill -0 {} 2>/dev/null; do sleep 0.2; done; \
             kill -INT $(head -1 {data}/postmaster.pid) 2>/dev/null; sleep 1; \
             kill -QUIT $(head -1 {data}/postmaster.pid 2>/dev/null) 2>/dev/null; sleep 0.2; \
             rm -rf {folder}",
            std::process::id(),
            data = self.data().display(),
            folder = self.folder.display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        // Ctrl-C in a terminal ends the tests, not who tidies up behind them.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[expect(clippy::zombie_processes, reason = "it outlives this program")]
        let _ = command.spawn().unwrap();
    }
}

fn is_root() -> bool {
    // Asked of the system's own tool: the tests have no need of a crate for it otherwise.
    let said = Command::new("id").arg("-u").output().unwrap();
    said.stdout.starts_with(b"0\n")
}

fn next_number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
