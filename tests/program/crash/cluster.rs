//! Six processes on one database, killed at random moments and started again, while its server goes
//! down too.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Fate, Served};

use super::scene::{Luck, Process, Scene};
use crate::pg;
use crate::rig::{gist, is_slow_tier};

#[test]
fn processes_that_die_and_a_server_that_goes_down_pay_for_each_image_once() {
    // Of its own: the others' stays up.
    let Some(server) = pg::another() else { return };
    let kills = std::env::var("EMO_PREFLIGHT_KILLS").ok().and_then(|text| text.parse().ok());
    let kills: usize = kills.unwrap_or(if is_slow_tier() { 12 } else { 4 });
    let (restarts, count) = (2 + kills / 15, 24 + kills * 12);
    let scene = Scene::on(Some(server.database()), None);
    let images = scene.portraits(count);
    for (index, image) in images.iter().enumerate() {
        match index % 10 {
            0 => scene.emu().script(image, [Fate::judge().reset()]),
            1..=3 => scene.emu().script(image, [Fate::judge().late(Duration::from_millis(400))]),
            4 => scene.emu().script(image, [Fate::error(500, "InternalError")]),
            _ => {}
        }
    }
    // A third of them stand in every input, the others in one each.
    let shared: Vec<Served> = images.iter().step_by(3).cloned().collect();
    let own = |n: usize| {
        let others = images.iter().enumerate().filter(|(i, _)| i % 3 != 0 && i % PROCESSES == n);
        others.map(|(_, image)| image.clone()).collect::<Vec<_>>()
    };
    let inputs: Vec<Vec<Served>> =
        (0..PROCESSES).map(|n| [own(n), shared.clone()].concat()).collect();
    let paths: Vec<_> =
        inputs.iter().enumerate().map(|(n, i)| scene.input(&format!("{n}.txt"), i)).collect();
    let start = |n: usize| -> Process {
        let mut command = scene.check(&paths[n], &format!("{n}.jsonl"), RPS);
        scene.start(command.args([
            "--run",
            "night",
            "--max-calls",
            "100000",
            "--call-timeout",
            "5",
        ]))
    };
    let mut luck = Luck::new();
    let begun = Instant::now();
    let mut processes: Vec<Process> = (0..PROCESSES).map(start).collect();
    let (mut killed, mut restarted) = (0, 0);
    while killed < kills || restarted < restarts {
        std::thread::sleep(Duration::from_millis(100 + luck.below(500)));
        if killed * restarts >= restarted * kills + kills / 2 && restarted < restarts {
            server.stop(if restarted % 2 == 0 { "immediate" } else { "fast" });
            std::thread::sleep(Duration::from_millis(300));
            server.go();
            restarted += 1;
        } else {
            let n = usize::try_from(luck.below(PROCESSES as u64)).unwrap();
            processes[n].kill();
            processes[n] = start(n);
            killed += 1;
        }
    }
    for (n, process) in processes.iter_mut().enumerate() {
        let status = process.end();
        assert!([0, 3].contains(&status), "{n}: {status}: {}", process.said());
    }
    let mut unknown = HashSet::new();
    for (n, input) in inputs.iter().enumerate() {
        let rows = scene.results(&format!("{n}.jsonl"));
        assert_eq!(rows.len(), input.len(), "one line an index");
        for (image, row) in input.iter().zip(&rows) {
            let (calls, billed) = (scene.emu().calls_for(image), scene.emu().billed_for(image));
            let what = format!("{image}: {calls} calls, {billed} billed, {row}");
            assert!(billed <= 1, "PAID TWICE: {what}");
            match gist(row).as_str() {
                "accepted" => assert_eq!(row["billing"]["images"], billed, "{what}"),
                "failed billing_unknown" => {
                    unknown.insert(image.url().to_owned());
                }
                other => panic!("{other}: {what}"),
            }
        }
    }
    scene.assert_ledger_holds_the_bill();
    // A mass kill leaves nothing booked behind, once somebody looks.
    let left: Vec<(i64,)> =
        scene.read("SELECT COUNT(*) FROM attempt WHERE state IN ('booked', 'sending')");
    assert_eq!(left, [(0,)]);
    println!(
        "{killed} kills, {restarted} restarts, {count} images, {} calls, {} billed, {} unknown, \
         {:.1} s",
        scene.emu().calls(),
        scene.emu().billed(),
        unknown.len(),
        begun.elapsed().as_secs_f64()
    );
}

const PROCESSES: usize = 6;
const RPS: f64 = 20.0;
