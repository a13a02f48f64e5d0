//! The cap and the quota, over processes that share the ledger.

use std::time::Instant;

use emo_preflight::emulator::Fate;
use emo_preflight::{Preflight, PreflightBuilder, Report, RunOptions, Verdict};
use futures_util::stream::StreamExt as _;

use super::scene::{Scene, check, code, sources};

#[tokio::test]
async fn the_cap_is_exact_over_processes_and_restarts() {
    let scene = Scene::new().await;
    let images = scene.portraits(30);
    // Unbilled calls give their place back; unknown ones keep it.
    for image in &images[..4] {
        scene.emulator.script(image, [Fate::error(400, "InvalidParameter")]);
    }
    scene.emulator.script(&images[5], [Fate::judge().reset()]);
    // An accepted image whose answer carries no bill may have been billed all the same.
    scene.emulator.script(&images[6], [Fate::without_usage()]);
    let capped = |builder: PreflightBuilder| builder.max_calls(10).run_id("night");
    let (first, second) = (scene.gate_with(capped).await, scene.gate_with(capped).await);
    let run = |gate: &Preflight| {
        gate.run(sources(&images), RunOptions::default()).collect::<Vec<Report>>()
    };
    let (a, b) = tokio::join!(run(&first), run(&second));
    assert_eq!(scene.emulator.billed(), 10);
    for reports in [&a, &b] {
        assert_eq!(reports.len(), 30);
        let skipped: Vec<_> = reports.iter().filter(|r| r.verdict == Verdict::Skipped).collect();
        assert!(skipped.iter().all(|report| code(report) == Some("cap_reached")));
        assert!(!skipped.is_empty());
    }
    // A restart of the same run has nothing left; another run has.
    let again = run(&scene.gate_with(capped).await).await;
    assert_eq!(scene.emulator.billed(), 10);
    assert!(again.iter().any(|report| report.from_ledger));
    run(&scene.gate_with(|builder| builder.max_calls(3).run_id("day")).await).await;
    assert_eq!(scene.emulator.billed(), 13);
}

#[tokio::test]
async fn a_single_check_over_the_cap_is_skipped_with_the_reason() {
    let scene = Scene::new().await;
    let images = scene.portraits(2);
    let gate = scene.gate_with(|builder| builder.max_calls(1)).await;
    assert_eq!(check(&gate, &images[0]).await.verdict.as_str(), "accepted");
    let over = check(&gate, &images[1]).await;
    assert_eq!((over.verdict, code(&over)), (Verdict::Skipped, Some("cap_reached")));
    assert!(check(&gate, &images[0]).await.from_ledger, "what is known needs no place");
}

/// Several processes, as fast as the quota lets them: the emulator refuses the sixth call of any
/// strict second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_is_used_and_never_exceeded_by_three_processes() {
    let scene = Scene::at_rate(Some(5)).await;
    let images = scene.portraits(40);
    // Two keys of one account are one quota.
    let mut gates = Vec::new();
    for key in ["sk-test", "sk-test", "sk-other"] {
        gates.push(scene.gate_of(key, |builder| builder.calls_per_second(5.0)).await);
    }
    let begun = Instant::now();
    let runs = gates
        .iter()
        .map(|gate| gate.run(sources(&images), RunOptions::default()).collect::<Vec<Report>>());
    let reports = futures_util::future::join_all(runs).await.concat();
    let seconds = begun.elapsed().as_secs_f64();
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"));
    assert_eq!(scene.emulator.calls(), 40, "none was refused and repeated");
    assert!(gates.iter().all(|gate| gate.activity().throttled == 0));
    // 39 spacings of at least 0.2 s.
    assert!(seconds >= 7.8, "{seconds}");
}
