//! A stand-in service, a ledger, and processes of the program that a test may kill or stop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, Picture, Served};
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Connection as _, FromRow, SqliteConnection};
use tempfile::TempDir;

use crate::rig::{self, KEY, Rig};

/// One test's world.
pub(crate) struct Scene {
    rig: Rig,
    folder: TempDir,
    /// The URL of the ledger's database, where it is not a file.
    database: Option<String>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::at_rate(None)
    }

    pub(crate) fn at_rate(rps: Option<u32>) -> Self {
        Self::on(super::database(), rps)
    }

    /// With the ledger in this database, or in a file.
    pub(crate) fn on(database: Option<String>, rps: Option<u32>) -> Self {
        let rig = rig::rig_with(|builder| builder.api_key(KEY).rps(rps));
        Self { rig, folder: tempfile::tempdir().unwrap(), database }
    }

    /// What `--ledger` is told.
    pub(crate) fn place(&self) -> String {
        self.database.clone().unwrap_or_else(|| self.ledger().display().to_string())
    }

    pub(crate) fn emu(&self) -> &Emulator {
        &self.rig.emu
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.path("ledger.db")
    }

    /// Images of their own paths, that pass.
    pub(crate) fn portraits(&self, count: usize) -> Vec<Served> {
        // Drawn once: the drawing takes longer than all the rest.
        let image = Picture::png(400, 400);
        (0..count).map(|n| self.emu().serve(&format!("/{n}.png"), image.clone())).collect()
    }

    pub(crate) fn input(&self, name: &str, images: &[Served]) -> PathBuf {
        let path = self.path(name);
        let lines: String = images.iter().map(|image| format!("{image}\n")).collect();
        std::fs::write(&path, lines).unwrap();
        path
    }

    /// `check` of an input with results in `output`, on this scene's ledger.
    pub(crate) fn check(&self, input: &Path, output: &str, rps: f64) -> Command {
        self.check_on(&self.place(), input, output, rps)
    }

    pub(crate) fn check_on(&self, ledger: &str, input: &Path, output: &str, rps: f64) -> Command {
        let mut command = rig::program();
        command.args(["check", "--allow-private-network", "--base-url", &self.emu().base_url()]);
        command.arg("--ledger").arg(ledger).arg("--input").arg(input);
        command.arg("--output").arg(self.path(output)).args(["--resume", "--rps"]);
        command.arg(rps.to_string()).env("DASHSCOPE_API_KEY", KEY);
        command
    }

    /// Starts a process; what it says on stderr is kept for a failure's message.
    pub(crate) fn start(&self, command: &mut Command) -> Process {
        let stderr = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        let (file, said) = stderr.keep().unwrap();
        Process::start(command, file, said)
    }

    /// Runs a process to its end and returns its exit status.
    pub(crate) fn run(&self, command: &mut Command) -> i32 {
        self.start(command).end()
    }

    /// A results file: whole lines, each index once from 0 on, in order.
    pub(crate) fn results(&self, output: &str) -> Vec<Value> {
        rig::by_index(rig::rows(&std::fs::read_to_string(self.path(output)).unwrap()))
    }

    /// Reads the ledger as anyone may, from outside.
    pub(crate) fn read<T>(&self, query: &'static str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.try_read(query).unwrap()
    }

    /// As [`read`](Self::read), of a ledger that may not be there yet.
    pub(crate) fn try_read<T>(&self, query: &'static str) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        // Read-only: a writer's leaving would tidy the log away that the next process is to find.
        let options = SqliteConnectOptions::new()
            .filename(self.ledger())
            .read_only(true)
            .busy_timeout(Duration::from_secs(10));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            if let Some(url) = &self.database {
                let url = format!("{url}?options=-c%20search_path%3Demo_preflight");
                let mut connection = PgConnection::connect(&url).await?;
                let rows = sqlx::query_as(query).fetch_all(&mut connection).await;
                connection.close().await?;
                return rows;
            }
            let mut connection = SqliteConnection::connect_with(&options).await?;
            let rows = sqlx::query_as(query).fetch_all(&mut connection).await;
            connection.close().await?;
            rows
        })
    }

    /// Changes the ledger behind the program's back.
    pub(crate) fn write(&self, statements: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.ledger());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    /// The states of all attempts, oldest first.
    pub(crate) fn attempts(&self) -> Vec<String> {
        self.read::<(String,)>("SELECT state FROM attempt ORDER BY id")
            .into_iter()
            .map(|(state,)| state)
            .collect()
    }

    /// The same without those that were late for their slot and booked again, as on a busy machine.
    #[allow(dead_code, reason = "PostgreSQL's tests need it not")]
    pub(crate) fn calls(&self) -> Vec<String> {
        self.attempts().into_iter().filter(|state| state != "not_sent").collect()
    }

    /// The lock of the only process that holds an attempt.
    #[allow(dead_code, reason = "PostgreSQL has no such files")]
    pub(crate) fn lock_of_the_sender(&self) -> PathBuf {
        let owners: Vec<(String,)> =
            self.read("SELECT DISTINCT owner FROM attempt WHERE state = 'sending'");
        assert_eq!(owners.len(), 1, "{owners:?}");
        let lock = self.path("ledger.db-owners").join(&owners[0].0);
        assert!(lock.exists(), "{}", lock.display());
        lock
    }

    /// `spend --json`: images surely billed, and at the most.
    pub(crate) fn spend(&self) -> (u64, u64) {
        let mut command = rig::program();
        let said = command.args(["spend", "--json", "--ledger"]).arg(self.place()).output();
        let said: Value = serde_json::from_slice(&said.unwrap().stdout).unwrap();
        let total = |name: &str| said["total"][name].as_u64().unwrap();
        (total("images_certain"), total("images_at_most"))
    }

    /// Asserts what holds at the end of every test: the ledger's bounds hold the true bill, and the
    /// service saw nothing that nobody meant.
    pub(crate) fn assert_ledger_holds_the_bill(&self) {
        let ((least, most), billed) = (self.spend(), self.emu().billed());
        assert!((least..=most).contains(&billed), "{least} <= {billed} <= {most}");
        assert_eq!(self.emu().unscripted(), [""; 0]);
    }
}

/// A process of the program. It does not outlive its test, however that ends.
pub(crate) struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    fn start(command: &mut Command, stderr: File, said: PathBuf) -> Self {
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { child, said }
    }

    pub(crate) fn signal(&self, signal: &str) {
        rig::kill(self.child.id(), signal);
    }

    /// Nothing of the program runs any more when this returns.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end and returns its exit status.
    pub(crate) fn end(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(!self.said().contains("panicked"), "{}", self.said());
                return status.code().unwrap_or_else(|| panic!("{status}: {}", self.said()));
            }
            assert!(start.elapsed() < PATIENCE, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Harmless where it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Luck that can be had again: SplitMix64.
pub(crate) struct Luck(u64);

impl Luck {
    /// The seed is on stdout, which a failing test shows.
    pub(crate) fn new() -> Self {
        let given = std::env::var("EMO_PREFLIGHT_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or(20_260_131);
        println!("EMO_PREFLIGHT_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}

/// Far more than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
