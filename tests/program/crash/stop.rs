//! Processes that are stopped for longer than anything they were promised, and go on.

use std::process::Command;
use std::time::Duration;

use emo_preflight::emulator::{Fate, Served};
use serde_json::Value;

use super::scene::{Process, Scene, share_the_machine, until};
use crate::rig::gist;

/// Two images, one paid, and a process stopped after the intent for the other was committed and
/// long before its slot.
struct Stopped {
    scene: Scene,
    images: Vec<Served>,
    sleeper: Process,
}

impl Stopped {
    fn between_intent_and_send(fates: impl IntoIterator<Item = Fate>) -> Self {
        Self::once("sending", fates)
    }

    /// Stopped once the second attempt is in this state.
    fn once(state: &str, fates: impl IntoIterator<Item = Fate>) -> Self {
        let scene = Scene::new();
        let images = scene.portraits(2);
        let input = scene.input("images.txt", &images);
        // Calls are 2.6 s apart: the second one's slot lies that far ahead when it is booked.
        let mut command = scene.check(&input, "sleeper.jsonl", 0.4);
        let sleeper = scene.start(command.args(["--concurrency", "1"]));
        until("the first call", || scene.emu().calls() == 1);
        until("the second intent", || scene.attempts() == ["settled", state]);
        sleeper.signal("STOP");
        scene.emu().script(&images[1], fates);
        // Longer than its slot is away.
        std::thread::sleep(Duration::from_secs(4));
        assert_eq!(scene.emu().calls(), 1, "it was to be stopped before it sent");
        Self { scene, images, sleeper }
    }

    /// A second process that asks both, and waits for another's answer for 11 s at the most.
    fn other(&self, output: &str) -> Command {
        let mut command = self.scene.check(&self.scene.path("images.txt"), output, 0.4);
        command.args(["--call-timeout", "1"]);
        command
    }

    /// The results of the two images.
    fn gists(&self, output: &str) -> [String; 2] {
        let rows = self.scene.results(output);
        [gist(&rows[0]), gist(&rows[1])]
    }

    fn wake(&mut self) {
        self.sleeper.signal("CONT");
    }

    fn assert_each_was_paid_once(&self) {
        for image in &self.images {
            assert_eq!(self.scene.emu().billed_for(image), 1, "{image}");
            assert_eq!(self.scene.emu().calls_for(image), 1, "{image}");
        }
        self.scene.assert_ledger_holds_the_bill();
    }
}

#[test]
fn a_process_stopped_before_its_call_ledger_again() {
    let _machine = share_the_machine();
    let mut stopped = Stopped::between_intent_and_send([]);
    assert_eq!(stopped.scene.run(&mut stopped.other("other.jsonl")), 3);
    assert_eq!(stopped.gists("other.jsonl"), ["accepted", "failed billing_unknown"]);
    assert_eq!(stopped.scene.emu().calls(), 1, "nobody may send what another may have sent");

    stopped.wake();
    assert_eq!(stopped.sleeper.end(), 0);
    assert_eq!(stopped.gists("sleeper.jsonl"), ["accepted", "accepted"]);
    assert_eq!(stopped.scene.attempts(), ["settled", "not_sent", "settled"]);
    stopped.assert_each_was_paid_once();
}

/// With its lock gone a process counts as gone, so its question becomes unknown. It wakes with
/// nobody else asking: nothing was sent, and it is the one to know that.
#[test]
fn a_process_stopped_before_its_call_and_given_up_still_ledger_again() {
    let _machine = share_the_machine();
    let mut stopped = Stopped::between_intent_and_send([]);
    std::fs::remove_file(stopped.scene.lock_of_the_sender()).unwrap();
    assert_eq!(stopped.scene.run(&mut stopped.other("other.jsonl")), 3);
    assert_eq!(stopped.gists("other.jsonl"), ["accepted", "failed billing_unknown"]);
    assert_eq!(stopped.scene.attempts(), ["settled", "unknown"]);

    stopped.wake();
    assert_eq!(stopped.sleeper.end(), 0);
    assert_eq!(stopped.scene.attempts(), ["settled", "not_sent", "settled"]);
    stopped.assert_each_was_paid_once();
}

/// It wakes while another process, which was told to ask what is unknown, waits for the answer.
#[test]
fn a_process_given_up_wakes_while_another_asks_in_its_place() {
    let _machine = share_the_machine();
    let slow = Fate::judge().late(Duration::from_secs(3));
    let mut stopped = Stopped::between_intent_and_send([slow]);
    std::fs::remove_file(stopped.scene.lock_of_the_sender()).unwrap();
    assert_eq!(stopped.scene.run(&mut stopped.other("other.jsonl")), 3);
    assert_eq!(stopped.gists("other.jsonl"), ["accepted", "failed billing_unknown"]);

    let input = stopped.scene.path("images.txt");
    let mut retry = stopped.scene.check(&input, "retry.jsonl", 0.4);
    let mut retry = stopped.scene.start(retry.arg("--retry-unknown"));
    until("the retry", || stopped.scene.emu().calls() == 2);
    stopped.wake();
    assert_eq!([retry.end(), stopped.sleeper.end()], [0, 0]);
    assert_eq!(stopped.gists("retry.jsonl"), ["accepted", "accepted"]);
    assert_eq!(stopped.gists("sleeper.jsonl"), ["accepted", "accepted"]);
    assert_eq!(stopped.scene.results("sleeper.jsonl")[1]["from_ledger"], true);
    assert_eq!(stopped.scene.attempts(), ["settled", "not_sent", "settled"]);
    stopped.assert_each_was_paid_once();
}

/// The same, but it wakes when the other has its answer.
#[test]
fn a_process_given_up_wakes_after_another_asked_in_its_place() {
    let _machine = share_the_machine();
    let mut stopped = Stopped::between_intent_and_send([]);
    std::fs::remove_file(stopped.scene.lock_of_the_sender()).unwrap();
    // It finds the question given up itself: that was before it began to ask.
    let input = stopped.scene.path("images.txt");
    let mut retry = stopped.scene.check(&input, "retry.jsonl", 0.4);
    assert_eq!(stopped.scene.run(retry.arg("--retry-unknown")), 0);

    stopped.wake();
    assert_eq!(stopped.sleeper.end(), 0);
    assert_eq!(stopped.scene.results("sleeper.jsonl")[1]["from_ledger"], true);
    stopped.assert_each_was_paid_once();
}

/// What it had only booked is another's to ask once its slot is over.
#[test]
fn a_process_stopped_with_a_booking_holds_nobody_up() {
    let _machine = share_the_machine();
    let mut stopped = Stopped::once("booked", []);
    assert_eq!(stopped.scene.run(&mut stopped.other("other.jsonl")), 0);
    assert_eq!(stopped.gists("other.jsonl"), ["accepted", "accepted"]);

    stopped.wake();
    assert_eq!(stopped.sleeper.end(), 0);
    assert_eq!(stopped.scene.results("sleeper.jsonl")[1]["from_ledger"], true);
    assert_eq!(stopped.scene.attempts(), ["settled", "not_sent", "settled"]);
    stopped.assert_each_was_paid_once();
}

/// What it was sending may have been billed: it takes its place under the cap, and lets the run end.
#[test]
fn a_process_stopped_after_its_call_holds_no_run_up() {
    let _machine = share_the_machine();
    let scene = Scene::new();
    let images = scene.portraits(2);
    scene.emu().script(&images[0], [Fate::judge().late(Duration::from_secs(2))]);
    let cap = ["--max-calls", "1", "--run", "X", "--call-timeout", "1"];
    let first = scene.input("first.txt", &images[..1]);
    let mut first = scene.start(scene.check(&first, "first.jsonl", 5.0).args(&cap[..4]));
    until("the call", || scene.emu().calls() == 1);
    first.signal("STOP");
    let second = scene.input("second.txt", &images[1..]);
    assert_eq!(scene.run(scene.check(&second, "second.jsonl", 5.0).args(cap)), 4);
    assert_eq!(gist(&scene.results("second.jsonl")[0]), "skipped cap_reached");
    assert_eq!(scene.attempts(), ["sending"], "its owner lives");
    first.signal("CONT");
    assert_eq!(first.end(), 0);
    assert_eq!(scene.emu().calls(), 1);
    scene.assert_ledger_holds_the_bill();
}

#[test]
fn a_process_stopped_after_its_call_settles_the_question_late() {
    let _machine = share_the_machine();
    let scene = Scene::new();
    let images = scene.portraits(1);
    scene.emu().script(&images[0], [Fate::judge().late(Duration::from_secs(2))]);
    let input = scene.input("images.txt", &images);
    let mut sleeper = scene.start(&mut scene.check(&input, "sleeper.jsonl", 5.0));
    until("the call", || scene.emu().calls() == 1);
    sleeper.signal("STOP");
    let ask = |output: &str| -> (i32, Value) {
        let mut command = scene.check(&input, output, 5.0);
        let status = scene.run(command.args(["--call-timeout", "1"]));
        (status, scene.results(output).remove(0))
    };

    // Its owner lives: the question stays its own, and the others wait only so long.
    let (status, row) = ask("second.jsonl");
    assert_eq!((status, gist(&row).as_str()), (3, "failed billing_unknown"));
    assert_eq!(scene.attempts(), ["sending"]);
    // Its owner seems gone: the question is unknown, which is not for good.
    std::fs::remove_file(scene.lock_of_the_sender()).unwrap();
    let (status, row) = ask("third.jsonl");
    assert_eq!((status, gist(&row).as_str()), (3, "failed billing_unknown"));
    assert_eq!(scene.attempts(), ["unknown"]);

    sleeper.signal("CONT");
    assert_eq!(sleeper.end(), 0);
    let (status, row) = ask("fourth.jsonl");
    assert_eq!((status, gist(&row).as_str()), (0, "accepted"));
    assert_eq!(row["from_ledger"], true);
    assert_eq!(scene.attempts(), ["settled"]);
    assert_eq!((scene.emu().calls(), scene.emu().billed()), (1, 1));
    scene.assert_ledger_holds_the_bill();
}

/// One ledger by two names: who holds an attempt under the one is not gone under the other.
#[test]
fn a_ledger_by_another_name_is_the_same_ledger() {
    let _machine = share_the_machine();
    let scene = Scene::new();
    let images = scene.portraits(1);
    scene.emu().script(&images[0], [Fate::judge().late(Duration::from_secs(4))]);
    let input = scene.input("images.txt", &images);
    let mut first = scene.start(&mut scene.check(&input, "first.jsonl", 5.0));
    until("the call", || scene.emu().calls() == 1);

    let alias = scene.path("alias.db");
    std::os::unix::fs::symlink(scene.ledger(), &alias).unwrap();
    let mut second = scene.check_on(alias.to_str().unwrap(), &input, "second.jsonl", 5.0);
    // It may ask what was unknown before it began. This was not: it was under way.
    assert_eq!(scene.run(second.arg("--retry-unknown")), 0);
    assert_eq!(first.end(), 0);
    assert_eq!(scene.results("second.jsonl")[0]["from_ledger"], true);
    assert_eq!((scene.emu().calls(), scene.emu().billed()), (1, 1));
    scene.assert_ledger_holds_the_bill();
}
