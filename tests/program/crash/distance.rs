//! Processes at different distances from the database share the pace all the same.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use emo_preflight::emulator::Served;

use super::scene::{Process, Scene, until};
use crate::pg::{self, proxy::Proxy};
use crate::rig::is_slow_tier;

/// One process beside the database, one 80 ms away from it: what each is told of the database's clock is
/// left open by half its way, and slots are so much further apart.
#[test]
fn slots_are_further_apart_by_half_the_way_to_the_database() {
    let Some(server) = pg::server() else { return };
    let scene = Scene::new();
    let images = scene.portraits(16);
    let mut processes = start_near_and_far(&scene, server, &images);
    for process in &mut processes {
        assert_eq!(process.end(), 0, "{}", process.said());
    }
    let attempts: Vec<(String, i64)> =
        scene.read("SELECT source, slot_us FROM attempt ORDER BY slot_us");
    let far: HashMap<&str, bool> =
        images.iter().enumerate().map(|(n, image)| (image.url(), n >= images.len() / 2)).collect();
    for pair in attempts.windows(2) {
        let [(source, slot), (_, next)] = pair else { unreachable!() };
        // (1 s + 35 ms) / 10, and half of 80 ms.
        let least = if far[source.as_str()] { 143_500 } else { 103_500 };
        assert!(next - slot >= least, "{} µs: {attempts:?}", next - slot);
    }
    assert_eq!(scene.emu().billed(), 16);
    scene.assert_ledger_holds_the_bill();
}

/// Half of the images each, at 10 calls a second.
fn start_near_and_far(scene: &Scene, server: &pg::Server, images: &[Served]) -> Vec<Process> {
    let proxy = Proxy::delaying(server.port(), Duration::from_millis(40));
    let near = scene.place();
    let far = near.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    [near, far]
        .iter()
        .zip(images.chunks(images.len() / 2))
        .enumerate()
        .map(|(n, (ledger, images))| {
            let input = scene.input(&format!("{n}.txt"), images);
            scene.start(&mut scene.check_on(ledger, &input, &format!("{n}.jsonl"), 10.0))
        })
        .collect()
}

#[test]
fn a_process_far_from_the_database_brings_no_429() {
    if !is_slow_tier() {
        println!("NOT RUN: a far process beside a near one for 30 s (EMO_PREFLIGHT_SLOW)");
        return;
    }
    let Some(server) = pg::server() else { return };
    let scene = Scene::at_rate(Some(10));
    let images = scene.portraits(800);
    let mut processes = start_near_and_far(&scene, server, &images);
    until("calls leave", || scene.emu().calls() >= 10);
    let (begun, before) = (Instant::now(), scene.emu().calls());
    std::thread::sleep(SPAN);
    let calls = scene.emu().calls() - before;
    let of_quota = begun.elapsed().as_secs_f64() * 10.0;
    let share = calls as f64 / of_quota;
    for process in &processes {
        process.signal("TERM");
    }
    for process in &mut processes {
        assert_eq!(process.end(), 143, "{}", process.said());
    }
    let refused = scene.emu().received().iter().filter(|r| r.status != Some(200)).count();
    let by_far = std::fs::read_to_string(scene.path("1.jsonl")).unwrap().lines().count();
    println!(
        "{calls} calls, {:.1} % of the quota, {refused} refused, {by_far} from afar",
        share * 100.0
    );
    assert_eq!(refused, 0, "429s");
    assert!(by_far > 0, "the far one calls too");
    // The window's edges may cost it one.
    assert!(calls as f64 + 1.0 >= 0.9 * of_quota, "{share}");
    scene.assert_ledger_holds_the_bill();
}

const SPAN: Duration = Duration::from_secs(30);
