//! Processes at different distances from the database share the pace all the same.

use std::time::{Duration, Instant};

use super::scene::{Process, Scene, have_the_machine};
use crate::pg::{self, proxy::Proxy};

/// One process beside the database, one 80 ms away from it.
#[test]
fn a_process_far_from_the_database_brings_no_429() {
    let _machine = have_the_machine();
    let Some(server) = pg::server() else { return };
    let scene = Scene::at_rate(Some(5));
    let images = scene.portraits(400);
    let proxy = Proxy::delaying(server.port(), Duration::from_millis(40));
    let near = scene.place();
    let far = near.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    let mut processes: Vec<Process> = [near, far]
        .iter()
        .zip(images.chunks(200))
        .enumerate()
        .map(|(n, (ledger, images))| {
            let input = scene.input(&format!("{n}.txt"), images);
            scene.start(&mut scene.check_on(ledger, &input, &format!("{n}.jsonl"), 5.0))
        })
        .collect();
    let begun = Instant::now();
    while scene.emu().calls() < 10 {
        assert!(begun.elapsed() < Duration::from_secs(60), "calls leave");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (begun, before) = (Instant::now(), scene.emu().calls());
    std::thread::sleep(SPAN);
    let calls = scene.emu().calls() - before;
    let of_quota = begun.elapsed().as_secs_f64() * 5.0;
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
