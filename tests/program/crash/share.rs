//! Several processes on one ledger share its pace and its cap.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use emo_preflight::emulator::{Fate, Received, Served};

use super::scene::{Process, Scene, until};
use crate::rig::{gist, is_slow_tier};

/// Three processes share a pace: slots are apart, and no call leaves before its slot.
#[test]
fn three_processes_share_one_pace() {
    let scene = Scene::new();
    let images = scene.portraits(18);
    // Both clocks at once: a slot is on the ledger's, an arrival on this test's own.
    let (begun, since) = (Instant::now(), SystemTime::now());
    let mut processes = start_three(&scene, &images, 10.0);
    for process in &mut processes {
        assert_eq!(process.end(), 0, "{}", process.said());
    }
    let slots: Vec<(String, i64)> = scene
        .read("SELECT source, slot_us FROM attempt WHERE state <> 'not_sent' ORDER BY slot_us");
    assert_eq!(slots.len(), 18);
    for pair in slots.windows(2) {
        let [(_, slot), (_, next)] = pair else { unreachable!() };
        // (1 s + 35 ms) / 10
        assert!(next - slot >= 103_500, "{slots:?}");
    }
    let slots: HashMap<String, i64> = slots.into_iter().collect();
    for call in scene.emu().received() {
        let arrived = (since + (call.arrived - begun)).duration_since(UNIX_EPOCH).unwrap();
        let slot = slots[&call.image_url.unwrap()];
        let early = slot - i64::try_from(arrived.as_micros()).unwrap();
        assert!(early < 10_000, "it left {early} µs before its slot");
    }
    assert_eq!(scene.emu().billed(), 18);
    scene.assert_ledger_holds_the_bill();
}

fn start_three(scene: &Scene, images: &[Served], rps: f64) -> Vec<Process> {
    let start = |(n, part): (usize, &[Served])| {
        let input = scene.input(&format!("{n}.txt"), part);
        scene.start(&mut scene.check(&input, &format!("{n}.jsonl"), rps))
    };
    images.chunks(images.len() / 3).enumerate().map(start).collect()
}

/// All the work they want, for 20 s, before a service that refuses the sixth call of any strict second.
#[test]
fn three_processes_use_the_quota_and_never_exceed_it() {
    if !is_slow_tier() {
        println!("NOT RUN: the quota of three processes for 20 s (EMO_PREFLIGHT_SLOW)");
        return;
    }
    let mut tries = 3;
    loop {
        tries -= 1;
        let seen = Seen::of_20_seconds();
        println!(
            "{} calls in 20 s ({} %), {} refused, closest six in {:?}, closest slots {} µs, \
             machine late by up to {:?}",
            seen.calls, seen.calls, seen.refused, seen.closest_six, seen.closest_slots, seen.stall
        );
        // What was promised, whatever the machine does: it is in the ledger.
        assert!(seen.closest_slots >= 207_000, "{} µs", seen.closest_slots);
        if seen.refused == 0 && seen.calls >= 95 {
            return;
        }
        // A machine that stands still for longer than the margin is no fault of the program's.
        let stalled = seen.stall > Duration::from_millis(20);
        assert!(stalled && tries > 0, "the quota was exceeded or left unused");
    }
}

struct Seen {
    calls: usize,
    refused: usize,
    closest_six: Duration,
    closest_slots: i64,
    stall: Duration,
}

impl Seen {
    fn of_20_seconds() -> Self {
        let scene = Scene::at_rate(Some(5));
        let images = scene.portraits(3 * 120);
        let stalls = Stalls::watch();
        let mut processes = start_three(&scene, &images, 5.0);
        until("the first call", || scene.emu().calls() > 0);
        std::thread::sleep(SPAN + Duration::from_millis(300));
        for process in &processes {
            process.signal("TERM");
        }
        for process in &mut processes {
            assert_eq!(process.end(), 143);
        }
        let stall = stalls.longest();
        let received = scene.emu().received();
        for image in &images {
            assert!(scene.emu().billed_for(image) <= 1, "{image}");
        }
        scene.assert_ledger_holds_the_bill();
        let mut slots: Vec<(i64,)> =
            scene.read("SELECT slot_us FROM attempt WHERE state <> 'not_sent'");
        slots.sort_unstable();
        Self {
            calls: received.iter().filter(|r| r.arrived - received[0].arrived < SPAN).count(),
            refused: received.iter().filter(|r| r.status != Some(200)).count(),
            closest_six: closest_six(&received),
            closest_slots: slots.windows(2).map(|two| two[1].0 - two[0].0).min().unwrap(),
            stall,
        }
    }
}

fn closest_six(received: &[Received]) -> Duration {
    let mut arrivals: Vec<Instant> = received.iter().map(|r| r.arrived).collect();
    arrivals.sort_unstable();
    arrivals.windows(6).map(|six| six[5] - six[0]).min().unwrap()
}

/// Notes for how long the machine leaves a thread standing that wants to run.
struct Stalls {
    over: Arc<AtomicBool>,
    watch: JoinHandle<Duration>,
}

impl Stalls {
    fn watch() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let watch = std::thread::spawn(move || {
            let (nap, mut longest) = (Duration::from_millis(2), Duration::ZERO);
            while !ended.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(nap);
                longest = longest.max(begun.elapsed().saturating_sub(nap));
            }
            longest
        });
        Self { over, watch }
    }

    fn longest(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.watch.join().unwrap()
    }
}

/// Three processes of one run, one of which asks what the others ask too.
fn run_with_cap(scene: &Scene, images: &[Served], cap: &str) {
    let half = images.len() / 2;
    let parts = [&images[..half], &images[half..], images];
    let mut processes: Vec<Process> = parts
        .iter()
        .enumerate()
        .map(|(n, part)| {
            let input = scene.input(&format!("{n}.txt"), part);
            let mut command = scene.check(&input, &format!("{n}.jsonl"), 100.0);
            scene.start(command.args(["--max-calls", cap, "--run", "X"]))
        })
        .collect();
    for process in &mut processes {
        assert_eq!(process.end(), 4, "{}", process.said());
    }
    let rows = (0..3).flat_map(|n| scene.results(&format!("{n}.jsonl")));
    assert!(rows.into_iter().any(|row| gist(&row) == "skipped cap_reached"));
}

#[test]
fn the_cap_of_three_processes_is_exact() {
    let scene = Scene::new();
    let images = scene.portraits(160);
    for (n, image) in images.iter().enumerate() {
        // A place under the cap that was taken for nothing comes back.
        match n % 8 {
            1 => scene.emu().script(image, [Fate::error(400, "InvalidParameter")]),
            3 => scene.emu().script(image, [Fate::judge().late(Duration::from_millis(300))]),
            5 => scene.emu().script(image, [Fate::error(400, "InvalidFile.NoHuman")]),
            _ => {}
        }
    }
    run_with_cap(&scene, &images, "60");
    println!("cap 60: {} billed of {} calls", scene.emu().billed(), scene.emu().calls());
    assert_eq!(scene.emu().billed(), 60, "not one more, not one less");
    for image in &images {
        assert!(scene.emu().billed_for(image) <= 1, "{image}");
    }
    scene.assert_ledger_holds_the_bill();
}

/// What may have been billed counts as if it was.
#[test]
fn calls_of_unknown_bill_take_their_places_under_the_cap() {
    for fate in [Fate::judge().reset(), Fate::without_usage()] {
        let scene = Scene::new();
        let images = scene.portraits(40);
        for image in &images {
            scene.emu().script(image, [fate.clone()]);
        }
        run_with_cap(&scene, &images, "15");
        assert_eq!(scene.emu().billed(), 15, "{fate:?}");
        scene.assert_ledger_holds_the_bill();
    }
}

/// The last place under the cap is held by a process that dies: the others learn of it.
#[test]
fn a_place_under_the_cap_that_died_holds_nobody_up() {
    let scene = Scene::new();
    let images = scene.portraits(2);
    scene.emu().script(&images[0], [Fate::judge().late(Duration::from_secs(60))]);
    let cap = ["--max-calls", "1", "--run", "X"];
    let first = scene.input("first.txt", &images[..1]);
    let mut first = scene.start(scene.check(&first, "first.jsonl", 5.0).args(cap));
    until("the call", || scene.emu().calls() == 1);
    let second = scene.input("second.txt", &images[1..]);
    let mut second = scene.start(scene.check(&second, "second.jsonl", 5.0).args(cap));
    // A moment to find the place taken.
    std::thread::sleep(Duration::from_millis(700));
    assert!(!second.has_ended(), "the first call may yet turn out unbilled: {}", second.said());
    first.kill();
    assert_eq!(second.end(), 4);
    assert_eq!(gist(&scene.results("second.jsonl")[0]), "skipped cap_reached");
    assert_eq!(scene.emu().calls(), 1);
    scene.assert_ledger_holds_the_bill();
}

/// A disk on which a booking takes longer than slots are booked ahead by default: calls leave all
/// the same.
#[test]
fn a_slow_disk_slows_calls_and_stops_none() {
    // It is SQLite's disk that is made slow.
    if super::database().is_some() {
        return;
    }
    let scene = Scene::new();
    let images = scene.portraits(4);
    let first = scene.input("first.txt", &images[..1]);
    assert_eq!(scene.run(&mut scene.check(&first, "first.jsonl", 5.0)), 0);
    scene.write(
        "CREATE TABLE slow (n INTEGER);
         CREATE TABLE hold (n INTEGER);
         INSERT INTO hold WITH RECURSIVE up (n) AS
             (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 2000) SELECT n FROM up;
         CREATE TRIGGER slow_disk AFTER INSERT ON attempt BEGIN
             INSERT INTO slow SELECT SUM(a.n + b.n) FROM hold a, hold b;
         END;",
    );
    let all = scene.input("all.txt", &images);
    let begun = Instant::now();
    assert_eq!(scene.run(&mut scene.check(&all, "all.jsonl", 5.0)), 0);
    println!("three calls on a slow disk: {:?}, {:?}", begun.elapsed(), scene.attempts());
    let late = scene.attempts().iter().filter(|state| *state == "not_sent").count();
    // How many more is a matter of the machine.
    assert!(late >= 1, "the disk is slow: {:?}", scene.attempts());
    for image in &images {
        assert_eq!(scene.emu().billed_for(image), 1, "{image}");
    }
    scene.assert_ledger_holds_the_bill();
}

const SPAN: Duration = Duration::from_secs(20);
