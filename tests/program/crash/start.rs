//! Processes that start at once on a ledger that is not there yet, and die of it.

use std::time::Duration;

use super::scene::{Luck, Process, Scene, until};
use crate::rig::{gist, is_slow_tier};

#[test]
fn processes_that_start_at_once_make_one_ledger() {
    for _ in 0..if is_slow_tier() { 10 } else { 4 } {
        let scene = Scene::new();
        let images = scene.portraits(6);
        let input = scene.input("images.txt", &images);
        let mut processes: Vec<Process> = (0..6)
            .map(|n| scene.start(&mut scene.check(&input, &format!("{n}.jsonl"), 100.0)))
            .collect();
        for process in &mut processes {
            assert_eq!(process.end(), 0, "{}", process.said());
        }
        for image in &images {
            assert_eq!(scene.emu().billed_for(image), 1, "{image}");
        }
        scene.assert_ledger_holds_the_bill();
    }
}

/// Killed while they make the file, its log and its tables; then one more makes use of it.
#[test]
fn a_ledger_whose_makers_were_killed_is_usable() {
    let mut luck = Luck::new();
    let (mut bare, mut made) = (0, 0);
    let rounds = if is_slow_tier() { 24 } else { 8 };
    for round in 0..rounds {
        let scene = Scene::new();
        let images = scene.portraits(4);
        let input = scene.input("images.txt", &images);
        let mut processes: Vec<Process> = (0..4)
            .map(|n| scene.start(&mut scene.check(&input, &format!("{n}.jsonl"), 100.0)))
            .collect();
        // While the file and its tables are made, once they are, and at the first calls.
        match round % 4 {
            0 | 1 => until("the file", || scene.ledger().exists()),
            2 => until("the tables", || tables(&scene).is_ok_and(|count| count > 0)),
            _ => until("a call", || scene.emu().calls() > 0),
        }
        std::thread::sleep(Duration::from_micros(luck.below(1_000 * MADE_MS)));
        for process in &mut processes {
            process.kill();
        }
        match tables(&scene) {
            Ok(0) | Err(_) => bare += 1,
            _ => made += 1,
        }
        let status = scene.run(&mut scene.check(&input, "last.jsonl", 100.0));
        let rows = scene.results("last.jsonl");
        assert_eq!(rows.len(), 4);
        for (image, row) in images.iter().zip(&rows) {
            let (gist, billed) = (gist(row), scene.emu().billed_for(image));
            assert!(billed <= 1, "{image}");
            match gist.as_str() {
                "accepted" => assert_eq!(billed, 1, "{image}"),
                "failed billing_unknown" => assert_eq!(status, 3),
                other => panic!("{other}"),
            }
        }
        scene.assert_ledger_holds_the_bill();
    }
    println!("killed {bare} times before the tables were made, {made} times after");
    // On a busy machine the tables may be made before the file is seen.
    assert!(made > 0 && (bare > 0 || !is_slow_tier()), "the kills miss what they are for");
}

fn tables(scene: &Scene) -> Result<i64, sqlx::Error> {
    let count = scene.try_read::<(i64,)>("SELECT COUNT(*) FROM sqlite_master")?;
    Ok(count[0].0)
}

/// What making the tables takes on a quiet machine.
const MADE_MS: u64 = 8;
