//! A ledger that cannot be read or written.

use std::time::{Duration, Instant};

use emo_preflight::{
    Certainty, GateError, GateTiming, PreflightBuilder, Report, RunOptions, Source, Verdict,
};
use futures_util::stream::StreamExt as _;

use super::scene::{Fault, Scene, check, code, sources};
use crate::common::until;

/// A fault at each write of an intent, its commit included: no call leaves.
#[tokio::test]
async fn no_call_leaves_on_a_failed_intent() {
    for fault in [
        Fault::on("INSERT", "pace"),
        Fault::on("INSERT", "attempt"),
        Fault::on("INSERT", "question"),
        Fault::on("INSERT", "attempt").at_commit(),
        Fault::on("INSERT", "question").at_commit(),
    ] {
        let scene = Scene::new().await;
        let images = scene.portraits(5);
        let gate = scene.gate().await;
        scene.break_on(fault).await;
        match gate.check(Source::url(images[0].url())).await {
            Err(error @ GateError::Ledger(_)) => assert!(!error.may_have_been_billed()),
            other => panic!("{fault:?}: {other:?}"),
        }
        let reports: Vec<Report> =
            gate.run(sources(&images), RunOptions::default()).collect().await;
        assert_eq!(reports.len(), 5, "{fault:?}");
        for report in &reports {
            assert_eq!(code(report), Some("ledger_error"), "{fault:?}: {report:?}");
            assert_eq!(report.billing.certainty, Certainty::None);
        }
        assert!(reports.iter().any(|report| report.verdict == Verdict::Failed));
        assert_eq!(scene.emulator.calls(), 0, "{fault:?}");
        // Mended, all goes on where it was.
        scene.mend(fault).await;
        assert_eq!(check(&gate, &images[0]).await.verdict.as_str(), "accepted", "{fault:?}");
    }
}

/// A fault at the write that says a call is about to leave, its commit included: it does not, and
/// nothing is unknown.
#[tokio::test]
async fn no_call_leaves_that_could_not_be_marked_as_sending() {
    let on_mark = Fault::on("UPDATE", "attempt").when("NEW.state = 'sending'");
    for fault in [on_mark, on_mark.at_commit()] {
        let scene = Scene::new().await;
        let image = &scene.portraits(1)[0];
        let gate = scene.gate().await;
        scene.break_on(fault).await;
        match gate.check(Source::url(image.url())).await {
            Err(error @ GateError::Ledger(_)) => assert!(!error.may_have_been_billed()),
            other => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!(scene.emulator.calls(), 0, "{fault:?}");
        scene.mend(fault).await;
        let report = check(&gate, image).await;
        assert_eq!((report.verdict.as_str(), report.from_ledger), ("accepted", false), "{fault:?}");
        assert_eq!(scene.emulator.calls(), 1, "{fault:?}");
    }
}

/// A disk that is full between the booking and the sending: the booked attempt is known not to
/// have left, also to the next process.
#[tokio::test]
async fn a_full_disk_leaves_nothing_unknown() {
    let scene = Scene::new().await;
    let images = scene.portraits(3);
    let ledger = scene.open_hastily().await;
    let within = Duration::from_millis(300);
    let timing = GateTiming::default().with_write_within(within).with_write_again(within / 10);
    let gate = scene.gate_with(|builder| builder.ledger(ledger).timing(timing)).await;
    let fault = Fault::on("UPDATE", "attempt");
    scene.break_on(fault).await;
    let reports: Vec<Report> = gate.run(sources(&images), RunOptions::default()).collect().await;
    assert_eq!(reports.len(), 3);
    for report in &reports {
        assert_eq!(code(report), Some("ledger_error"), "{report:?}");
        assert_eq!(report.billing.certainty, Certainty::None, "{report:?}");
    }
    assert_eq!(scene.emulator.calls(), 0);
    drop(gate);
    scene.mend(fault).await;
    let gate = scene.gate().await;
    for image in &images {
        assert_eq!(check(&gate, image).await.verdict.as_str(), "accepted");
    }
    assert_eq!(scene.emulator.calls(), 3);
}

/// A ledger that cannot be read any more ends a run like one that cannot be written.
#[tokio::test]
async fn no_call_leaves_when_the_ledger_cannot_be_read() {
    let scene = Scene::new().await;
    let images = scene.portraits(6);
    let gate = scene.gate().await;
    scene.sql("ALTER TABLE question RENAME TO elsewhere").await;
    let mut options = RunOptions::default();
    options.concurrency = 2;
    let reports: Vec<Report> = gate.run(sources(&images), options).collect().await;
    assert_eq!(reports.len(), 6);
    assert!(reports.iter().all(|report| code(report) == Some("ledger_error")), "{reports:?}");
    assert!(reports.iter().any(|report| report.verdict == Verdict::Skipped));
    assert_eq!(scene.emulator.calls(), 0);
}

/// A fault at each write of an answer that passes: the answer waits, nothing else leaves.
#[tokio::test]
async fn an_answer_that_cannot_be_written_holds_everything_until_it_is() {
    let at_answer = Fault::on("UPDATE", "attempt").when(ANSWERED);
    let at_question = Fault::on("UPDATE", "question").when("NEW.state = 'settled'");
    for fault in [at_answer, at_question, at_answer.at_commit(), at_question.at_commit()] {
        let scene = Scene::new().await;
        let images = scene.portraits(3);
        let timing = GateTiming::default().with_write_again(Duration::from_millis(20));
        let gate = scene.gate_with(|builder| builder.timing(timing)).await;
        scene.break_on(fault).await;
        let first = tokio::spawn(gate.check(Source::url(images[0].url())));
        until("the answer cannot be written", || gate.activity().unwritten == 1).await;
        let second = tokio::spawn(gate.check(Source::url(images[1].url())));
        until("the second wants to leave", || gate.activity().waiting == 1).await;
        // Its slot would be a tenth of a second away.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(
            scene.emulator.calls(),
            1,
            "{fault:?}: a call left while an answer was unwritten"
        );
        assert!(!first.is_finished() && !second.is_finished());
        scene.mend(fault).await;
        for report in [first.await, second.await] {
            assert_eq!(report.unwrap().unwrap().verdict.as_str(), "accepted", "{fault:?}");
        }
        let again = check(&scene.gate().await, &images[0]).await;
        assert!(again.from_ledger, "{fault:?}");
        assert_eq!(scene.emulator.billed(), 2);
    }
}

/// A fault that stays: the bill is known from the report, the run stops, nothing more leaves.
#[tokio::test]
async fn an_answer_that_cannot_be_written_at_all_is_reported_with_its_bill() {
    let scene = Scene::new().await;
    let images = scene.portraits(4);
    let ledger = scene.open_hastily().await;
    // Longer than a busy machine takes to write down that a slot was missed.
    let within = Duration::from_secs(3);
    let timing = GateTiming::default().with_write_within(within).with_write_again(within / 10);
    let hasty = |builder: PreflightBuilder| builder.ledger(ledger).timing(timing);
    let gate = scene.gate_with(hasty).await;
    let mut options = RunOptions::default();
    options.concurrency = 1;
    let fault = Fault::on("UPDATE", "attempt").when(ANSWERED);
    scene.break_on(fault).await;
    let begun = Instant::now();
    let reports: Vec<Report> = gate.run(sources(&images), options).collect().await;
    assert!(begun.elapsed() >= within, "{:?}: it was not tried again", begun.elapsed());
    assert_eq!((reports[0].verdict, code(&reports[0])), (Verdict::Failed, Some("ledger_error")));
    assert_eq!((reports[0].billing.images, reports[0].billing.certainty), (1, Certainty::Certain));
    assert!(
        reports[1..]
            .iter()
            .all(|r| r.verdict == Verdict::Skipped && code(r) == Some("ledger_error"))
    );

    // The gate owes the ledger an answer: no other call leaves before it is written.
    let refused = gate.check(Source::url(images[1].url())).await;
    assert!(matches!(refused, Err(GateError::Ledger(_))), "{refused:?}");
    assert_eq!(scene.emulator.calls(), 1);
    scene.mend(fault).await;
    gate.close().await;
    let again = check(&scene.gate().await, &images[0]).await;
    assert_eq!((again.verdict.as_str(), again.from_ledger), ("accepted", true));
    assert_eq!(scene.emulator.calls(), 1);
}

/// Of a row that tells how a call ended. A busy machine may book one that leaves too late, and so
/// not at all.
const ANSWERED: &str = "NEW.state NOT IN ('sending', 'not_sent')";
