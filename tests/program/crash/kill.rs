//! A batch that is killed at random moments and resumed until it completes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Fate, Served};
use serde_json::Value;

use super::scene::{Luck, Scene, until};
use crate::rig::{gist, is_slow_tier};

#[test]
fn a_batch_killed_again_and_again_pays_for_each_image_once() {
    let kills = std::env::var("EMO_PREFLIGHT_KILLS").ok().and_then(|text| text.parse().ok());
    match kills {
        Some(kills) => Batch::new(kills, kills * 3).run(),
        None if is_slow_tier() => Batch::new(20, 120).run(),
        None => Batch::new(8, 60).run(),
    }
}

/// What befalls an image's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Slow,
    Reset,
    CutOff,
    MalformedJson,
    GatewayPage,
    RefusedByModel,
    NoHuman,
    /// Refused without a verdict or a bill, so each resumption asks again, while it lasts.
    Refused,
    ThrottledOnce,
    ErrorOnce,
}

impl Kind {
    fn of(index: usize) -> Self {
        match index % 20 {
            0..=6 => Self::Plain,
            7..=10 => Self::Slow,
            11 => Self::Reset,
            12 => Self::CutOff,
            13 => Self::MalformedJson,
            14 => Self::GatewayPage,
            15 => Self::RefusedByModel,
            16 => Self::NoHuman,
            17 => Self::Refused,
            18 => Self::ErrorOnce,
            // A 429 holds everyone for more than a second.
            _ if index % 40 == 19 => Self::ThrottledOnce,
            _ => Self::Slow,
        }
    }

    fn fates(self, index: usize) -> Vec<Fate> {
        let late = Duration::from_millis(50 + 53 * (index as u64 % 9));
        match self {
            Self::Plain => vec![],
            Self::Slow => vec![Fate::judge().late(late)],
            Self::Reset => vec![Fate::judge().reset()],
            Self::CutOff => vec![Fate::judge().cut_off()],
            Self::MalformedJson => vec![Fate::malformed_json()],
            Self::GatewayPage => vec![Fate::html_504()],
            Self::RefusedByModel => vec![Fate::refused_by_model().late(late / 4)],
            Self::NoHuman => vec![Fate::error(400, "InvalidFile.NoHuman")],
            Self::Refused => Fate::error(400, "InvalidParameter").times(REFUSALS),
            Self::ThrottledOnce => vec![Fate::throttled()],
            Self::ErrorOnce => vec![Fate::error(500, "InternalError")],
        }
    }

    /// Its answer never arrives whole.
    fn loses_the_answer(self) -> bool {
        matches!(self, Self::Reset | Self::CutOff | Self::MalformedJson | Self::GatewayPage)
    }

    /// What it may come to when its answers arrive.
    fn gists(self) -> &'static [&'static str] {
        match self {
            Self::Reset | Self::CutOff | Self::MalformedJson | Self::GatewayPage => &[UNKNOWN],
            Self::RefusedByModel => &["rejected_remote check_pass_false"],
            Self::NoHuman => &["rejected_remote InvalidFile.NoHuman"],
            // Once its refusals are used up, it is judged.
            Self::Refused => &["failed InvalidParameter", "accepted"],
            _ => &["accepted"],
        }
    }

    /// How many calls the answers justify: one, and one more for each that was refused unbilled.
    fn calls_at_most(self) -> u64 {
        match self {
            Self::Refused => 1 + REFUSALS as u64,
            Self::ThrottledOnce | Self::ErrorOnce => 2,
            _ => 1,
        }
    }
}

struct Batch {
    scene: Scene,
    images: Vec<Served>,
    kills: usize,
    luck: Luck,
    /// Calls of each image when the ledger first held an answer to it, or an open question.
    /// None of these may be asked again.
    closed: HashMap<String, u64>,
    /// How many calls may have been in flight at the kills, at the most.
    in_flight: u64,
}

impl Batch {
    fn new(kills: usize, images: usize) -> Self {
        let scene = Scene::new();
        let images = scene.portraits(images);
        for (index, image) in images.iter().enumerate() {
            scene.emu().script(image, Kind::of(index).fates(index));
        }
        let luck = Luck::new();
        Self { scene, images, kills, luck, closed: HashMap::new(), in_flight: 0 }
    }

    fn run(mut self) {
        let begun = Instant::now();
        let input = self.scene.input("images.txt", &self.images);
        for kill in 0..self.kills {
            let (before, wanted) = (self.scene.emu().calls(), self.calls_until_the_next(kill));
            let mut process = self.scene.start(&mut self.scene.check(&input, OUTPUT, RPS));
            until("a new call", || {
                assert!(!process.has_ended(), "done before kill {kill}: {}", process.said());
                self.scene.emu().calls() >= before + wanted
            });
            // Now and then long enough that slow answers, and whole pauses, come to their end.
            let most = if self.luck.below(4) == 0 { 150 } else { 25 };
            std::thread::sleep(Duration::from_micros(self.luck.below(1 + most * 1_000)));
            process.kill();
            let made = self.scene.emu().calls() - before;
            self.in_flight += made.min(IN_FLIGHT) + BOOKED_AHEAD;
            // Not always: the log is to be found as the kill left it, too.
            if self.luck.below(2) == 0 {
                self.note_what_is_closed();
            }
        }
        let status = self.scene.run(&mut self.scene.check(&input, OUTPUT, RPS));
        assert_eq!(status, 3, "all have a result, and some of them no verdict");
        self.assert_nothing_was_paid_twice(begun.elapsed());
    }

    /// So many that the images last for all kills: each also takes some that were booked and
    /// not sent yet, or sent while it came.
    fn calls_until_the_next(&mut self, kill: usize) -> u64 {
        let asked: Vec<(i64,)> = match kill {
            0 => vec![(0,)],
            _ => self.scene.read("SELECT COUNT(DISTINCT identity) FROM attempt"),
        };
        let left = self.images.len() as u64 - u64::try_from(asked[0].0).unwrap();
        let each = (left / (self.kills - kill + 1) as u64).saturating_sub(1).max(1);
        1 + self.luck.below(2 * each - 1)
    }

    fn note_what_is_closed(&mut self) {
        let closed: Vec<(String, String)> = self.scene.read(
            "SELECT a.source, a.state FROM question q
             JOIN attempt a ON a.id = COALESCE(q.asking, q.attempt)
             WHERE a.state IN ('settled', 'unknown')",
        );
        for (source, state) in closed {
            let image = self.images.iter().find(|image| image.url() == source).unwrap();
            let calls = self.scene.emu().calls_for(image);
            assert!(calls > 0 || state == "unknown", "{source}: an answer to no call");
            self.closed.entry(source).or_insert(calls);
        }
    }

    fn assert_nothing_was_paid_twice(&self, took: Duration) {
        let emu = self.scene.emu();
        let rows = self.scene.results(OUTPUT);
        assert_eq!(rows.len(), self.images.len(), "one line an index");
        let attempts: Vec<(String, i64)> = self
            .scene
            .read("SELECT source, COUNT(*) FROM attempt WHERE state <> 'not_sent' GROUP BY source");
        let attempts: HashMap<String, i64> = attempts.into_iter().collect();
        let (mut by_fate, mut by_kill) = (0_u64, 0_u64);
        for (index, (image, row)) in self.images.iter().zip(&rows).enumerate() {
            let (kind, gist) = (Kind::of(index), gist(row));
            let (calls, billed) = (emu.calls_for(image), emu.billed_for(image));
            let what = format!("{image} ({kind:?}): {calls} calls, {billed} billed, {row}");
            assert_eq!(row["source"], image.url(), "{what}");
            assert!(billed <= 1, "PAID TWICE: {what}");
            assert!(calls <= kind.calls_at_most(), "asked again: {what}");
            let booked = attempts.get(image.url()).copied().unwrap_or(0);
            assert!(calls <= u64::try_from(booked).unwrap(), "a call in no book: {what}");
            if let Some(then) = self.closed.get(image.url()) {
                // A call that was in flight at a kill may have arrived a little later.
                let late = u64::from(gist == UNKNOWN && *then == 0);
                assert!(calls <= then + late, "asked again after {then} calls: {what}");
            }
            if gist == UNKNOWN {
                let count = if kind.loses_the_answer() { &mut by_fate } else { &mut by_kill };
                *count += 1;
                assert_eq!(row["billing"]["certainty"], "unknown", "{what}");
            } else {
                assert!(kind.gists().contains(&gist.as_str()), "not its fate: {what}");
                assert_eq!(row["billing"]["images"], billed, "{what}");
                assert_ne!(row["billing"]["certainty"], "unknown", "{what}");
            }
        }
        let billed = emu.received().iter().filter(|received| received.billed).count() as u64;
        assert_eq!(billed, emu.billed());
        assert!(billed <= self.images.len() as u64);
        assert!(by_kill <= self.in_flight, "{by_kill} unknown of {} in flight", self.in_flight);
        self.scene.assert_ledger_holds_the_bill();
        self.assert_the_ledger_is_the_results(&rows);
        println!(
            "{} kills, {} images, {} calls, {billed} billed, {by_fate} unknown by fate, \
             {by_kill} unknown by kill, {:.1} s",
            self.kills,
            rows.len(),
            emu.calls(),
            took.as_secs_f64(),
        );
    }

    /// No answer that was written down is missing from the results.
    fn assert_the_ledger_is_the_results(&self, rows: &[Value]) {
        let states: Vec<(String, String)> = self.scene.read(
            "SELECT a.source, a.state FROM question q
             JOIN attempt a ON a.id = COALESCE(q.asking, q.attempt)",
        );
        let states: HashMap<String, String> = states.into_iter().collect();
        for row in rows {
            let state = states.get(row["source"].as_str().unwrap()).map(String::as_str);
            let expected = match gist(row).as_str() {
                UNKNOWN => Some("unknown"),
                // Free: no attempt decides it.
                "failed InvalidParameter" => None,
                _ => Some("settled"),
            };
            assert_eq!(state, expected, "{row}");
        }
    }
}

const OUTPUT: &str = "results.jsonl";
const UNKNOWN: &str = "failed billing_unknown";

/// Slow enough that a call is one booking ahead: each kill takes few images, so that there are
/// many kills.
const RPS: f64 = 20.0;
const REFUSALS: usize = 3;

/// 20 a second, and half a second for the slowest answer.
const IN_FLIGHT: u64 = 10;

/// What may be booked and not yet sent.
const BOOKED_AHEAD: u64 = 2;
