//! Places for ledgers of either kind, and what tests do to them.

use std::cell::Cell;

use super::*;
use crate::detect::{Disposition, Judgement};
pub(in crate::ledger) use crate::ledger::Reuse;
pub(in crate::ledger) use crate::ledger::samples::question;
use crate::ledger::{CallRecord, Lookup, samples, spacing, sqlite};
use crate::report::{Billing, Reason, ReasonCode};
use crate::rules::BBox;

#[cfg(feature = "postgres")]
#[path = "../../../tests/pg/mod.rs"]
pub(in crate::ledger) mod pg;

thread_local! {
    /// The wall clock of the test that runs on this thread.
    pub(super) static NOW: Cell<i64> = const { Cell::new(1_790_000_000_000_000) };
}

pub(in crate::ledger) fn test_clock() -> i64 {
    NOW.get()
}

pub(in crate::ledger) fn advance(micros: i64) {
    NOW.set(NOW.get() + micros);
}

pub(in crate::ledger) fn terms() -> Terms {
    samples::terms(spacing(5.0), None)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ledger) enum How {
    Settled,
    Refused,
    Unknown,
    NotSent,
}

pub(in crate::ledger) fn outcome(how: How) -> AttemptOutcome {
    let reason = || Reason::new(ReasonCode::BillingUnknown, "lost");
    let corner = BBox::from([1.0, 2.0, 3.0, 4.0]);
    let (disposition, billing) = match how {
        How::Settled => {
            let passed = Judgement::Passed { face: corner, ext: corner };
            (Disposition::Settled(passed), Billing::certain(1))
        }
        How::Refused => (Disposition::Refused(reason()), Billing::NONE),
        How::Unknown => (Disposition::Unknown(reason()), Billing::UNKNOWN),
        How::NotSent => return AttemptOutcome::not_sent(),
    };
    let pass = br#"{"output":{"check_pass":true,"face_bbox":[1,2,3,4],"ext_bbox":[1,2,3,4]}}"#;
    AttemptOutcome {
        record: Some(CallRecord::new(disposition, billing)),
        was_sent: true,
        status: Some(200),
        verdict: "accepted",
        raw: (how == How::Settled).then(|| pass.as_slice().into()),
        push_back: None,
    }
}

pub(in crate::ledger) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A place for a ledger of either kind.
pub(in crate::ledger) enum Place {
    Sqlite(tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl Place {
    pub(super) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// An SQLite ledger's file.
    pub(super) fn file(&self) -> std::path::PathBuf {
        match self {
            Self::Sqlite(folder) => folder.path().join("ledger.db"),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => panic!("SQLite"),
        }
    }

    /// One of each kind that there is here.
    pub(super) fn all() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut all = vec![Self::sqlite()];
        #[cfg(feature = "postgres")]
        all.extend(pg::server().map(|server| Self::Postgres(server.database())));
        all
    }

    /// Opens it as another process does.
    pub(super) async fn open(&self) -> SqlLedger {
        self.try_open().await.unwrap()
    }

    pub(super) async fn try_open(&self) -> Result<SqlLedger, LedgerError> {
        self.open_with(LedgerTiming::default()).await
    }

    pub(super) async fn open_with(&self, timing: LedgerTiming) -> Result<SqlLedger, LedgerError> {
        match self {
            Self::Sqlite(folder) => {
                sqlite::open(&folder.path().join("ledger.db"), test_clock, timing).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => crate::ledger::postgres::connect(url, timing).await,
        }
    }

    /// Lets time go by on the ledger's clock.
    pub(super) async fn advance(&self, micros: i64) {
        match self {
            Self::Sqlite(_) => advance(micros),
            // Longer than the clock's uncertainty.
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }

    /// Sets the ledger's clock, forward or back, where it can be set; else all that was written by it.
    pub(super) async fn set_clock(&self, by: i64) {
        match self {
            Self::Sqlite(_) => advance(by),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                let database = url.rsplit('/').next().unwrap();
                let set = format!(
                    "SET search_path = emo_preflight;
                     UPDATE pace SET next_us = next_us - {by}, booked_us = booked_us - {by};
                     UPDATE attempt SET slot_us = slot_us - {by}, ended_us = ended_us - {by};"
                );
                pg::server().unwrap().run(database, &set);
            }
        }
    }

    /// Takes the lock away that shows that a process lives, which does not notice.
    pub(super) async fn lose_lock(&self, ledger: &SqlLedger) {
        match &ledger.backend {
            Backend::Sqlite(engine) => std::fs::remove_file(engine.lock_file()).unwrap(),
            #[cfg(feature = "postgres")]
            Backend::Postgres(engine) => {
                let owner = engine.owner_name().await.unwrap();
                engine.end_session().await;
                until_gone(ledger, &owner).await;
            }
        }
    }

    /// Ends a process without a word, and waits until that shows.
    pub(super) async fn end(&self, ledger: SqlLedger) {
        match &ledger.backend {
            Backend::Sqlite(_) => {}
            #[cfg(feature = "postgres")]
            Backend::Postgres(engine) => engine.end_session().await,
        }
        drop(ledger);
    }

    /// Runs a statement behind the ledger's back.
    pub(super) async fn run(&self, statement: &'static str) {
        match self {
            Self::Sqlite(folder) => {
                use sqlx::Connection as _;
                let path = folder.path().join("ledger.db").display().to_string();
                let url = format!("sqlite://{path}");
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                let database = url.rsplit('/').next().unwrap();
                let set = format!("SET search_path = emo_preflight; {statement}");
                pg::server().unwrap().run(database, &set);
            }
        }
    }

    /// Puts the next slots half a minute ahead, where time cannot be held.
    pub(in crate::ledger) async fn hold_the_pace(&self) {
        match self {
            Self::Sqlite(_) => {}
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {
                self.run(
                    "INSERT INTO pace SELECT 'account',
                         CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + 30000000,
                         CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
                )
                .await;
            }
        }
    }

    /// Makes every change of an attempt fail.
    pub(super) async fn break_attempts(&self) {
        self.run(match self {
            Self::Sqlite(_) => {
                "CREATE TRIGGER fault BEFORE UPDATE ON attempt BEGIN SELECT RAISE(ABORT, 'f'); END"
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {
                "CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS
                     'BEGIN RAISE EXCEPTION ''f''; END';
                 CREATE TRIGGER fault BEFORE UPDATE ON attempt
                     FOR EACH ROW EXECUTE FUNCTION fault()"
            }
        })
        .await;
    }

    pub(super) async fn mend_attempts(&self) {
        self.run(match self {
            Self::Sqlite(_) => "DROP TRIGGER fault",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "DROP TRIGGER fault ON attempt; DROP FUNCTION fault",
        })
        .await;
    }
}

/// An owner's session ends a moment after its connection.
#[cfg(feature = "postgres")]
pub(in crate::ledger) async fn until_gone(ledger: &SqlLedger, owner: &str) {
    let begun = Instant::now();
    while !ledger.backend.is_gone(owner).await.unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{owner} does not go");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The name that a ledger's owner goes by.
pub(in crate::ledger) async fn owner_of(ledger: &SqlLedger) -> String {
    match &ledger.backend {
        Backend::Sqlite(engine) => engine.owner_name().to_owned(),
        #[cfg(feature = "postgres")]
        Backend::Postgres(engine) => engine.owner_name().await.unwrap(),
    }
}

/// An SQLite ledger's own connections.
pub(in crate::ledger) fn pools(ledger: &SqlLedger) -> &sqlite::Sqlite {
    match &ledger.backend {
        Backend::Sqlite(engine) => engine,
        #[cfg(feature = "postgres")]
        Backend::Postgres(_) => panic!("SQLite"),
    }
}

impl SqlLedger {
    /// What the ledger knows of a question whose content is known.
    pub(in crate::ledger) async fn look(
        &self,
        question: &Question,
        reuse: &Reuse,
    ) -> Result<Lookup, LedgerError> {
        self.lookup(question.query(reuse)).await.map(|found| found.unwrap().lookup)
    }
}

/// A question's reservation.
pub(in crate::ledger) async fn reserved(
    ledger: &SqlLedger,
    question: &Question,
    terms: &Terms,
) -> Reservation {
    match ledger.reserve(question, terms, None).await.unwrap() {
        ReserveResult::Reserved { attempt, .. } => attempt,
        _ => panic!("{} is reserved", question.source),
    }
}
