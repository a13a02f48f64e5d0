//! The cap and the quota, over processes that share the ledger.

use std::time::{Duration, Instant};

use emo_preflight::emulator::Fate;
use emo_preflight::{Preflight, PreflightBuilder, Report, RunOptions, Source, Verdict};
use futures_util::stream::StreamExt as _;

use super::scene::{Scene, check, code, sources};
use crate::common::is_slow_tier;

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
    assert!(again.iter().all(|report| report.from_ledger || report.billing.images == 0));
    let known = a.iter().chain(&b).find(|report| report.verdict.as_str() == "accepted").unwrap();
    let known = scene.gate_with(capped).await.check(Source::url(&known.source)).await.unwrap();
    assert!(known.from_ledger);
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

/// However late a call arrives, it leaves in a slot of its own: what three processes have booked lies as far
/// apart as the quota wants, and a little more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_book_no_two_calls_closer_than_the_quota_lets_them() {
    const RATE: i64 = 25;
    const CALLS: i64 = 25;
    let scene = Scene::new().await;
    let (reports, took) = by_three_processes(&scene, 25, 25.0).await;
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"));
    assert_eq!(scene.emulator.calls(), 25, "each is asked about once");
    let closest = "SELECT MIN(later - slot_us) FROM
                   (SELECT slot_us, LEAD(slot_us) OVER (ORDER BY slot_us) AS later FROM attempt) AS slots
                   WHERE later IS NOT NULL";
    let closest = scene.number(closest).await;
    assert!(closest >= 1_035_000 / RATE, "{closest} µs");
    // Nor does one leave before its slot.
    assert!(
        took >= Duration::from_micros(((CALLS - 1) * 1_035_000 / RATE).unsigned_abs()),
        "{took:?}"
    );
}

/// As fast as the quota lets them: the emulator refuses the sixth call of any strict second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_is_used_and_never_exceeded_by_three_processes() {
    if !is_slow_tier("how much of the quota is used, and when calls arrive") {
        return;
    }
    let scene = Scene::at_rate(Some(5)).await;
    let (reports, took) = by_three_processes(&scene, 40, 5.0).await;
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"));
    assert_eq!(scene.emulator.calls(), 40, "none was refused and repeated");
    let received = scene.emulator.received();
    let span = received[39].arrived - received[0].arrived;
    // 39 spacings of at least 0.2 s.
    assert!(took.as_secs_f64() >= 7.8, "{took:?}");
    assert!(39.0 / span.as_secs_f64() >= 0.95 * 5.0, "{span:?}: the quota is not used");
}

async fn by_three_processes(scene: &Scene, images: usize, rate: f64) -> (Vec<Report>, Duration) {
    let images = scene.portraits(images);
    let paced = |builder: PreflightBuilder| builder.calls_per_second(rate);
    // Two keys of one account are one quota.
    let gates = [
        scene.gate_of("sk-test", paced).await,
        scene.gate_of("sk-test", paced).await,
        scene.gate_of("sk-other", paced).await,
    ];
    let begun = Instant::now();
    let runs = gates
        .iter()
        .map(|gate| gate.run(sources(&images), RunOptions::default()).collect::<Vec<Report>>());
    let reports = futures_util::future::join_all(runs).await.concat();
    let took = begun.elapsed();
    assert!(gates.iter().all(|gate| gate.activity().throttled == 0));
    (reports, took)
}
