//! What holds of PostgreSQL alone.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::ledger::samples::question;
use crate::ledger::sql::places::{How, block_on, outcome, pg, terms};
use crate::ledger::{AttemptOutcome, Lookup, Reservation, ReserveResult};

pub(super) async fn connect(url: &str) -> Result<SqlLedger, LedgerError> {
    super::connect(url, LedgerTiming::default()).await
}

pub(super) fn engine(ledger: &SqlLedger) -> &Postgres {
    match &ledger.backend {
        Backend::Postgres(engine) => engine,
        Backend::Sqlite(_) => panic!("PostgreSQL"),
    }
}

async fn reserve(ledger: &SqlLedger, number: usize) -> Reservation {
    match ledger.reserve(&question(number), &terms(), None).await.unwrap() {
        ReserveResult::Reserved { attempt, .. } => attempt,
        _ => panic!("{number} is reserved"),
    }
}

/// A database whose administrator cares more for speed.
#[test]
fn a_commit_that_returned_is_on_the_disk_whatever_the_defaults() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        let database = url.rsplit('/').next().unwrap();
        for setting in
            ["synchronous_commit = off", "default_transaction_isolation = 'serializable'"]
        {
            server.run(database, &format!("ALTER DATABASE {database} SET {setting}"));
        }
        let ledger = connect(&url).await.unwrap();
        for pool in [&engine(&ledger).owner.as_ref().unwrap().pool, &engine(&ledger).other] {
            for (name, value) in
                [("synchronous_commit", "on"), ("default_transaction_isolation", "read committed")]
            {
                let show = format!("SHOW {name}");
                let shown: String =
                    sqlx::query_scalar(sqlx::AssertSqlSafe(show)).fetch_one(pool).await.unwrap();
                assert_eq!(shown, value, "{name}");
            }
        }
    });
}

/// A machine that is frozen, or gone without a word, in the middle of a reservation.
#[test]
fn a_reservation_that_stands_still_holds_the_others_up_for_its_time_and_no_longer() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        let stalled = Duration::from_secs(1);
        let timing = LedgerTiming::default().with_stalled(stalled);
        let frozen = super::connect(&url, timing).await.unwrap();
        let other = connect(&url).await.unwrap();
        let begun = Instant::now();
        let held = engine(&frozen).begin_reserving("").await.unwrap();
        // The server ends what stands still: nothing was given back here.
        reserve(&other, 1).await;
        assert!(begun.elapsed() >= stalled, "two reserve at once");
        // It wakes: its transaction is gone, and it goes on by another session.
        drop(held);
        reserve(&frozen, 2).await;
    });
}

/// A pause after a 429 and a reservation at once: neither takes the other's word on the pace back.
#[test]
fn a_pace_never_goes_back() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        let ledgers = [connect(&url).await.unwrap(), connect(&url).await.unwrap()];
        let next = async || -> i64 {
            sqlx::query_scalar("SELECT next_us FROM pace")
                .fetch_one(&engine(&ledgers[0]).other)
                .await
                .unwrap()
        };
        for round in 0..40 {
            let throttled = reserve(&ledgers[0], 1_000 + round).await;
            let pause = AttemptOutcome {
                push_back: Some(Duration::from_millis(1)),
                ..outcome(How::Refused)
            };
            let before = next().await;
            let terms = terms();
            let (done, _) = tokio::join!(
                ledgers[0].record(&throttled, &pause, &terms),
                reserve(&ledgers[1], 2_000 + round)
            );
            done.unwrap();
            let spacing = super::super::quota::micros(terms.spacing);
            assert!(next().await >= before + spacing, "round {round}: a slot is free twice");
        }
    });
}

/// One ledger by two names: the order of a search_path does not tell two ledgers apart.
#[test]
fn reservations_take_turns_however_the_schema_is_found() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        let database = url.rsplit('/').next().unwrap();
        let one = connect(&url).await.unwrap();
        let other = format!("{url}?options=-c%20search_path%3Dpublic,emo_preflight");
        let other = connect(&other).await.unwrap();
        let held = engine(&one).begin_reserving("").await.unwrap();
        let waits = engine(&other).begin_reserving("");
        tokio::pin!(waits);
        let blocked = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        loop {
            let look = tokio::time::sleep(Duration::from_millis(20));
            tokio::select! {
                biased;
                _ = &mut waits => panic!("two reserve at once"),
                () = look => {}
            }
            if server.run(database, blocked) == "1\n" {
                break;
            }
        }
        drop(held);
        drop(waits.await.unwrap());
        reserve(&other, 1).await;
    });
}

/// A write that is given up while its transaction begins leaves no transaction open, in which what
/// comes next would be lost.
#[test]
fn a_beginning_that_is_given_up_swallows_nothing() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        connect(&url).await.unwrap();
        let proxy = pg::proxy::Proxy::delaying(server.port(), Duration::from_millis(20));
        let far = url.replace(&server.port().to_string(), &proxy.port().to_string());
        let ledger = connect(&far).await.unwrap();
        let near = connect(&url).await.unwrap();
        for millis in [4_u64, 24, 36, 44] {
            let number = usize::try_from(millis).unwrap();
            let attempt = reserve(&ledger, number).await;
            let begun = engine(&ledger).begin();
            let given_up = tokio::time::timeout(Duration::from_millis(millis), begun).await;
            drop(given_up);
            ledger.record(&attempt, &outcome(How::Settled), &terms()).await.unwrap();
            let look = near.look(&question(number), &Default::default()).await.unwrap();
            assert!(
                matches!(look, Lookup::Known(_)),
                "given up after {millis} ms: it is not there"
            );
        }
    });
}

/// As the documentation says: an administrator makes the schema, the program needs USAGE and DML.
#[test]
fn usage_and_dml_are_enough() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        let database = url.rsplit('/').next().unwrap();
        server.run(database, &ddl());
        let role = format!("worker_{database}");
        server.run(
            database,
            &format!(
                "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA emo_preflight TO {role};
                 GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA emo_preflight TO {role}"
            ),
        );
        let ledger = connect(&url.replace("test@", &format!("{role}@"))).await.unwrap();
        let attempt = reserve(&ledger, 1).await;
        assert!(ledger.mark_sending(&attempt).await.unwrap());
        ledger.record(&attempt, &outcome(How::Settled), &terms()).await.unwrap();
        assert_eq!(ledger.spend(None, None).await.unwrap().total().images_certain, 1);
    });
}
