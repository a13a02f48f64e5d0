//! Lookups that go together.

use std::time::Duration;

use super::tests::{connect, engine};
use super::*;
use crate::ledger::samples::question;
use crate::ledger::sql::places::{How, block_on, outcome, pg, reserved, terms};
use crate::ledger::{ImageKey, Lookup, Question, ReserveResult, Reuse, Terms};

const NO_REUSE: Reuse = Reuse { max_age: None, retry_unknown: None };

/// A ledger that is reached through a proxy, which counts what is asked.
async fn counted(server: &pg::Server, url: &str) -> (SqlLedger, pg::proxy::Proxy) {
    let proxy = pg::proxy::Proxy::delaying(server.port(), Duration::ZERO);
    let url = url.replace(&server.port().to_string(), &proxy.port().to_string());
    (connect(&url).await.unwrap(), proxy)
}

/// All that can be known of a question, by its number.
async fn prepare(ledger: &SqlLedger, number: usize) -> Question {
    let terms = terms();
    let asked = question(number);
    match number % 5 {
        0 => {}
        1 => {
            let attempt = reserved(ledger, &asked, &terms).await;
            ledger.record(&attempt, &outcome(How::Settled), &terms).await.unwrap();
        }
        2 => {
            let attempt = reserved(ledger, &asked, &terms).await;
            ledger.record(&attempt, &outcome(How::Unknown), &terms).await.unwrap();
        }
        3 => drop(reserved(ledger, &asked, &terms).await),
        // A verdict, and a lost call after it.
        _ => {
            let anew = Reuse { max_age: Some(Duration::ZERO), ..Reuse::default() };
            for how in [How::Settled, How::Unknown] {
                let terms = Terms { reuse: anew.clone(), ..terms.clone() };
                let attempt = reserved(ledger, &asked, &terms).await;
                ledger.record(&attempt, &outcome(how), &terms).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    asked
}

fn shown(found: &Option<Found>) -> String {
    let Some(found) = found else { return "not met before".to_owned() };
    match &found.lookup {
        Lookup::Free => "free".to_owned(),
        Lookup::Known(record) => format!("{record:?}"),
        Lookup::InFlight(other) => format!("{} of {}", other.attempt, other.owner),
    }
}

#[test]
fn lookups_that_wait_together_find_what_each_finds_alone_in_few_requests() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        let near = connect(&url).await.unwrap();
        let mut asked = Vec::new();
        for number in 0..60 {
            asked.push(prepare(&near, number).await);
        }
        // Each twice: two sources may be one image; and by where it was met, which is elsewhere too.
        asked.extend(asked.clone());
        let (far, proxy) = counted(server, &url).await;
        // Where a verdict is too old, what happened since counts.
        for max_age in [None, Some(Duration::ZERO)] {
            let reuse = Reuse { max_age, ..Reuse::default() };
            let queries: Vec<_> = asked
                .iter()
                .enumerate()
                .map(|(place, asked)| match asked.sighting {
                    Some(met) if place % 2 == 0 => {
                        Query { image: ImageKey::Sighting(met), ..asked.query(&reuse) }
                    }
                    _ => asked.query(&reuse),
                })
                .collect();
            let mut alone = Vec::new();
            for query in &queries {
                alone.push(shown(&near.lookup(*query).await.unwrap()));
            }
            let kinds: HashSet<_> = alone.iter().map(|shown| shown.get(..4)).collect();
            assert!(kinds.len() > 3, "{kinds:?}");
            let before = proxy.requests();
            let together = queries.iter().map(|query| far.lookup(*query));
            let together = futures_util::future::try_join_all(together).await.unwrap();
            let requests = proxy.requests() - before;
            assert_eq!(together.iter().map(shown).collect::<Vec<_>>(), alone);
            // Of each statement its text once, and the first alone before all others.
            assert!(requests < 20, "{requests} requests for {} lookups", asked.len());
        }
    });
}

/// One of many is given up in the middle of asking for all.
#[test]
fn a_lookup_that_is_given_up_takes_no_other_with_it() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        let proxy = pg::proxy::Proxy::delaying(server.port(), Duration::from_millis(20));
        let far = url.replace(&server.port().to_string(), &proxy.port().to_string());
        let ledger = std::sync::Arc::new(connect(&far).await.unwrap());
        for millis in [0, 10, 30, 50] {
            let lookups: Vec<_> = (0..9)
                .map(|number| {
                    let ledger = std::sync::Arc::clone(&ledger);
                    tokio::spawn(
                        async move { ledger.look(&question(number), &Reuse::default()).await },
                    )
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(millis)).await;
            // The first asked at once and alone, the second is the one that asks for the rest.
            for (number, lookup) in lookups.into_iter().enumerate() {
                if number < 2 {
                    lookup.abort();
                } else {
                    let found = lookup.await.unwrap().unwrap();
                    assert!(matches!(found, Lookup::Free), "{number}, after {millis} ms");
                }
            }
        }
    });
}

/// A row that a hand has spoilt.
#[test]
fn a_question_that_cannot_be_read_fails_alone() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        let ledger = connect(&url).await.unwrap();
        for number in [7, 11] {
            prepare(&ledger, number).await;
        }
        server.run(
            url.rsplit('/').next().unwrap(),
            "SET search_path = emo_preflight;
             ALTER TABLE attempt DISABLE TRIGGER ALL;
             ALTER TABLE attempt ALTER COLUMN images DROP NOT NULL;
             UPDATE attempt SET images = NULL WHERE source LIKE '%/7.jpg'",
        );
        let asked: Vec<_> = (0..20).map(question).collect();
        let lookups = asked.iter().map(|question| ledger.look(question, &NO_REUSE));
        let found = futures_util::future::join_all(lookups).await;
        for (number, found) in found.iter().enumerate() {
            let is_as_it_should = match number {
                7 => found.is_err(),
                11 => matches!(found, Ok(Lookup::Known(_))),
                _ => matches!(found, Ok(Lookup::Free)),
            };
            assert!(is_as_it_should, "{number}");
        }
    });
}

/// Others' reservations wait for each other's: who has no chance asks for none.
#[test]
fn a_long_queue_is_known_without_a_turn_at_it() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let url = server.database();
        let (ledger, proxy) = counted(server, &url).await;
        let terms = Terms { spacing: Duration::from_secs(3_000), ..terms() };
        let too_far = async |number, horizon| {
            let before = proxy.requests();
            let horizon = Some(Duration::from_secs(horizon));
            let found = ledger.reserve(&question(number), &terms, horizon).await.unwrap();
            let requests = proxy.requests() - before;
            match found {
                ReserveResult::QueueIsLong(too_far) => Some((too_far.as_secs(), requests)),
                ReserveResult::Reserved { .. } => None,
                _ => panic!("{number} is free"),
            }
        };
        reserved(&ledger, &question(1), &terms).await;
        assert!(
            matches!(too_far(2, 200).await, Some((2_500..3_000, 0))),
            "this process made it long"
        );
        // Another account has a queue of its own.
        let other = Terms { account: "other".to_owned(), ..terms.clone() };
        reserved(&ledger, &question(3), &other).await;
        reserved(&ledger, &question(2), &terms).await;
        // Long when it was last seen, it is looked at before a turn is taken.
        let holder = connect(&url).await.unwrap();
        let held = engine(&holder).begin_reserving("").await.unwrap();
        server.run(
            url.rsplit('/').next().unwrap(),
            "UPDATE emo_preflight.pace SET next_us = next_us + 10000000000",
        );
        assert!(
            matches!(too_far(4, 7_000).await, Some((8_000..9_000, 1))),
            "others made it longer"
        );
        assert!(matches!(too_far(4, 7_000).await, Some((8_000..9_000, 0))), "it was just seen");
        drop(held);
        assert_eq!(too_far(4, 20_000).await, None, "there is room");
    });
}

/// As a pooler does that gives a transaction another session: its owner is another process.
#[test]
fn a_session_of_another_owner_reserves_nothing() {
    let Some(server) = pg::server() else { return };
    block_on(async {
        let ledger = connect(&server.database()).await.unwrap();
        let owner = &engine(&ledger).owner.as_ref().unwrap().pool;
        let exchange = "SELECT set_config('emo_preflight.owner', $1, false)";
        for name in ["0123456789abcdef", ""] {
            sqlx::query(exchange).bind(name).execute(owner).await.unwrap();
            match ledger.reserve(&question(1), &terms(), None).await {
                Err(error) => assert!(error.to_string().contains("pooler"), "{error}"),
                Ok(_) => panic!("{name:?} is no owner of this process"),
            }
        }
    });
}
