//! A server that is away for longer than an answer is kept without one, and comes back within
//! `--ledger-wait`.

use std::time::Duration;

use emo_preflight::emulator::Fate;

use super::scene::{Scene, share_the_machine, until};
use crate::pg;
use crate::rig::gist;

#[test]
fn an_answer_is_kept_for_as_long_as_the_ledger_is_waited_for() {
    let _machine = share_the_machine();
    // Of its own: the others' stays up.
    let Some(server) = pg::another() else { return };
    let scene = Scene::new();
    let images = scene.portraits(2);
    scene.emu().script(&images[0], [Fate::judge().late(Duration::from_secs(2))]);
    let input = scene.input("images.txt", &images);
    let mut command = scene.check_on(&server.database(), &input, "results.jsonl", 5.0);
    let mut process = scene.start(command.args(["--ledger-wait", "60", "--concurrency", "1"]));
    until("the first call", || scene.emu().calls() == 1);
    server.stop("fast");
    std::thread::sleep(Duration::from_secs(33));
    assert_eq!(scene.emu().calls(), 1, "no call leaves meanwhile");
    server.go();
    assert_eq!(process.end(), 0, "{}", process.said());
    let rows = scene.results("results.jsonl");
    assert_eq!(rows.iter().map(gist).collect::<Vec<_>>(), ["accepted", "accepted"]);
    assert_eq!(scene.emu().billed(), 2);
    server.stop("fast");
}
