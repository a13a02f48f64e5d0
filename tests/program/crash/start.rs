//! Processes that start at once on a ledger that is not there yet, and die of it.

use std::time::Duration;

use super::scene::{Luck, Process, Scene, share_the_machine};
use crate::rig::gist;

#[test]
fn processes_that_start_at_once_make_one_ledger() {
    let _machine = share_the_machine();
    for _ in 0..10 {
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
    let _machine = share_the_machine();
    let mut luck = Luck::new();
    let (mut bare, mut made) = (0, 0);
    for round in 0..ROUNDS {
        let scene = Scene::new();
        let images = scene.portraits(4);
        let input = scene.input("images.txt", &images);
        let mut processes: Vec<Process> = (0..4)
            .map(|n| scene.start(&mut scene.check(&input, &format!("{n}.jsonl"), 100.0)))
            .collect();
        // Mostly while the file is made, and now and then up to the first calls.
        let most = if round % 3 == 0 { CALLED_MS } else { MADE_MS };
        std::thread::sleep(Duration::from_micros(luck.below(1_000 * most)));
        for process in &mut processes {
            process.kill();
        }
        let tables = scene.try_read::<(i64,)>("SELECT COUNT(*) FROM sqlite_master");
        match tables.as_deref() {
            Ok([(0,)]) | Err(_) => bare += 1,
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
    assert!(bare > 0 && made > 0, "the kills miss what they are for: {bare}, {made}");
}

const ROUNDS: u64 = 24;

/// The tables are made by then, even on a busy machine.
const MADE_MS: u64 = 12;

/// The first calls have left by then.
const CALLED_MS: u64 = 600;
