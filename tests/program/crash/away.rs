//! A server that is away for longer than an answer is kept without one, and comes back within
//! `--ledger-wait`.

use std::time::Duration;

use emo_preflight::emulator::Fate;

use super::scene::{Scene, until};
use crate::pg;
use crate::rig::gist;

#[test]
fn an_answer_is_kept_for_as_long_as_the_ledger_is_waited_for() {
    // Of its own: the others' stays up.
    let Some(server) = pg::another() else { return };
    let scene = Scene::new();
    let images = scene.portraits(2);
    scene.emu().script(&images[0], [Fate::judge().late(Duration::from_secs(1))]);
    let input = scene.input("images.txt", &images);
    let mut command = scene.check_on(&server.database(), &input, "results.jsonl", 5.0);
    command.args(["--ledger-wait", "100", "--timing", "write-within=0.5"]);
    let mut process = scene.start(command.args(["--concurrency", "1"]));
    until("the first call", || scene.emu().calls() == 1);
    // It must not have its answer before the server is away.
    process.signal("STOP");
    server.stop("fast");
    process.signal("CONT");
    // The answer comes within a second, and is kept for longer than half a second.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(scene.emu().calls(), 1, "no call leaves meanwhile");
    assert!(!process.has_ended(), "{}", process.said());
    server.go();
    assert_eq!(process.end(), 0, "{}", process.said());
    let rows = scene.results("results.jsonl");
    assert_eq!(rows.iter().map(gist).collect::<Vec<_>>(), ["accepted", "accepted"]);
    assert_eq!(scene.emu().billed(), 2);
    server.stop("fast");
}
