//! Starting the program in a known environment, and the stand-in service beside it: for all tests
//! of the built program.

pub(crate) mod turned;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use emo_preflight::Report;
use emo_preflight::emulator::{Emulator, EmulatorBuilder, Picture};
use serde_json::Value;
use tokio::runtime::Runtime;

/// The program with nothing of the tester's own environment that could change what it does.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emo-preflight"));
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        let steers = ["DASHSCOPE_", "EMO_PREFLIGHT_", "RUST_LOG", "RUST_BACKTRACE", "NO_COLOR"];
        if upper.ends_with("_PROXY") || steers.iter().any(|start| upper.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    // By default the ledger is in the tester's own state directory.
    command.env("EMO_PREFLIGHT_LEDGER", "none");
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null());
    command
}

/// `program` with these arguments.
pub(crate) fn program_with<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = program();
    command.args(arguments);
    command
}

/// Whether what needs scale or a quiet machine is to run in full.
pub(crate) fn is_slow_tier() -> bool {
    std::env::var_os("EMO_PREFLIGHT_SLOW").is_some()
}

/// What only shows while something lasts: tried with longer and longer spans until it shows, so that it
/// does on a slow machine too.
pub(crate) fn given_time<T>(mut attempt: impl FnMut(Duration) -> Option<T>) -> T {
    let shown = [1, 6, 36].into_iter().map(Duration::from_secs).find_map(&mut attempt);
    shown.expect("it shows within half a minute")
}

/// A portrait that passes. Drawn once: the drawing takes longer than most tests.
pub(crate) fn portrait() -> Picture {
    static DRAWN: OnceLock<Picture> = OnceLock::new();
    DRAWN.get_or_init(|| Picture::jpeg(640, 800)).clone()
}

/// An origin that answers when it is told to.
pub(crate) struct Held(TcpListener);

impl Held {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/held.jpg", self.0.local_addr().unwrap())
    }

    /// Waits until it is asked. Whoever asks waits until `answer` is called.
    pub(crate) fn asked(&self) -> TcpStream {
        self.0.set_nonblocking(true).unwrap();
        let mut client = None;
        until("the origin is asked", || {
            client = self.0.accept().ok();
            client.is_some()
        });
        let (client, _) = client.unwrap();
        client.set_nonblocking(false).unwrap();
        client
    }

    /// There is no such image.
    pub(crate) fn answer(mut client: TcpStream) {
        let _ = client.read(&mut [0; 4_096]);
        let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        client.write_all(answer.as_bytes()).unwrap();
    }
}

/// The stand-in, on a runtime of its own.
pub(crate) struct Rig {
    pub(crate) emu: Emulator,
    _runtime: Runtime,
}

/// A stand-in without a limit on the rate, which takes only [`KEY`].
pub(crate) fn rig() -> Rig {
    rig_with(|builder| builder.api_key(KEY).rps(None))
}

pub(crate) fn rig_with(settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Rig {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let emu = runtime.block_on(settings(Emulator::builder()).start()).unwrap();
    Rig { emu, _runtime: runtime }
}

impl Rig {
    /// `check --json` against the stand-in, with a key and no wait between calls.
    pub(crate) fn check<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = program_with(["check", "--json", "--allow-private-network"]);
        command.args(["--rps", "1000", "--base-url", &self.emu.base_url()]);
        command.env("DASHSCOPE_API_KEY", KEY).args(arguments);
        command
    }
}

/// How the program ended and what it wrote.
pub(crate) struct Done {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Stdout as results: nothing else is there and every line is whole.
    pub(crate) fn rows(&self) -> Vec<Value> {
        rows(&self.stdout)
    }

    pub(crate) fn assert_status(&self, status: i32) -> &Self {
        let Self { stdout, stderr, .. } = self;
        assert_eq!(self.status, Some(status), "stdout:\n{stdout}\nstderr:\n{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        self
    }

    /// Asserts that stderr says `what`.
    pub(crate) fn says(&self, what: &str) -> &Self {
        assert!(self.stderr.contains(what), "stderr says {what:?}, found:\n{}", self.stderr);
        self
    }
}

pub(crate) fn rows(stdout: &str) -> Vec<Value> {
    assert!(stdout.is_empty() || stdout.ends_with('\n'), "torn: {stdout:?}");
    let row = |line: &str| {
        serde_json::from_str::<Report>(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        serde_json::from_str(line).unwrap()
    };
    stdout.lines().map(row).collect()
}

/// Rows by their index, of which each is there once.
pub(crate) fn by_index(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| row["index"].as_u64());
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(row["index"], at, "each index once");
    }
    rows
}

/// `verdict first_code`, or the verdict alone.
pub(crate) fn gist(row: &Value) -> String {
    let verdict = row["verdict"].as_str().unwrap();
    match row["reasons"][0]["code"].as_str() {
        Some(code) => format!("{verdict} {code}"),
        None => verdict.to_owned(),
    }
}

pub(crate) fn gists(rows: &[Value]) -> Vec<String> {
    rows.iter().map(gist).collect()
}

pub(crate) fn run(command: &mut Command) -> Done {
    Running::start(command).finish()
}

/// Runs the program with this environment on a terminal of 200 columns; its stdout and stderr come
/// as one there, with all that steers the terminal. `None` where there is no `script` to make a
/// terminal with.
pub(crate) fn on_a_terminal(command: &Command) -> Option<Done> {
    on_a_terminal_of(200, command)
}

pub(crate) fn on_a_terminal_of(columns: u16, command: &Command) -> Option<Done> {
    typing(columns, command, "")
}

/// The same, with somebody who types this at once.
pub(crate) fn typing(columns: u16, command: &Command, typed: &str) -> Option<Done> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quoted(word.to_str().unwrap()))
        .collect();
    let line = format!("stty cols {columns} rows 50; exec {}", words.join(" "));
    let mut script = Command::new("script");
    for (name, value) in program().get_envs().chain(command.get_envs()) {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.env("TERM", "xterm").current_dir(env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::piped());
    script.args(["-qec", &line, "/dev/null"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = script.spawn().and_then(|mut script| {
        if let Some(mut keyboard) = script.stdin.take() {
            keyboard.write_all(typed.as_bytes())?;
        }
        script.wait_with_output()
    });
    match output {
        Ok(output) => Some(Done {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }),
        Err(error) => {
            println!("no terminal (script: {error}): this test did not run");
            None
        }
    }
}

pub(crate) fn run_fed(command: &mut Command, stdin: &[u8]) -> Done {
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    let mut pipe = running.child.0.stdin.take().unwrap();
    // The program may end without reading all of it.
    let _ = pipe.write_all(stdin);
    drop(pipe);
    running.finish()
}

/// The program while it runs. Its stderr is collected from the start.
pub(crate) struct Running {
    child: Owned,
    stdout: Option<BufReader<ChildStdout>>,
    lines: mpsc::Receiver<String>,
    collector: JoinHandle<String>,
    read: String,
    ended: mpsc::Sender<()>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = child.stderr.take().unwrap();
        let (to, lines) = mpsc::channel();
        let collector = std::thread::spawn(move || {
            let mut all = String::new();
            for line in BufReader::new(stderr).lines() {
                let line = line.unwrap();
                all.push_str(&line);
                all.push('\n');
                let _ = to.send(line);
            }
            all
        });
        let ended = guard(child.id());
        Self { child: Owned(child), stdout, lines, collector, read: String::new(), ended }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// The next line of stdout.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        self.read.push_str(&line);
        line
    }

    /// Writes to a stdin that stays open.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.child.0.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Nobody reads stdout any more.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// Waits for a line on stderr that contains `what`.
    pub(crate) fn wait_for(&self, what: &str) -> String {
        let next = || self.lines.recv_timeout(PATIENCE).expect(what);
        std::iter::repeat_with(next).find(|line| line.contains(what)).unwrap()
    }

    /// The lines on stderr before one that contains `what`.
    pub(crate) fn lines_until(&self, what: &str) -> Vec<String> {
        let next = || self.lines.recv_timeout(PATIENCE).expect(what);
        std::iter::repeat_with(next).take_while(|line| !line.contains(what)).collect()
    }

    /// Reads what is left and waits for the end.
    pub(crate) fn finish(mut self) -> Done {
        let mut stdout = self.read;
        if let Some(mut rest) = self.stdout.take() {
            rest.read_to_string(&mut stdout).unwrap();
        }
        let status = self.child.0.wait().unwrap();
        drop(self.ended);
        let stderr = self.collector.join().unwrap();
        Done { status: status.code(), stdout, stderr }
    }
}

/// A program that does not outlive its test, however that ends.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Harmless where it has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends a program that does not end by itself, so that its test fails instead of hanging.
fn guard(id: u32) -> mpsc::Sender<()> {
    let (ended, wait) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if wait.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            kill(id, "KILL");
        }
    });
    ended
}

/// Sends a signal to a program that a test started.
pub(crate) fn kill(id: u32, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), id.to_string()]).status();
    assert!(status.unwrap().success());
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file for one test; `name` is the test's own.
pub(crate) fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// An image of this repository.
pub(crate) fn fixture(name: &str) -> String {
    format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) const KEY: &str = "sk-program-test-0123456789";

/// Far more than anything here takes on a busy machine: it ends what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
