//! What holds on every database.

use std::cell::Cell;

use super::*;
use crate::detect::Judgement;
use crate::ledger::samples::{self, question};
use crate::ledger::{CallEnd, CallRecord, spacing};
use crate::ledger::{LedgerAction, sqlite};
use crate::probe::Version;
use crate::report::{Billing, Reason, ReasonCode};
use crate::rules::BBox;

#[cfg(feature = "postgres")]
#[path = "../../../tests/pg/mod.rs"]
mod pg;

thread_local! {
    /// The wall clock of the test that runs on this thread.
    static NOW: Cell<i64> = const { Cell::new(1_790_000_000_000_000) };
}

fn test_clock() -> i64 {
    NOW.get()
}

fn advance(micros: i64) {
    NOW.set(NOW.get() + micros);
}

pub(super) fn terms() -> Terms {
    samples::terms(spacing(5.0), None)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum How {
    Settled,
    Refused,
    Unknown,
    NotSent,
}

pub(super) fn outcome(how: How) -> AttemptOutcome {
    let reason = || Reason::new(ReasonCode::BillingUnknown, "lost");
    let corner = BBox::from([1.0, 2.0, 3.0, 4.0]);
    let (end, billing) = match how {
        How::Settled => {
            let passed = Judgement::Passed { face: corner, ext: corner };
            (CallEnd::Settled(passed), Billing::certain(1))
        }
        How::Refused => (CallEnd::Refused(reason()), Billing::NONE),
        How::Unknown => (CallEnd::Unknown(reason()), Billing::UNKNOWN),
        How::NotSent => return AttemptOutcome::not_sent(),
    };
    let pass = br#"{"output":{"check_pass":true,"face_bbox":[1,2,3,4],"ext_bbox":[1,2,3,4]}}"#;
    AttemptOutcome {
        record: CallRecord { end, billing, ..CallRecord::not_sent() },
        was_sent: true,
        status: Some(200),
        verdict: "accepted",
        raw: (how == How::Settled).then(|| pass.as_slice().into()),
        push_back: None,
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A place for a ledger of either kind.
pub(super) enum Place {
    Sqlite(tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl Place {
    pub(super) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// An SQLite ledger's file.
    fn file(&self) -> std::path::PathBuf {
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

    async fn try_open(&self) -> Result<SqlLedger, LedgerError> {
        match self {
            Self::Sqlite(folder) => {
                sqlite::open(&folder.path().join("ledger.db"), test_clock).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                crate::ledger::postgres::connect(url, Duration::from_secs(5)).await
            }
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
    async fn run(&self, statement: &'static str) {
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

    /// Makes every change of an attempt fail.
    async fn break_attempts(&self) {
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

    async fn mend_attempts(&self) {
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
async fn until_gone(ledger: &SqlLedger, owner: &str) {
    let begun = Instant::now();
    while !ledger.backend.is_gone(owner).await.unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{owner} does not go");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The name that a ledger's owner goes by.
pub(super) async fn owner_of(ledger: &SqlLedger) -> String {
    match &ledger.backend {
        Backend::Sqlite(engine) => engine.owner_name().to_owned(),
        #[cfg(feature = "postgres")]
        Backend::Postgres(engine) => engine.owner_name().await.unwrap(),
    }
}

/// An SQLite ledger's own connections.
fn pools(ledger: &SqlLedger) -> &sqlite::Sqlite {
    match &ledger.backend {
        Backend::Sqlite(engine) => engine,
        #[cfg(feature = "postgres")]
        Backend::Postgres(_) => panic!("SQLite"),
    }
}

/// How far from now on the test's clock the next slot is booked, however long the booking takes.
async fn next_slot(ledger: &SqlLedger, number: usize, terms: &Terms) -> Duration {
    // What a slow disk changes is another test's.
    for time in [&ledger.booking, &ledger.marking] {
        time.forget();
    }
    let Ok(ReserveResult::Reserved { slot, .. }) =
        ledger.reserve(&question(number), terms, None).await
    else {
        panic!("sent");
    };
    let left = slot.saturating_duration_since(Instant::now());
    let booked: i64 = sqlx::query_scalar("SELECT slot_us FROM attempt ORDER BY id DESC LIMIT 1")
        .fetch_one(&pools(ledger).reader)
        .await
        .unwrap();
    let booked = Duration::from_micros(u64::try_from(booked - test_clock()).unwrap());
    assert!(left <= booked, "{left:?} of {booked:?}");
    booked
}

#[test]
fn a_clock_set_back_freezes_nothing_and_one_set_forward_lets_nothing_burst() {
    const HOUR: i64 = 3_600_000_000;
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let mut number = 0;
        for jump in [0, -HOUR, 2 * HOUR, -HOUR] {
            advance(jump);
            for n in 0..5 {
                number += 1;
                // The clock stands still, so the slots show the spacing.
                let slot = next_slot(&ledger, number, &terms()).await;
                assert_eq!(slot, AHEAD * 2 + terms().spacing * n, "{jump}, {n}");
            }
        }
    });
}

#[test]
fn a_pace_of_minutes_is_kept() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let slow = Terms { spacing: spacing(0.01), ..terms() };
        for (number, expected) in [(1, AHEAD * 2), (2, slow.spacing), (3, slow.spacing)] {
            let slot = next_slot(&ledger, number, &slow).await;
            assert_eq!(slot, expected, "{number}");
            advance(i64::try_from(slot.as_micros()).unwrap());
        }
    });
}

#[test]
fn a_push_back_holds_everyone_and_at_most_a_minute() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        for (pause, least, most) in [(3, 2_900, 3_000), (600, 59_000, 60_000)] {
            let attempt = match ledger.reserve(&question(pause), &terms(), None).await.unwrap() {
                ReserveResult::Reserved { attempt, .. } => attempt,
                _ => panic!("sent"),
            };
            let throttled = AttemptOutcome {
                push_back: Some(Duration::from_secs(u64::try_from(pause).unwrap())),
                ..outcome(How::Refused)
            };
            ledger.record(&attempt, &throttled, &terms()).await.unwrap();
            let slot = next_slot(&ledger, 100 + pause, &terms()).await.as_millis();
            assert!((least..=most).contains(&slot), "{pause}: {slot}");
        }
    });
}

#[test]
fn a_process_that_slept_finds_its_question_gone_and_frees_nothing() {
    block_on(async {
        for place in Place::all() {
            let sleeper = place.open().await;
            let asked = match sleeper.reserve(&question(1), &terms(), None).await.unwrap() {
                ReserveResult::Reserved { attempt, .. } => attempt,
                _ => panic!("sent"),
            };
            place.lose_lock(&sleeper).await;
            place.advance(1_000_000).await;
            let other = place.open().await;
            let retry_unknown = Some(other.moment().await.unwrap());
            let retrying = Terms { reuse: Reuse { retry_unknown, ..Reuse::default() }, ..terms() };
            let again = other.reserve(&question(1), &retrying, None).await.unwrap();
            assert!(matches!(again, ReserveResult::Reserved { .. }));
            // The sleeper wakes late: nothing was sent, and the question is the other's now.
            sleeper.record(&asked, &AttemptOutcome::not_sent(), &terms()).await.unwrap();
            let once_more = sleeper.reserve(&question(1), &terms(), None).await.unwrap();
            assert!(matches!(once_more, ReserveResult::InFlight(_)));
        }
    });
}

/// Given up by mistake, an attempt that comes to nothing after all leaves what was known before.
#[test]
fn a_wrong_guess_about_an_owner_takes_nothing_away() {
    block_on(async {
        let places = [Place::all(), Place::all()];
        let before = [How::Settled, How::Unknown];
        for (place, before) in places
            .into_iter()
            .zip(before)
            .flat_map(|(all, before)| all.into_iter().map(move |place| (place, before)))
        {
            let sleeper = place.open().await;
            let Ok(ReserveResult::Reserved { attempt, .. }) =
                sleeper.reserve(&question(1), &terms(), None).await
            else {
                panic!("sent");
            };
            sleeper.record(&attempt, &outcome(before), &terms()).await.unwrap();
            place.advance(1_000_000).await;
            // Asked anew: for its age, or because someone said so.
            let reuse = Reuse {
                max_age: Some(Duration::ZERO),
                retry_unknown: Some(sleeper.moment().await.unwrap()),
                same_content: false,
            };
            let anew = Terms { reuse, ..terms() };
            let Ok(ReserveResult::Reserved { attempt, .. }) =
                sleeper.reserve(&question(1), &anew, None).await
            else {
                panic!("sent");
            };
            assert!(sleeper.mark_sending(&attempt).await.unwrap());
            place.lose_lock(&sleeper).await;
            let other = place.open().await;
            let known = async || match other.lookup(&question(1), &Reuse::default()).await {
                Ok(Lookup::Known(known)) => known,
                _ => panic!("known"),
            };
            let is_settled = |known: &CallRecord| matches!(known.end, CallEnd::Settled(_));
            // Given up: the verdict before it is given, and what happened since is said.
            let given_up = known().await;
            assert_eq!(is_settled(&given_up), before == How::Settled, "{before:?}");
            assert_eq!(given_up.note.is_some(), before == How::Settled, "{before:?}");
            sleeper.record(&attempt, &AttemptOutcome::not_sent(), &terms()).await.unwrap();
            let after = known().await;
            assert_eq!(is_settled(&after), before == How::Settled, "{before:?}");
            assert_eq!(after.note, None, "{before:?}");
        }
    });
}

/// An answer that arrived whole over a connection that then broke was reported as lost; one that
/// cannot be understood, as that.
#[test]
fn what_was_unknown_stays_so_with_its_own_code_however_whole_its_answer_looks() {
    block_on(async {
        for place in Place::all() {
            let ledger = place.open().await;
            let passed = outcome(How::Settled).raw;
            let no_boxes = Some(br#"{"output":{"check_pass":true}}"#.as_slice().into());
            for (number, raw, code) in [
                (1, passed, ReasonCode::BillingUnknown),
                (2, no_boxes, ReasonCode::MalformedAnswer),
                (3, None, ReasonCode::BillingUnknown),
            ] {
                let Ok(ReserveResult::Reserved { attempt, .. }) =
                    ledger.reserve(&question(number), &terms(), None).await
                else {
                    panic!("sent");
                };
                let unknown = AttemptOutcome { raw, ..outcome(How::Unknown) };
                ledger.record(&attempt, &unknown, &terms()).await.unwrap();
                match ledger.lookup(&question(number), &Reuse::default()).await {
                    Ok(Lookup::Known(known)) => {
                        assert!(matches!(known.end, CallEnd::Unknown(_)), "{known:?}");
                        assert_eq!(
                            known.reason().map(|reason| &reason.code),
                            Some(&code),
                            "{number}"
                        );
                        assert_eq!(known.billing, Billing::UNKNOWN);
                    }
                    _ => panic!("known"),
                }
            }
        }
    });
}

#[test]
fn a_verdict_is_told_again_until_it_is_older_than_it_may_be() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let Ok(ReserveResult::Reserved { attempt, .. }) =
            ledger.reserve(&question(1), &terms(), None).await
        else {
            panic!("sent");
        };
        ledger.record(&attempt, &outcome(How::Settled), &terms()).await.unwrap();
        let reuse = Reuse { max_age: Some(Duration::from_secs(1)), ..Reuse::default() };
        for (passes, is_known) in [(0, true), (1_000_000, true), (1, false)] {
            advance(passes);
            let look = ledger.lookup(&question(1), &reuse).await.unwrap();
            assert_eq!(matches!(look, Lookup::Known(_)), is_known, "{passes} µs later");
        }
    });
}

#[test]
fn a_lock_held_for_too_long_is_an_error_and_no_call() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let other = place.open().await;
        let held = other.backend.begin().await.unwrap();
        match ledger.reserve(&question(1), &terms(), None).await {
            Err(LedgerError::Failed { action: LedgerAction::Write, why }) => {
                assert!(why.contains("locked"), "{why}");
            }
            _ => panic!("an error"),
        }
        drop(held);
        assert!(matches!(
            ledger.reserve(&question(1), &terms(), None).await,
            Ok(ReserveResult::Reserved { .. })
        ));
    });
}

/// SQLite itself made to say what it says on a full or read-only disk.
#[test]
fn a_full_or_read_only_disk_is_an_error_and_no_call() {
    block_on(async {
        for (makes, mends, says) in [
            (
                "PRAGMA max_page_count = 1",
                "PRAGMA max_page_count = 1000000",
                "database or disk is full",
            ),
            ("PRAGMA query_only = 1", "PRAGMA query_only = 0", "readonly database"),
        ] {
            let place = Place::sqlite();
            let ledger = place.open().await;
            let pragma = async |text: &'static str| {
                let mut writer = pools(&ledger).writer.acquire().await.unwrap();
                sqlx::raw_sql(text).execute(&mut *writer).await.unwrap();
            };
            pragma(makes).await;
            // A page may have room for a few rows yet; none of what fits is lost or half-written.
            let mut sent = 0;
            let error = loop {
                match ledger.reserve(&question(sent), &terms(), None).await {
                    Ok(ReserveResult::Reserved { .. }) => sent += 1,
                    Ok(_) => panic!("sent or an error"),
                    Err(error) => break error,
                }
            };
            assert!(error.to_string().contains(says), "{error}");
            pragma(mends).await;
            let attempts: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM attempt")
                .fetch_one(&pools(&ledger).reader)
                .await
                .unwrap();
            assert_eq!(attempts, i64::try_from(sent).unwrap());
            if let Err(error) = ledger.reserve(&question(sent), &terms(), None).await {
                panic!("{says}: not mended: {error}");
            }
        }
    });
}

#[test]
fn what_cannot_be_given_up_is_not_taken_over() {
    block_on(async {
        for place in Place::all() {
            let dead = place.open().await;
            let Ok(ReserveResult::Reserved { attempt, .. }) =
                dead.reserve(&question(1), &terms(), None).await
            else {
                panic!("sent");
            };
            assert!(dead.mark_sending(&attempt).await.unwrap());
            let other = place.open().await;
            let name = owner_of(&dead).await;
            place.end(dead).await;
            place.break_attempts().await;
            let Ok(ReserveResult::InFlight(asking)) =
                other.reserve(&question(1), &terms(), None).await
            else {
                panic!("being sent");
            };
            assert_eq!(asking.owner, name);
            assert!(other.is_held(&asking).await.is_err());
            assert!(place.try_open().await.is_err());
            place.mend_attempts().await;
            let Ok(ReserveResult::InFlight(asking)) =
                other.reserve(&question(1), &terms(), None).await
            else {
                panic!("being sent");
            };
            assert!(!other.is_held(&asking).await.unwrap());
            let known = other.reserve(&question(1), &terms(), None).await;
            assert!(matches!(known, Ok(ReserveResult::Known(_))));
        }
    });
}

/// Many processes may wait in line for longer than any pause: that is no clock set back.
#[test]
fn a_long_queue_is_not_taken_for_a_clock_set_back() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let slow = Terms { spacing: Duration::from_secs(10), ..terms() };
        for number in 0_u32..12 {
            let slot = next_slot(&ledger, number as usize, &slow).await;
            assert_eq!(slot, AHEAD * 2 + slow.spacing * number, "{number}");
        }
    });
}

#[test]
fn what_was_written_is_read_as_it_was() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let start: [u8; 32] = std::array::from_fn(|i| i as u8 * 8 + 1);
        let version =
            Version { length: Some(90_000), start, end: None, etag: Some("\"a\"".to_owned()) };
        let rejected = br#"{"output":{"check_pass":false},"usage":{"image_count":0}}"#;
        let refused = Judgement::Rejected(Reason::new(
            ReasonCode::CheckPassFalse,
            "the service gave no message",
        ));
        let free = AttemptOutcome {
            record: CallRecord { end: CallEnd::Settled(refused), ..CallRecord::not_sent() },
            raw: Some(rejected.as_slice().into()),
            ..outcome(How::Settled)
        };
        for (number, mut written) in [(1, outcome(How::Settled)), (2, free)] {
            written.record.request_id = Some(format!("id-{number}"));
            let asked = Question { version: Some(version.clone()), ..question(number) };
            let Ok(ReserveResult::Reserved { attempt, .. }) =
                ledger.reserve(&asked, &terms(), None).await
            else {
                panic!("sent");
            };
            ledger.record(&attempt, &written, &terms()).await.unwrap();
            let reader = sqlite::open_read_only(&place.file()).await.unwrap().unwrap();
            match reader.lookup(&asked, &Reuse::default()).await.unwrap() {
                Lookup::Known(known) => {
                    assert_eq!(known, CallRecord { recalled: true, ..written.record });
                }
                _ => panic!("known"),
            }
            let others = [
                Version { length: Some(90_001), ..version.clone() },
                Version { start: [1; 32], ..version.clone() },
                Version { start: [0; 32], ..version.clone() },
                Version { etag: Some("\"b\"".to_owned()), ..version.clone() },
            ];
            for other in others {
                let anew = Question { version: Some(other.clone()), ..question(number) };
                let look = reader.lookup(&anew, &Reuse::default()).await.unwrap();
                assert!(matches!(look, Lookup::Free), "{other:?}");
            }
        }
        assert!(sqlite::wall_clock() > NOW.get() - 365 * 86_400_000_000, "microseconds since 1970");
    });
}

/// Kept by a version that understood it: its bill is not forgotten with its meaning.
#[test]
fn an_answer_that_is_no_longer_understood_keeps_its_bill() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let Ok(ReserveResult::Reserved { attempt, .. }) =
            ledger.reserve(&question(1), &terms(), None).await
        else {
            panic!("sent");
        };
        let mut written = outcome(How::Settled);
        written.raw = Some(b"<verdict/>".as_slice().into());
        written.record.request_id = Some("id".to_owned());
        ledger.record(&attempt, &written, &terms()).await.unwrap();
        match ledger.lookup(&question(1), &Reuse::default()).await.unwrap() {
            Lookup::Known(known) => {
                assert!(matches!(known.end, CallEnd::Unknown(_)), "{known:?}");
                assert_eq!(
                    (known.billing, known.request_id.as_deref()),
                    (Billing::certain(1), Some("id"))
                );
            }
            _ => panic!("known"),
        }
    });
}

#[test]
fn the_cap_counts_what_is_being_sent_and_what_was_billed() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let capped = Terms { max_calls: Some(2), ..terms() };
        let reserve =
            async |number| ledger.reserve(&question(number), &capped, None).await.unwrap();
        let before = Instant::now();
        let ReserveResult::Reserved { attempt: first, mark, slot } = reserve(1).await else {
            panic!("sent")
        };
        assert!(mark >= before + AHEAD, "the booking reaches the disk before the mark");
        assert!(slot >= mark + AHEAD, "the mark reaches the disk before the slot");
        let ReserveResult::Reserved { attempt: second, .. } = reserve(2).await else {
            panic!("sent")
        };
        assert!(matches!(reserve(3).await, ReserveResult::CapTaken));
        ledger.record(&first, &outcome(How::Refused), &capped).await.unwrap();
        let ReserveResult::Reserved { attempt: third, .. } = reserve(3).await else {
            panic!("sent")
        };
        ledger.record(&second, &outcome(How::Settled), &capped).await.unwrap();
        assert!(matches!(reserve(4).await, ReserveResult::CapTaken));
        ledger.record(&third, &outcome(How::Unknown), &capped).await.unwrap();
        assert!(matches!(reserve(4).await, ReserveResult::CapReached));
    });
}

/// A clock may be set by a second without having been set back for good.
#[test]
fn a_clock_that_went_back_by_a_second_keeps_the_queue() {
    block_on(async {
        for (back, is_kept) in [(1_000_000, true), (1_000_001, false)] {
            let place = Place::sqlite();
            let ledger = place.open().await;
            let slow = Terms { spacing: Duration::from_secs(100), ..terms() };
            let mut last = 0;
            for number in [1, 2] {
                let Ok(ReserveResult::Reserved { attempt, .. }) =
                    ledger.reserve(&question(number), &slow, None).await
                else {
                    panic!("sent");
                };
                last = attempt.id;
            }
            NOW.set(last - back);
            let wait = next_slot(&ledger, 3, &slow).await;
            assert_eq!(wait > Duration::from_secs(150), is_kept, "{back}: {wait:?}");
        }
    });
}
