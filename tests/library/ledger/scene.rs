//! An emulator, a ledger, and gates as other processes have them. The same tests run on both kinds of
//! ledger: `super::ENGINE` says which.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use emo_preflight::emulator::{Emulator, Picture, Served};
use emo_preflight::{ApiKey, Ledger, Preflight, PreflightBuilder, Report, Source};
use futures_util::stream;
use sqlx::Connection as _;

use crate::common::table::any_address;

/// Which kind of ledger a test program is about; each is about one.
#[allow(dead_code)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

/// An emulator and a place for a ledger.
pub(super) struct Scene {
    pub(super) emulator: Emulator,
    pub(super) folder: tempfile::TempDir,
    /// The URL of a database, where that is what the tests are about and there is a server.
    pub(super) database: Option<String>,
}

/// A statement that is to fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) statement: &'static str,
    pub(super) table: &'static str,
    /// Not the statement itself, but its transaction's commit.
    pub(super) at_commit: bool,
    /// Only for rows of which this holds.
    pub(super) when: &'static str,
}

impl Fault {
    pub(super) fn on(statement: &'static str, table: &'static str) -> Self {
        Self { statement, table, at_commit: false, when: "1 = 1" }
    }

    pub(super) fn at_commit(self) -> Self {
        Self { at_commit: true, ..self }
    }

    pub(super) fn when(self, when: &'static str) -> Self {
        Self { when, ..self }
    }

    pub(super) fn in_sqlite(self) -> String {
        let Self { statement, table, when, .. } = self;
        if self.at_commit {
            format!(
                "CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY); \
                 CREATE TABLE IF NOT EXISTS child \
                 (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED); \
                 CREATE TRIGGER fault AFTER {statement} ON {table} WHEN {when} \
                 BEGIN INSERT INTO child VALUES (7); END"
            )
        } else {
            format!(
                "CREATE TRIGGER fault BEFORE {statement} ON {table} WHEN {when} \
                 BEGIN SELECT RAISE(ABORT, 'no space left on the test'); END"
            )
        }
    }

    fn in_postgres(self) -> String {
        let Self { statement, table, when, .. } = self;
        let trigger = match self.at_commit {
            true => format!(
                "CREATE CONSTRAINT TRIGGER fault AFTER {statement} ON {table} \
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION fault()"
            ),
            false => format!(
                "CREATE TRIGGER fault BEFORE {statement} ON {table} \
                 FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION fault()"
            ),
        };
        format!(
            "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''no space left on the test''; END'; {trigger}"
        )
    }
}

/// Drawn once for all tests.
static PORTRAIT: LazyLock<Picture> = LazyLock::new(|| Picture::png(400, 400));

impl Scene {
    pub(super) async fn new() -> Self {
        Self::at_rate(None).await
    }

    pub(super) async fn at_rate(rps: Option<u32>) -> Self {
        let emulator = Emulator::builder().rps(rps).start().await.unwrap();
        let database = match super::ENGINE {
            Engine::Sqlite => None,
            // Without a server the tests run on SQLite once more, and the server's module says so.
            #[cfg(feature = "postgres")]
            Engine::Postgres => crate::pg::server().map(crate::pg::Server::database),
        };
        Self { emulator, folder: tempfile::tempdir().unwrap(), database }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    pub(super) fn portrait(&self, name: &str) -> Served {
        self.emulator.serve(&format!("/{name}"), PORTRAIT.clone())
    }

    pub(super) fn portraits(&self, count: usize) -> Vec<Served> {
        (0..count).map(|n| self.portrait(&format!("{n}.png"))).collect()
    }

    /// A gate with a handle on the ledger of its own, as another process has.
    pub(super) async fn gate_with(
        &self,
        change: impl FnOnce(PreflightBuilder) -> PreflightBuilder,
    ) -> Preflight {
        self.gate_of("sk-test", change).await
    }

    /// The same, with a key of its own.
    pub(super) async fn gate_of(
        &self,
        key: &str,
        change: impl FnOnce(PreflightBuilder) -> PreflightBuilder,
    ) -> Preflight {
        let builder = Preflight::builder(ApiKey::new(key).unwrap())
            .base_url(self.emulator.base_url())
            .ledger(self.open().await)
            .calls_per_second(200.0)
            .probe(any_address());
        change(builder).build().await.unwrap()
    }

    pub(super) async fn gate(&self) -> Preflight {
        self.gate_with(|builder| builder).await
    }

    /// The ledger, which waits for no database that is away.
    pub(super) async fn open_hastily(&self) -> Ledger {
        match &self.database {
            None => self.open().await,
            #[cfg(feature = "postgres")]
            Some(url) => {
                let timing = emo_preflight::LedgerTiming::default().with_wait(Duration::ZERO);
                Ledger::connect_with(url, timing).await.unwrap()
            }
            #[cfg(not(feature = "postgres"))]
            Some(_) => unreachable!("there is no database without the feature"),
        }
    }

    /// The ledger, as another process opens it.
    pub(super) async fn open(&self) -> Ledger {
        open(&self.path(), self.database.as_deref()).await
    }

    pub(super) async fn sql(&self, statements: &str) {
        match &self.database {
            None => sql(&self.path(), statements).await,
            Some(url) => {
                run_on_server(url, statements);
            }
        }
    }

    pub(super) async fn number(&self, query: &'static str) -> i64 {
        match &self.database {
            None => number(&self.path(), query).await,
            Some(url) => run_on_server(url, query).trim().parse().unwrap(),
        }
    }

    /// Makes a statement fail from now on.
    pub(super) async fn break_on(&self, fault: Fault) {
        let statements = match &self.database {
            None => fault.in_sqlite(),
            Some(_) => fault.in_postgres(),
        };
        self.sql(&statements).await;
    }

    pub(super) async fn mend(&self, fault: Fault) {
        match &self.database {
            None => self.sql("DROP TRIGGER fault").await,
            Some(_) => self.sql(&format!("DROP TRIGGER fault ON {}", fault.table)).await,
        }
    }
}

/// Opens a ledger: the database's, or else the file's.
pub(super) async fn open(path: &Path, database: Option<&str>) -> Ledger {
    match database {
        None => Ledger::open(path).await.unwrap(),
        #[cfg(feature = "postgres")]
        Some(url) => Ledger::connect(url).await.unwrap(),
        #[cfg(not(feature = "postgres"))]
        Some(_) => unreachable!("there is no database without the feature"),
    }
}

#[cfg(feature = "postgres")]
fn run_on_server(url: &str, statements: &str) -> String {
    let database = url.rsplit('/').next().unwrap();
    let statements = format!("SET search_path = emo_preflight; {statements}");
    crate::pg::server().unwrap().run(database, &statements)
}

#[cfg(not(feature = "postgres"))]
fn run_on_server(_: &str, _: &str) -> String {
    unreachable!("there is no database without the feature")
}

pub(super) async fn sql(path: &Path, statements: &str) {
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

pub(super) async fn number(path: &Path, query: &'static str) -> i64 {
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let found = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found
}

pub(super) async fn check(gate: &Preflight, image: &Served) -> Report {
    gate.check(Source::url(image.url())).await.unwrap()
}

pub(super) fn code(report: &Report) -> Option<&str> {
    report.reasons.first().map(|reason| reason.code.as_str())
}

pub(super) fn sources(
    images: &[Served],
) -> impl futures_util::Stream<Item = Source> + Send + use<> {
    stream::iter(images.iter().map(|p| Source::url(p.url())).collect::<Vec<_>>())
}
