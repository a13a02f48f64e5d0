//! The local stage against origins that dawdle, fall silent or never end.

#![cfg(feature = "client")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::table::{check, row};
use common::{Request, Step, head, jpeg, png, ranged, status};

const SHORT: Duration = Duration::from_millis(300);

/// What a test takes beside the time it waits for.
const SLACK: Duration = Duration::from_secs(2);

fn picture() -> Vec<u8> {
    png(640, 800, 20_000)
}

#[tokio::test]
async fn an_origin_that_dawdles_costs_the_time_out_and_no_more() {
    let slowly = Duration::from_millis(10);
    let outcomes = check(
        [
            row("nothing is ever answered", |_| vec![Step::Hang]).bytes(0..=0),
            row("a head without end", move |_| {
                vec![
                    Step::Bytes(b"HTTP/1.1 200 OK\r\n".to_vec()),
                    Step::Forever(b"X-Filler: 1\r\n".to_vec(), slowly),
                ]
            })
            .bytes(0..=0),
            row("a range that trickles", move |r| {
                let range = format!("Content-Range: bytes 0-{}/500000", r.range().unwrap().1);
                vec![
                    Step::Bytes(head("206 Partial Content", &[&range, "Content-Length: 4096"])),
                    Step::Bytes(b"\xff\xd8".to_vec()),
                    Step::Forever(vec![0], slowly),
                ]
            })
            .bytes(3..=200),
            row("a stream that trickles", move |_| {
                vec![
                    Step::Bytes(head("200 OK", &[])),
                    Step::Bytes(b"\xff\xd8".to_vec()),
                    Step::Forever(vec![0], slowly),
                ]
            })
            .bytes(3..=200),
            row("a body that stops", |_| {
                vec![Step::Bytes(head("200 OK", &[])), Step::Bytes(vec![0xff, 0xd8]), Step::Hang]
            })
            .bytes(2..=2),
        ]
        .map(|row| {
            row.options(|o| o.timeout = SHORT)
                .says("undetermined/timeout")
                .mentions("300ms")
                .requests(1)
                .within(SHORT + SLACK)
        }),
    )
    .await;
    for outcome in outcomes {
        assert!(outcome.report.fetch.unwrap().elapsed_ms >= 300, "{:?}", outcome.report);
        outcome.origin.until(|seen| seen.hung_up == 1).await;
    }
}

#[tokio::test]
async fn the_time_out_covers_redirects_and_retries_together() {
    let slow = |then: fn(&Request) -> Vec<Step>| {
        move |r: &Request| {
            let mut steps = vec![Step::Wait(Duration::from_millis(120))];
            steps.extend(then(r));
            steps
        }
    };
    check(
        [
            row("redirects", slow(|_| common::redirect("/again")))
                .redirects(2)
                .requests(3)
                .says("undetermined/timeout"),
            row("ranges", slow(|r| ranged(r, &jpeg(640, 800, 60_000 * 9, 900_000))))
                .requests(3)
                .says("undetermined/timeout"),
            row("retries", slow(|_| status("500 Internal Server Error")))
                // The time ran out on a pause, and what led to it says more.
                .says("undetermined/http_status"),
        ]
        .map(|row| row.options(|o| o.timeout = SHORT).within(SHORT + SLACK)),
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_known_is_given_though_the_rest_stalls() {
    check([row("a range that stops behind the answer", |r| {
        let Some(Step::Bytes(mut bytes)) = ranged(r, &picture()).pop() else { panic!() };
        bytes.truncate(3_000);
        vec![Step::Bytes(bytes), Step::Hang]
    })
    .options(|o| o.timeout = SHORT)
    .requests(1)
    .size(640, 800)])
    .await;
}
