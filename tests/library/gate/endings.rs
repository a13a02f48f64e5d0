//! Who leaves early loses nothing: dropped futures, stopped runs, closed gates.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, Fate, Picture, Served};
use emo_preflight::{GateError, Report, RunOptions, Source, Verdict};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};

use super::scene::{first_code, gate_on, one_portrait};
use crate::common::until;

/// Polls a future so many times, then holds it unpolled.
struct Polls<F>(Pin<Box<F>>, usize);

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.1 -= 1;
        match self.0.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.1 > 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_dropped_at_any_point_loses_no_call() {
    let mut points = Vec::new();
    for polls in 1..200 {
        // At a point the call may not have left yet, or be under way.
        let found = join_all([0, 2, 30].map(async |held| {
            let (emulator, portrait) = one_portrait().await;
            emulator.script(&portrait, [Fate::judge().late(Duration::from_millis(60))]);
            let gate = gate_on(&emulator).build().await.unwrap();
            let mut check = Polls(Box::pin(gate.check(Source::url(portrait.url()))), polls);
            let completed = (&mut check).await.is_some();
            tokio::time::sleep(Duration::from_millis(held)).await;
            drop(check);
            let spent = gate.close().await;
            // The emulator counts a call once it has read it: nothing is on its way after close.
            let point = format!("{polls} polls, then {held} ms");
            assert_eq!(
                (spent.calls, spent.images),
                (emulator.calls(), emulator.billed()),
                "{point}"
            );
            (completed, spent.calls)
        }))
        .await;
        points.extend(found.iter().map(|(_, calls)| *calls));
        if found.iter().all(|(completed, _)| *completed) {
            break;
        }
    }
    // Both kinds of points were met: before a call and during one.
    assert!(points.contains(&0) && points.contains(&1), "{points:?}");
}

/// Between its booking and its slot there may be a minute.
#[tokio::test]
async fn a_check_dropped_while_it_waits_for_its_slot_is_not_paid() {
    let (emulator, first) = one_portrait().await;
    let second = emulator.serve("/second.jpg", Picture::jpeg(480, 600));
    for spacing in [0.5, 2.0, 8.0, 30.0] {
        let gate = gate_on(&emulator).calls_per_second(1.0 / spacing).build().await.unwrap();
        let begun = Instant::now();
        gate.check(Source::url(first.url())).await.unwrap();
        let (before, booked) = (emulator.calls(), gate.activity().reservations);
        let dropped = tokio::spawn(gate.check(Source::url(second.url())));
        until("the second is booked", || gate.activity().reservations > booked).await;
        dropped.abort();
        let _ = dropped.await;
        if begun.elapsed().as_secs_f64() > spacing * 0.8 {
            // This machine is slow: the call may have left already.
            continue;
        }
        until("it waits no more", || gate.activity().waiting == 0).await;
        assert_eq!((gate.spent().calls, emulator.calls()), (1, before));
        let report = gate.check(Source::url(second.url())).await.unwrap();
        assert_eq!((report.verdict.as_str(), report.from_ledger), ("accepted", false));
        return;
    }
    panic!("this machine is too slow to drop a call before it leaves");
}

#[tokio::test]
async fn an_answer_nobody_waited_for_is_given_to_the_next_who_asks() {
    let (emulator, portrait) = one_portrait().await;
    emulator.script(&portrait, [Fate::judge().late(Duration::from_millis(200))]);
    let gate = gate_on(&emulator).build().await.unwrap();
    let first = tokio::spawn(gate.check(Source::url(portrait.url())));
    until("the call leaves", || emulator.calls() > 0).await;
    first.abort();
    let report = gate.check(Source::url(portrait.url())).await.unwrap();
    assert_eq!((report.verdict.as_str(), report.from_ledger), ("accepted", true));
    assert_eq!((emulator.calls(), gate.close().await.images), (1, 1));
}

#[tokio::test]
async fn a_wrong_key_stops_a_run_and_nothing_more_is_fetched() {
    let emulator = Emulator::builder().api_key("sk-another").start().await.unwrap();
    let served: Vec<Served> =
        (0..40).map(|n| emulator.serve(&format!("/{n}.png"), Picture::png(400, 400))).collect();
    let gate = gate_on(&emulator).calls_per_second(5.0).build().await.unwrap();
    let sources: Vec<Source> = served.iter().map(|s| Source::url(s.url())).collect();
    let mut options = RunOptions::default();
    options.concurrency = 4;
    let reports: Vec<Report> = gate.run(stream::iter(sources), options).collect().await;
    assert_eq!(reports.len(), 40);
    let (failed, skipped): (Vec<_>, Vec<_>) =
        reports.iter().partition(|report| report.verdict == Verdict::Failed);
    assert_eq!((failed.len(), emulator.calls(), emulator.billed()), (1, 1, 0));
    for report in failed.into_iter().chain(skipped) {
        assert_eq!(first_code(report), Some("InvalidApiKey"), "{report:?}");
    }
    let fetched = served.iter().filter(|s| emulator.fetches_of(s) > 0).count();
    assert!(fetched <= 5, "{fetched} images fetched");
}

#[tokio::test]
async fn a_stopped_run_ends_without_new_calls_and_reports_those_that_left() {
    let emulator = Emulator::builder().start().await.unwrap();
    let gate = gate_on(&emulator).calls_per_second(5.0).build().await.unwrap();
    let sources: Vec<Source> = (0..30)
        .map(|n| {
            let served = emulator.serve(&format!("/{n}.png"), Picture::png(400, 400));
            emulator.script(&served, [Fate::judge().late(Duration::from_millis(400))]);
            Source::url(served.url())
        })
        .collect();
    let run = gate.run(stream::iter(sources), RunOptions::default());
    let stopper = run.stopper();
    let reports = tokio::spawn(run.collect::<Vec<Report>>());
    until("two calls leave", || emulator.calls() >= 2).await;
    stopper.stop();
    let reports = reports.await.unwrap();
    assert_eq!(reports.len() as u64, emulator.billed());
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"));
    assert_eq!(gate.close().await.images, emulator.billed());
}

/// A refusal that was to be repeated is the answer of nobody but the run that was stopped.
#[tokio::test]
async fn a_stopped_runs_unfinished_call_is_made_by_another_run_that_waits_for_it() {
    let (emulator, portrait) = one_portrait().await;
    let later = Fate::error(503, "ModelUnavailable").with_header("retry-after", "60");
    emulator.script(&portrait, [later, Fate::judge()]);
    let gate = gate_on(&emulator).build().await.unwrap();
    let source = || stream::iter([Source::url(portrait.url())]);
    let stopped = gate.run(source(), RunOptions::default());
    let stopper = stopped.stopper();
    let stopped = tokio::spawn(stopped.collect::<Vec<Report>>());
    let pauses = || gate.spent().calls == 1 && gate.activity().in_flight == 0;
    until("the first call is refused", pauses).await;
    let other = tokio::spawn(gate.run(source(), RunOptions::default()).collect::<Vec<Report>>());
    until("the other looks at it", || emulator.fetches_of(&portrait) >= 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    stopper.stop();
    let stopped = stopped.await.unwrap();
    assert_eq!(first_code(&stopped[0]), Some("ModelUnavailable"));
    assert_eq!(other.await.unwrap()[0].verdict.as_str(), "accepted");
    assert_eq!((emulator.calls(), emulator.billed()), (2, 1));
}

#[tokio::test]
async fn a_run_ends_with_its_gate_and_fetches_no_more() {
    let emulator = Emulator::builder().start().await.unwrap();
    let served: Vec<Served> =
        (0..40).map(|n| emulator.serve(&format!("/{n}.png"), Picture::png(400, 400))).collect();
    let gate = gate_on(&emulator).build().await.unwrap();
    gate.close().await;
    let sources: Vec<Source> = served.iter().map(|s| Source::url(s.url())).collect();
    let mut options = RunOptions::default();
    options.concurrency = 4;
    let reports: Vec<Report> = gate.run(stream::iter(sources), options).collect().await;
    assert_eq!((reports.len(), emulator.calls()), (0, 0));
    let fetched = served.iter().filter(|s| emulator.fetches_of(s) > 0).count();
    assert!(fetched <= 8, "{fetched} images fetched");
}

#[tokio::test]
async fn a_closed_gate_sends_nothing_and_says_so() {
    let (emulator, portrait) = one_portrait().await;
    let gate = gate_on(&emulator).build().await.unwrap();
    gate.close().await;
    let error = gate.check(Source::url(portrait.url())).await.unwrap_err();
    assert_eq!(error, GateError::Closed);
    assert!(!error.may_have_been_billed());
    assert_eq!(emulator.calls(), 0);
}
