//! What holds on every database, and what SQLite alone can be made to do.

use super::places::*;
use super::*;
use crate::detect::{Disposition, Judgement};
use crate::ledger::timing::AHEAD;
use crate::ledger::{CallRecord, ImageKey, LedgerAction, Lookup, sqlite};
use crate::probe::Sighting;
use crate::report::{Billing, Reason, ReasonCode};

#[test]
fn a_process_that_slept_finds_its_question_gone_and_frees_nothing() {
    block_on(async {
        for place in Place::all() {
            let sleeper = place.open().await;
            let asked = reserved(&sleeper, &question(1), &terms()).await;
            place.lose_lock(&sleeper).await;
            place.advance(1_000_000).await;
            let other = place.open().await;
            let retry_unknown = Some(other.moment().await.unwrap());
            let retrying = Terms { reuse: Reuse { retry_unknown, ..Reuse::default() }, ..terms() };
            let again = other.reserve(&question(1), &retrying, None).await.unwrap();
            assert!(matches!(again, ReserveResult::Reserved { .. }));
            // The sleeper wakes late: nothing was sent, and the question is the other's now.
            sleeper.record(&asked, &AttemptOutcome::not_sent(), &terms()).await.unwrap();
            let once_more = other.reserve(&question(1), &terms(), None).await.unwrap();
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
            let attempt = reserved(&sleeper, &question(1), &terms()).await;
            sleeper.record(&attempt, &outcome(before), &terms()).await.unwrap();
            place.advance(1_000_000).await;
            // Asked anew: for its age, or because someone said so.
            let reuse = Reuse {
                max_age: Some(Duration::ZERO),
                retry_unknown: Some(sleeper.moment().await.unwrap()),
            };
            let anew = Terms { reuse, ..terms() };
            let attempt = reserved(&sleeper, &question(1), &anew).await;
            assert!(sleeper.mark_sending(&attempt).await.unwrap());
            place.lose_lock(&sleeper).await;
            let other = place.open().await;
            let known = async || match other.look(&question(1), &Reuse::default()).await {
                Ok(Lookup::Known(known)) => known,
                _ => panic!("known"),
            };
            let is_settled =
                |known: &CallRecord| matches!(known.disposition, Disposition::Settled(_));
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
                let attempt = reserved(&ledger, &question(number), &terms()).await;
                let unknown = AttemptOutcome { raw, ..outcome(How::Unknown) };
                ledger.record(&attempt, &unknown, &terms()).await.unwrap();
                match ledger.look(&question(number), &Reuse::default()).await {
                    Ok(Lookup::Known(known)) => {
                        assert!(matches!(known.disposition, Disposition::Unknown(_)), "{known:?}");
                        assert_eq!(
                            known.disposition.reason().map(|reason| &reason.code),
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
fn a_lock_held_for_too_long_is_an_error_and_no_call() {
    block_on(async {
        let place = Place::sqlite();
        let hasty = LedgerTiming::default().with_busy(Duration::from_millis(100));
        let ledger = place.open_with(hasty).await.unwrap();
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
            let attempt = reserved(&dead, &question(1), &terms()).await;
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

#[test]
fn what_was_written_is_read_as_it_was() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let rejected = br#"{"output":{"check_pass":false},"usage":{"image_count":0}}"#;
        let refused = Judgement::Rejected(Reason::new(
            ReasonCode::CheckPassFalse,
            "the service gave no message",
        ));
        let free = AttemptOutcome {
            record: Some(CallRecord::new(Disposition::Settled(refused), Billing::NONE)),
            raw: Some(rejected.as_slice().into()),
            ..outcome(How::Settled)
        };
        for (number, mut written) in [(1, outcome(How::Settled)), (2, free)] {
            written.record.as_mut().unwrap().request_id = Some(format!("id-{number}"));
            let asked = question(number);
            let attempt = reserved(&ledger, &asked, &terms()).await;
            ledger.record(&attempt, &written, &terms()).await.unwrap();
            let reader = sqlite::open_read_only(&place.file()).await.unwrap().unwrap();
            match reader.look(&asked, &Reuse::default()).await.unwrap() {
                Lookup::Known(known) => {
                    // The answer comes with it, as it was.
                    let answer = known.answer.clone();
                    let body = answer.as_ref().map(|answer| answer.body.to_vec());
                    assert_eq!(body, written.raw.as_ref().map(|raw| raw.to_vec()));
                    let source = Some(asked.source.as_str().into());
                    let before =
                        CallRecord { recalled: true, answer, source, ..written.record.unwrap() };
                    assert_eq!(known, before);
                }
                _ => panic!("known"),
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
        let attempt = reserved(&ledger, &question(1), &terms()).await;
        let mut written = outcome(How::Settled);
        written.raw = Some(b"<verdict/>".as_slice().into());
        written.record.as_mut().unwrap().request_id = Some("id".to_owned());
        ledger.record(&attempt, &written, &terms()).await.unwrap();
        match ledger.look(&question(1), &Reuse::default()).await.unwrap() {
            Lookup::Known(known) => {
                assert!(matches!(known.disposition, Disposition::Unknown(_)), "{known:?}");
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

/// Where it was met, an image is known without its content; elsewhere it is not.
#[test]
fn an_image_is_known_where_it_was_met() {
    block_on(async {
        for place in Place::all() {
            let ledger = place.open().await;
            let (asked, reuse) = (question(1), Reuse::default());
            let met = async |ledger: &SqlLedger, at: Sighting| {
                let query = Query { image: ImageKey::Sighting(at), ..asked.query(&reuse) };
                ledger.lookup(query).await.unwrap()
            };
            let (here, there) = (asked.sighting.unwrap(), Sighting([9; 32]));
            assert!(met(&ledger, here).await.is_none());
            let attempt = reserved(&ledger, &asked, &terms()).await;
            let found = met(&ledger, here).await.unwrap();
            assert_eq!(found.content, asked.content);
            assert!(matches!(found.lookup, Lookup::InFlight(_)));
            ledger.record(&attempt, &outcome(How::Settled), &terms()).await.unwrap();
            place.advance(1_000_000).await;
            let other = place.open().await;
            let found = met(&other, here).await.unwrap();
            assert!(matches!(found.lookup, Lookup::Known(known) if known.recalled));
            assert!(met(&other, there).await.is_none());
            // Another image was met there since.
            let replaced = Question { sighting: Some(here), ..question(2) };
            reserved(&other, &replaced, &terms()).await;
            assert_eq!(met(&ledger, here).await.unwrap().content, replaced.content);
            // One that must be read each time is met nowhere.
            reserved(&other, &Question { sighting: None, ..question(3) }, &terms()).await;
        }
    });
}
