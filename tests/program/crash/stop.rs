//! Processes that are stopped for longer than anything they were promised, and go on.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use emo_preflight::emulator::{Fate, Served};
use serde_json::Value;

use super::scene::{Process, Scene, until};
use crate::rig::gist;

/// Two images, one paid, and a process stopped after the intent for the other was committed and
/// long before its slot.
struct Stopped {
    scene: Scene,
    images: Vec<Served>,
    sleeper: Process,
    /// How many attempts there were before the one it was stopped in.
    before: usize,
}

impl Stopped {
    fn between_intent_and_send(fates: impl IntoIterator<Item = Fate>) -> Self {
        // On a busy machine it may be through before it is stopped: then with more time between the two.
        let stopped = ["0.5", "2", "8"].into_iter().find_map(Self::in_time);
        let stopped = stopped.expect("it is stopped before it sends");
        stopped.scene.emu().script(&stopped.images[1], fates);
        stopped
    }

    /// None where it sent before it was stopped. The mark precedes its call by `between`, in seconds.
    fn in_time(between: &str) -> Option<Self> {
        let scene = Scene::new();
        let images = scene.portraits(2);
        let first = scene.input("first.txt", &images[..1]);
        assert_eq!(scene.run(&mut scene.check(&first, "first.jsonl", 100.0)), 0);
        let input = scene.input("images.txt", &images);
        let mut command = scene.check(&input, "sleeper.jsonl", 100.0);
        command.args(["--timing", &format!("commit-within={between}")]);
        let sleeper = scene.start(&mut command);
        Self::until_its_slot_is_over(scene, images, sleeper, "sending")
    }

    /// Stopped while the second is booked, whose slot is a few seconds away.
    fn with_a_booking() -> Self {
        let stopped = [0.4, 0.1].into_iter().find_map(|rate| {
            let scene = Scene::new();
            let images = scene.portraits(2);
            let input = scene.input("images.txt", &images);
            let mut command = scene.check(&input, "sleeper.jsonl", rate);
            let sleeper = scene.start(command.args(["--concurrency", "1"]));
            until("the first call", || scene.emu().calls() == 1);
            Self::until_its_slot_is_over(scene, images, sleeper, "booked")
        });
        stopped.expect("it is stopped before it marks")
    }

    /// Stops it once its second attempt is in this state; none where it went on before.
    fn until_its_slot_is_over(
        scene: Scene,
        images: Vec<Served>,
        sleeper: Process,
        state: &str,
    ) -> Option<Self> {
        until("the second intent", || scene.calls() == ["settled", state]);
        sleeper.signal("STOP");
        let slot: Vec<(i64,)> = scene.read("SELECT MAX(slot_us) FROM attempt");
        let slot = UNIX_EPOCH + Duration::from_micros(slot[0].0.try_into().unwrap());
        until("its slot is over", || SystemTime::now() > slot + Duration::from_millis(100));
        (scene.calls() == ["settled", state] && scene.emu().calls() == 1).then(|| Self {
            before: scene.attempts().len() - 1,
            scene,
            images,
            sleeper,
        })
    }

    /// A second process that asks both, and waits for another's answer for a second at the most.
    fn other(&self, output: &str) -> Command {
        let mut command = self.scene.check(&self.scene.path("images.txt"), output, 100.0);
        command.args(["--call-timeout", "0.5", "--timing", "answer-grace=0.5"]);
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

    /// The one that was marked when it was stopped, and nothing is under way any more.
    fn assert_first_attempt_was_not_sent(&self) {
        assert_eq!(self.scene.calls(), ["settled", "settled"]);
        assert_eq!(self.scene.attempts()[self.before], "not_sent", "{:?}", self.scene.attempts());
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
fn a_process_stopped_before_its_call_books_again() {
    let mut stopped = Stopped::between_intent_and_send([]);
    assert_eq!(stopped.scene.run(&mut stopped.other("other.jsonl")), 3);
    assert_eq!(stopped.gists("other.jsonl"), ["accepted", "failed billing_unknown"]);
    assert_eq!(stopped.scene.emu().calls(), 1, "nobody may send what another may have sent");

    stopped.wake();
    assert_eq!(stopped.sleeper.end(), 0);
    assert_eq!(stopped.gists("sleeper.jsonl"), ["accepted", "accepted"]);
    stopped.assert_first_attempt_was_not_sent();
    stopped.assert_each_was_paid_once();
}

/// A process's lock where others do not find it, for a while. For good it would end the process.
struct Hidden {
    lock: PathBuf,
    away: PathBuf,
}

impl Hidden {
    fn hide(lock: PathBuf) -> Self {
        let away = lock.parent().unwrap().with_extension("away");
        std::fs::rename(&lock, &away).unwrap();
        Self { lock, away }
    }

    fn put_back(self) {
        std::fs::rename(self.away, self.lock).unwrap();
    }
}

/// With its lock gone a process counts as gone, so its question becomes unknown. It wakes with
/// nobody else asking: nothing was sent, and it is the one to know that.
#[test]
fn a_process_stopped_before_its_call_and_given_up_still_books_again() {
    let mut stopped = Stopped::between_intent_and_send([]);
    let lock = Hidden::hide(stopped.scene.lock_of_the_sender());
    assert_eq!(stopped.scene.run(&mut stopped.other("other.jsonl")), 3);
    assert_eq!(stopped.gists("other.jsonl"), ["accepted", "failed billing_unknown"]);
    assert_eq!(stopped.scene.calls(), ["settled", "unknown"]);

    lock.put_back();
    stopped.wake();
    assert_eq!(stopped.sleeper.end(), 0);
    stopped.assert_first_attempt_was_not_sent();
    stopped.assert_each_was_paid_once();
}

/// It wakes while another process, which was told to ask what is unknown, waits for the answer.
#[test]
fn a_process_given_up_wakes_while_another_asks_in_its_place() {
    let slow = Fate::judge().late(Duration::from_secs(1));
    let mut stopped = Stopped::between_intent_and_send([slow]);
    let lock = Hidden::hide(stopped.scene.lock_of_the_sender());
    assert_eq!(stopped.scene.run(&mut stopped.other("other.jsonl")), 3);
    assert_eq!(stopped.gists("other.jsonl"), ["accepted", "failed billing_unknown"]);

    let input = stopped.scene.path("images.txt");
    let mut retry = stopped.scene.check(&input, "retry.jsonl", 100.0);
    let mut retry = stopped.scene.start(retry.arg("--retry-unknown"));
    until("the retry", || stopped.scene.emu().calls() == 2);
    lock.put_back();
    stopped.wake();
    assert_eq!([retry.end(), stopped.sleeper.end()], [0, 0]);
    assert_eq!(stopped.gists("retry.jsonl"), ["accepted", "accepted"]);
    assert_eq!(stopped.gists("sleeper.jsonl"), ["accepted", "accepted"]);
    assert_eq!(stopped.scene.results("sleeper.jsonl")[1]["from_ledger"], true);
    stopped.assert_first_attempt_was_not_sent();
    stopped.assert_each_was_paid_once();
}

/// The same, but it wakes when the other has its answer.
#[test]
fn a_process_given_up_wakes_after_another_asked_in_its_place() {
    let mut stopped = Stopped::between_intent_and_send([]);
    let lock = Hidden::hide(stopped.scene.lock_of_the_sender());
    // It finds the question given up itself: that was before it began to ask.
    let input = stopped.scene.path("images.txt");
    let mut retry = stopped.scene.check(&input, "retry.jsonl", 100.0);
    assert_eq!(stopped.scene.run(retry.arg("--retry-unknown")), 0);

    lock.put_back();
    stopped.wake();
    assert_eq!(stopped.sleeper.end(), 0);
    assert_eq!(stopped.scene.results("sleeper.jsonl")[1]["from_ledger"], true);
    stopped.assert_each_was_paid_once();
}

/// What it had only booked is another's to ask once its slot is over.
#[test]
fn a_process_stopped_with_a_booking_holds_nobody_up() {
    let mut stopped = Stopped::with_a_booking();
    assert_eq!(stopped.scene.run(&mut stopped.other("other.jsonl")), 0);
    assert_eq!(stopped.gists("other.jsonl"), ["accepted", "accepted"]);

    stopped.wake();
    assert_eq!(stopped.sleeper.end(), 0);
    assert_eq!(stopped.scene.results("sleeper.jsonl")[1]["from_ledger"], true);
    stopped.assert_first_attempt_was_not_sent();
    stopped.assert_each_was_paid_once();
}

/// What it was sending may have been billed: it takes its place under the cap, and lets the run end.
#[test]
fn a_process_stopped_after_its_call_holds_no_run_up() {
    let scene = Scene::new();
    let images = scene.portraits(2);
    scene.emu().script(&images[0], [Fate::judge().late(Duration::from_secs(2))]);
    let cap =
        ["--max-calls", "1", "--run", "X", "--call-timeout", "1", "--timing", "answer-grace=0.5"];
    let first = scene.input("first.txt", &images[..1]);
    let mut first = scene.start(scene.check(&first, "first.jsonl", 5.0).args(&cap[..4]));
    until("the call", || scene.emu().calls() == 1);
    first.signal("STOP");
    let second = scene.input("second.txt", &images[1..]);
    assert_eq!(scene.run(scene.check(&second, "second.jsonl", 5.0).args(cap)), 4);
    assert_eq!(gist(&scene.results("second.jsonl")[0]), "skipped cap_reached");
    assert_eq!(scene.calls(), ["sending"], "its owner lives");
    first.signal("CONT");
    assert_eq!(first.end(), 0);
    assert_eq!(scene.emu().calls(), 1);
    scene.assert_ledger_holds_the_bill();
}

#[test]
fn a_process_stopped_after_its_call_settles_the_question_late() {
    let scene = Scene::new();
    let images = scene.portraits(1);
    scene.emu().script(&images[0], [Fate::judge().late(Duration::from_secs(2))]);
    let input = scene.input("images.txt", &images);
    let mut sleeper = scene.start(&mut scene.check(&input, "sleeper.jsonl", 5.0));
    until("the call", || scene.emu().calls() == 1);
    sleeper.signal("STOP");
    let ask = |output: &str| -> (i32, Value) {
        let mut command = scene.check(&input, output, 5.0);
        command.args(["--call-timeout", "0.5", "--timing", "answer-grace=0.5"]);
        let status = scene.run(&mut command);
        (status, scene.results(output).remove(0))
    };

    // Its owner lives: the question stays its own, and the others wait only so long.
    let (status, row) = ask("second.jsonl");
    assert_eq!((status, gist(&row).as_str()), (3, "failed billing_unknown"));
    assert_eq!(scene.calls(), ["sending"]);
    // Its owner seems gone: the question is unknown, which is not for good.
    std::fs::remove_file(scene.lock_of_the_sender()).unwrap();
    let (status, row) = ask("third.jsonl");
    assert_eq!((status, gist(&row).as_str()), (3, "failed billing_unknown"));
    assert_eq!(scene.calls(), ["unknown"]);

    sleeper.signal("CONT");
    assert_eq!(sleeper.end(), 0);
    let (status, row) = ask("fourth.jsonl");
    assert_eq!((status, gist(&row).as_str()), (0, "accepted"));
    assert_eq!(row["from_ledger"], true);
    assert_eq!(scene.calls(), ["settled"]);
    assert_eq!((scene.emu().calls(), scene.emu().billed()), (1, 1));
    scene.assert_ledger_holds_the_bill();
}

/// One ledger by two names: who holds an attempt under the one is not gone under the other.
#[test]
fn a_ledger_by_another_name_is_the_same_ledger() {
    let scene = Scene::new();
    let images = scene.portraits(1);
    scene.emu().script(&images[0], [Fate::judge().late(Duration::from_secs(2))]);
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
