//! What clocks do to slots and ages; where it is SQLite alone, by a clock that the test sets.

use super::places::*;
use super::*;
use crate::ledger::quota::MOST_LATE;
use crate::ledger::timing::AHEAD;
use crate::ledger::{Lookup, spacing};

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

/// A queue that was booked is as long after a clock was set back as before, and no longer.
#[test]
fn a_clock_set_back_keeps_the_queue_and_one_set_forward_lets_nothing_burst() {
    const HOUR: i64 = 3_600_000_000;
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let mut number = 0;
        for (jump, queue) in [(0, 0), (-HOUR, 5), (-120_000_000, 10), (2 * HOUR, 0), (-1, 5)] {
            advance(jump);
            for n in queue..queue + 5 {
                number += 1;
                // The clock stands still, so the slots show the spacing.
                let slot = next_slot(&ledger, number, &terms()).await;
                assert_eq!(slot, AHEAD * 2 + terms().spacing * n, "{jump}, {n}");
            }
        }
    });
}

/// Each of eight processes has booked a call when the clock is set back by two minutes: those that are
/// booked then leave after them.
#[test]
fn a_clock_set_back_makes_nobody_call_sooner_than_what_is_booked() {
    block_on(async {
        for place in Place::all() {
            let mut ledgers = Vec::new();
            for _ in 0..8 {
                ledgers.push(place.open().await);
            }
            let mut slots = Vec::new();
            for round in 0..2 {
                for (number, ledger) in ledgers.iter().enumerate() {
                    let asked = question(100 * round + number);
                    match ledger.reserve(&asked, &terms(), None).await {
                        Ok(ReserveResult::Reserved { slot, .. }) => slots.push(slot),
                        _ => panic!("{number} is free"),
                    }
                }
                place.set_clock(-120_000_000).await;
            }
            let apart = slots.windows(2).map(|two| two[1].saturating_duration_since(two[0]));
            let closest = apart.min().unwrap();
            // A database's clock is read as exactly as half of a round trip; the spacing has a margin for it.
            let least = terms().spacing - Duration::from_millis(20);
            assert!(closest >= least, "{closest:?} of {slots:?}");
        }
    });
}

/// What was lost while the clock was ahead is asked again, and what was under way when a process began
/// is not, whatever the clock did then.
#[test]
fn what_was_unknown_when_a_process_began_is_told_without_a_clock() {
    block_on(async {
        for place in Place::all() {
            let ledger = place.open().await;
            let lose = async |number| {
                let attempt = reserved(&ledger, &question(number), &terms()).await;
                ledger.record(&attempt, &outcome(How::Unknown), &terms()).await.unwrap();
            };
            lose(1).await;
            let under_way = reserved(&ledger, &question(2), &terms()).await;
            place.set_clock(-120_000_000).await;
            let retry_unknown = Some(ledger.moment().await.unwrap());
            let reuse = Reuse { retry_unknown, ..Reuse::default() };
            place.set_clock(-120_000_000).await;
            ledger.record(&under_way, &outcome(How::Unknown), &terms()).await.unwrap();
            lose(3).await;
            for (number, is_free) in [(1, true), (2, false), (3, false)] {
                let look = ledger.look(&question(number), &reuse).await.unwrap();
                assert_eq!(matches!(look, Lookup::Free), is_free, "{number}");
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
            let attempt = reserved(&ledger, &question(pause), &terms()).await;
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
fn a_verdict_is_told_again_until_it_is_older_than_it_may_be() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let attempt = reserved(&ledger, &question(1), &terms()).await;
        ledger.record(&attempt, &outcome(How::Settled), &terms()).await.unwrap();
        let reuse = Reuse { max_age: Some(Duration::from_secs(1)), ..Reuse::default() };
        for (passes, is_known) in [(0, true), (1_000_000, true), (1, false)] {
            advance(passes);
            let look = ledger.look(&question(1), &reuse).await.unwrap();
            assert_eq!(matches!(look, Lookup::Known(_)), is_known, "{passes} µs later");
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

/// A machine that was suspended has missed the time: its slot is another's by now.
#[test]
fn an_attempt_whose_slot_is_over_is_not_marked() {
    block_on(async {
        let place = Place::sqlite();
        let ledger = place.open().await;
        let reserved = async |number| match ledger.reserve(&question(number), &terms(), None).await
        {
            Ok(ReserveResult::Reserved { attempt, .. }) => attempt,
            _ => panic!("reserved"),
        };
        let attempt = reserved(1).await;
        advance(i64::try_from(AHEAD.as_micros()).unwrap() * 2 + 35_000);
        assert!(ledger.mark_sending(&attempt).await.unwrap(), "35 ms late");
        let attempt = reserved(2).await;
        advance(1_000_000);
        assert!(!ledger.mark_sending(&attempt).await.unwrap(), "much later");
    });
}

/// A process that stands still and lives: what it has booked is free once its slot is over and it cannot
/// be marked any more, for who asks the same and for who needs its place under the cap.
#[test]
fn what_was_booked_is_free_once_its_slot_is_over_whoever_lives() {
    block_on(async {
        for by_question in [true, false] {
            for place in Place::all() {
                let (stopped, other) = (place.open().await, place.open().await);
                let capped = Terms { max_calls: Some(1), ..terms() };
                let attempt = reserved(&stopped, &question(1), &capped).await;
                let asked = question(if by_question { 1 } else { 2 });
                // To the microsecond where time stands still.
                let looks = match place {
                    Place::Sqlite(_) => [(micros(AHEAD * 2 + MOST_LATE), true), (1, false)],
                    #[cfg(feature = "postgres")]
                    Place::Postgres(_) => [(-30_000_000, true), (60_000_000, false)],
                };
                for (passes, is_held) in looks {
                    place.set_clock(passes).await;
                    match other.reserve(&asked, &capped, None).await.unwrap() {
                        ReserveResult::InFlight(found) if by_question => {
                            assert_eq!(found.attempt, attempt.id);
                            assert!(other.is_held(&found).await.unwrap(), "it lives");
                        }
                        ReserveResult::CapTaken if !by_question => {
                            other.abandon_the_dead().await.unwrap();
                        }
                        _ => panic!("{by_question}, {passes}: it is booked"),
                    }
                    let now = other.reserve(&asked, &capped, None).await.unwrap();
                    let is_free = matches!(now, ReserveResult::Reserved { .. });
                    assert_eq!(is_free, !is_held, "{by_question}, {passes}");
                }
                assert!(!stopped.mark_sending(&attempt).await.unwrap());
                // It wakes, and takes nothing away.
                stopped.record(&attempt, &AttemptOutcome::not_sent(), &capped).await.unwrap();
                let again = stopped.reserve(&asked, &capped, None).await.unwrap();
                assert!(matches!(again, ReserveResult::InFlight(_)), "{by_question}");
            }
        }
    });
}

/// What a process that stands still was sending may have been billed: it holds its place under the cap,
/// and lets the run end.
#[test]
fn what_has_no_answer_in_its_time_is_used_under_the_cap() {
    block_on(async {
        for place in Place::all() {
            let (stopped, other) = (place.open().await, place.open().await);
            let capped = Terms { max_calls: Some(1), ..terms() };
            place.hold_the_pace().await;
            let attempt = reserved(&stopped, &question(1), &capped).await;
            assert!(stopped.mark_sending(&attempt).await.unwrap());
            let looks = match place {
                Place::Sqlite(_) => [(micros(AHEAD * 2 + capped.answer_within), false), (1, true)],
                // Its slot is half a minute ahead.
                #[cfg(feature = "postgres")]
                Place::Postgres(_) => [(40_000_000, false), (80_000_000, true)],
            };
            for (passes, is_reached) in looks {
                place.set_clock(passes).await;
                other.abandon_the_dead().await.unwrap();
                match other.reserve(&question(2), &capped, None).await.unwrap() {
                    ReserveResult::CapTaken => assert!(!is_reached, "{passes}"),
                    ReserveResult::CapReached => assert!(is_reached, "{passes}"),
                    _ => panic!("{passes}: the cap is taken"),
                }
            }
            // It wakes, and its answer counts.
            stopped.record(&attempt, &outcome(How::Refused), &capped).await.unwrap();
            reserved(&other, &question(2), &capped).await;
        }
    });
}
