//! What clocks do to slots and ages; on SQLite, whose clock a test can set.

use super::places::*;
use super::*;
use crate::ledger::spacing;

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
                let attempt = reserved(&ledger, &question(number), &slow).await;
                last = attempt.id;
            }
            NOW.set(last - back);
            let wait = next_slot(&ledger, 3, &slow).await;
            assert_eq!(wait > Duration::from_secs(150), is_kept, "{back}: {wait:?}");
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

/// A process that stands still and lives: what it has booked is free after a minute, and it does not
/// send it when it wakes.
#[test]
fn what_was_booked_long_ago_is_taken_away_whoever_lives() {
    block_on(async {
        let place = Place::sqlite();
        let (stopped, other) = (place.open().await, place.open().await);
        let attempt = reserved(&stopped, &question(1), &terms()).await;
        for (passes, is_free) in [(59_000_000, false), (2_000_000, true)] {
            advance(passes);
            other.abandon_the_dead().await.unwrap();
            let look = other.look(&question(1), &Reuse::default()).await.unwrap();
            assert_eq!(matches!(look, Lookup::Free), is_free, "{passes}");
        }
        assert!(!stopped.mark_sending(&attempt).await.unwrap());
    });
}
