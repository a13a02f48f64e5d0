//! What is known is given again, and what may have been billed is not repeated.

use std::time::Duration;

use emo_preflight::emulator::{Emulator, Fate};
use emo_preflight::{ApiKey, AspectRatio, Preflight, PreflightBuilder, Report, RunOptions, Source};
use futures_util::future::join_all;
use futures_util::stream::StreamExt as _;

use super::scene::{Scene, check, code, open, sources};
use crate::common::table::any_address;
use crate::common::until;

/// Each kind of answer, whether it is given again, and what it adds to the sums.
#[tokio::test]
async fn what_was_answered_is_given_again_by_the_next_process() {
    let wrong = Fate::boxes([150.0, 150.0, 250.0, 250.0], [100.0, 100.0, 300.0, 350.0]);
    let rows = [
        (Fate::judge(), "accepted", true),
        (Fate::without_usage(), "accepted", true),
        (Fate::refused_by_model(), "rejected_remote", true),
        (Fate::refused_with("InvalidFile.FacePose"), "rejected_remote", true),
        (Fate::error(400, "InvalidFile.NoHuman"), "rejected_remote", true),
        (Fate::error_in_output(400, "InvalidFile.NoHuman"), "rejected_remote", true),
        (wrong, "box_mismatch", true),
        (Fate::missing_box(), "failed", true),
        (Fate::error_with_usage(500, "InternalError"), "failed", true),
        (Fate::html_504(), "failed", true),
        (Fate::malformed_json(), "failed", true),
        (Fate::judge().reset(), "failed", true),
        (Fate::judge().cut_off(), "failed", true),
        (Fate::error(400, "InvalidParameter"), "failed", false),
        (Fate::error(418, "Something.New"), "failed", false),
    ];
    // Each on the heap: together they are too much for a test's stack.
    join_all(rows.into_iter().map(|row| Box::pin(is_given_again(row)))).await;
}

async fn is_given_again((fate, verdict, kept): (Fate, &str, bool)) {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    scene.emulator.script(&portrait, [fate.clone()]);
    let gate = scene.gate().await;
    let first = check(&gate, &portrait).await;
    assert_eq!((first.verdict.as_str(), first.from_ledger), (verdict, false), "{fate:?}");
    gate.close().await;
    drop(gate);

    let second = check(&scene.gate().await, &portrait).await;
    assert_eq!(second.from_ledger, kept, "{fate:?}: {second:?}");
    assert_eq!(scene.emulator.calls(), if kept { 1 } else { 2 }, "{fate:?}");
    if kept {
        assert_eq!(second.verdict, first.verdict, "{fate:?}");
        assert_eq!(code(&second), code(&first), "{fate:?}");
        assert_eq!((second.billing, second.request_id), (first.billing, first.request_id));
    }
}

#[tokio::test]
async fn equal_questions_of_several_processes_at_once_are_one_call() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    scene.emulator.script(&portrait, [Fate::judge().late(Duration::from_millis(400))]);
    let gates = [scene.gate().await, scene.gate().await, scene.gate().await];
    let checks = gates.iter().cycle().take(12).map(|gate| check(gate, &portrait));
    let reports = futures_util::future::join_all(checks).await;
    assert_eq!((scene.emulator.calls(), scene.emulator.billed()), (1, 1));
    assert_eq!(reports.iter().filter(|report| !report.from_ledger).count(), 1);
    assert!(reports.iter().all(|report| report.verdict == reports[0].verdict), "{reports:?}");
    scene.emulator.finish();
}

#[tokio::test]
async fn a_batch_shared_by_processes_is_paid_for_once() {
    let scene = Scene::new().await;
    let images = scene.portraits(60);
    let gates = [scene.gate().await, scene.gate().await, scene.gate().await];
    let runs = gates
        .iter()
        .map(|gate| gate.run(sources(&images), RunOptions::default()).collect::<Vec<Report>>());
    let reports = futures_util::future::join_all(runs).await.concat();
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"));
    assert_eq!(reports.iter().filter(|report| !report.from_ledger).count(), 60);
    assert_eq!((scene.emulator.calls(), scene.emulator.billed()), (60, 60));
}

#[tokio::test]
async fn an_unknown_bill_is_asked_again_once_and_only_when_told_to() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    scene.emulator.script(&portrait, [Fate::judge().reset(), Fate::judge().cut_off()]);
    assert_eq!(code(&check(&scene.gate().await, &portrait).await), Some("billing_unknown"));
    let again = check(&scene.gate().await, &portrait).await;
    assert_eq!((code(&again), again.from_ledger), (Some("billing_unknown"), true));
    assert_eq!(scene.emulator.calls(), 1);

    let retry = scene.gate_with(|builder| builder.retry_unknown(true)).await;
    for _ in 0..3 {
        assert_eq!(code(&check(&retry, &portrait).await), Some("billing_unknown"));
        assert_eq!(scene.emulator.calls(), 2, "the new unknown is not asked again");
    }
    let later = scene.gate_with(|builder| builder.retry_unknown(true)).await;
    assert_eq!(check(&later, &portrait).await.verdict.as_str(), "accepted");
    assert_eq!(scene.emulator.calls(), 3);
    scene.emulator.finish();
}

/// What an attempt that came to nothing finds, it leaves: a verdict stays known and an unknown bill
/// unknown.
#[tokio::test]
async fn a_refused_attempt_leaves_what_was_known_before() {
    let scene = Scene::new().await;
    let (settled, unknown) = (scene.portrait("settled.png"), scene.portrait("unknown.png"));
    scene.emulator.script(&settled, [Fate::judge(), Fate::error(403, "AccessDenied")]);
    scene.emulator.script(&unknown, [Fate::judge().reset(), Fate::error(403, "AccessDenied")]);
    let gate = scene.gate().await;
    check(&gate, &settled).await;
    check(&gate, &unknown).await;
    let again = |builder: PreflightBuilder| {
        builder.ledger_max_age(Duration::from_millis(1)).retry_unknown(true)
    };
    for image in [&settled, &unknown] {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let refused = check(&scene.gate_with(again).await, image).await;
        assert_eq!((code(&refused), refused.from_ledger), (Some("AccessDenied"), false));
    }
    assert_eq!(scene.emulator.calls(), 4);
    let plain = scene.gate().await;
    let report = check(&plain, &settled).await;
    assert_eq!((report.verdict.as_str(), report.from_ledger), ("accepted", true));
    let report = check(&plain, &unknown).await;
    assert_eq!((code(&report), report.from_ledger), (Some("billing_unknown"), true));
    assert_eq!(scene.emulator.calls(), 4, "nothing was asked again");
    scene.emulator.finish();
}

#[tokio::test]
async fn what_makes_a_new_question() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    let url = portrait.url().to_owned();
    check(&scene.gate().await, &portrait).await;

    let rotated = Preflight::builder(ApiKey::new("sk-rotated").unwrap())
        .base_url(scene.emulator.base_url())
        .ledger(scene.open().await)
        .probe(any_address())
        .build()
        .await
        .unwrap();
    assert!(check(&rotated, &portrait).await.from_ledger, "a rotated key buys nothing anew");
    assert!(
        scene
            .gate()
            .await
            .check(Source::url(format!("{url}?Signature=x&OSSAccessKeyId=k&Expires=1")))
            .await
            .unwrap()
            .from_ledger
    );
    assert_eq!(scene.emulator.calls(), 1);

    let portrait_ratio = Source::url(&url).ratio(AspectRatio::Portrait);
    assert!(!scene.gate().await.check(portrait_ratio).await.unwrap().from_ledger);
    let model = scene.gate_with(|builder| builder.model("another")).await;
    assert_eq!(code(&check(&model, &portrait).await), Some("ModelNotFound"));
    let elsewhere = Emulator::builder().start().await.unwrap();
    let base = elsewhere.base_url();
    let moved = scene.gate_with(|builder| builder.base_url(base)).await;
    assert!(!check(&moved, &portrait).await.from_ledger);
    assert_eq!(elsewhere.calls(), 1);

    let aged = scene.gate_with(|builder| builder.ledger_max_age(Duration::from_millis(1))).await;
    assert!(!check(&aged, &portrait).await.from_ledger, "the verdict is too old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_of_a_process_that_ended_without_a_word_are_unknown() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    scene.emulator.script(&portrait, [Fate::judge().late(Duration::from_secs(3_600))]);
    // A runtime that is torn down under its call, as when a process dies.
    let (path, database) = (scene.path(), scene.database.clone());
    let (base, url) = (scene.emulator.base_url(), portrait.url().to_owned());
    let (dies, death) = tokio::sync::oneshot::channel();
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let gate = Preflight::builder(ApiKey::new("sk-test").unwrap())
                .base_url(base)
                .ledger(open(&path, database.as_deref()).await)
                .probe(any_address())
                .build()
                .await
                .unwrap();
            tokio::select! {
                _ = gate.check(Source::url(url)) => panic!("it is not answered"),
                _ = death => {}
            }
        });
        runtime.shutdown_background();
    });
    until("the call leaves", || scene.emulator.calls() == 1).await;
    dies.send(()).unwrap();
    process.join().unwrap();
    let report = check(&scene.gate().await, &portrait).await;
    assert_eq!((code(&report), report.from_ledger), (Some("billing_unknown"), true));
    assert_eq!(scene.emulator.calls(), 1);
    assert_eq!(scene.number("SELECT COUNT(*) FROM attempt WHERE state = 'unknown'").await, 1);
}
