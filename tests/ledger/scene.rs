//! An emulator, a ledger on disk, and gates as other processes have them.

use std::path::{Path, PathBuf};

use emo_preflight::emulator::{Emulator, Picture, Served};
use emo_preflight::{
    AddressPolicy, ApiKey, Ledger, Preflight, PreflightBuilder, ProbeOptions, Report, Source,
};
use futures_util::stream;
use sqlx::Connection as _;

/// An emulator and a folder for a ledger.
pub(super) struct Scene {
    pub(super) emulator: Emulator,
    pub(super) folder: tempfile::TempDir,
}

impl Scene {
    pub(super) async fn new() -> Self {
        Self::at_rate(None).await
    }

    pub(super) async fn at_rate(rps: Option<u32>) -> Self {
        let emulator = Emulator::builder().rps(rps).start().await.unwrap();
        Self { emulator, folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    pub(super) fn portrait(&self, name: &str) -> Served {
        self.emulator.serve(&format!("/{name}"), Picture::png(400, 400))
    }

    pub(super) fn portraits(&self, count: usize) -> Vec<Served> {
        (0..count).map(|n| self.portrait(&format!("{n}.png"))).collect()
    }

    /// A gate with a handle on the ledger of its own, as another process has.
    pub(super) async fn gate_with(
        &self,
        change: impl FnOnce(PreflightBuilder) -> PreflightBuilder,
    ) -> Preflight {
        let mut probe = ProbeOptions::default();
        probe.addresses = AddressPolicy::Any;
        let builder = Preflight::builder(ApiKey::new("sk-test").unwrap())
            .base_url(self.emulator.base_url())
            .ledger(Ledger::open(self.path()).await.unwrap())
            .calls_per_second(200.0)
            .probe(probe);
        change(builder).build().await.unwrap()
    }

    pub(super) async fn gate(&self) -> Preflight {
        self.gate_with(|builder| builder).await
    }

    pub(super) async fn sql(&self, statements: &str) {
        sql(&self.path(), statements).await;
    }
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

/// A trigger that makes a statement fail.
pub(super) fn fail_on(statement: &str, table: &str) -> String {
    format!(
        "CREATE TRIGGER fault BEFORE {statement} ON {table} \
         BEGIN SELECT RAISE(ABORT, 'no space left on the test'); END"
    )
}
