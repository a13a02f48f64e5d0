//! Progress on stderr: a bar for people, JSON for logs.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::cli::counts::Counts;
use crate::cli::{screen, text};
use crate::{Activity, Preflight};

/// How progress is to be shown; the `--help` of the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressKind {
    /// A bar on a terminal, unless rows go there
    Auto,
    /// A bar on a terminal, beside the rows too
    Bar,
    /// One JSON object every 10 s
    Json,
    /// Nothing
    None,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Bar,
    Json,
    Nothing,
}

impl ProgressKind {
    /// What it comes to here; rows on a terminal are progress enough.
    pub(super) fn shown(self, rows_on_terminal: bool) -> Shown {
        let terminal = std::io::stderr().is_terminal();
        match self {
            Self::Auto if terminal && !rows_on_terminal => Shown::Bar,
            Self::Bar if terminal => Shown::Bar,
            Self::Json => Shown::Json,
            Self::Auto | Self::Bar | Self::None => Shown::Nothing,
        }
    }
}

/// How a run is going.
pub(super) struct Progress {
    shown: Shown,
    bar: Option<ProgressBar>,
    gate: Option<Preflight>,
    total: Option<u64>,
    begun: Instant,
}

impl Progress {
    /// `total` is what is left to do, where that is known.
    pub(super) fn new(shown: Shown, gate: Option<Preflight>, total: Option<u64>) -> Self {
        let bar = (shown == Shown::Bar).then(|| bar(total));
        if bar.is_some() {
            screen::share_with(bar.clone());
        }
        Self { shown, bar, gate, total, begun: Instant::now() }
    }

    /// One more report was printed.
    pub(super) fn step(&self, counts: &Counts) {
        if let Some(bar) = &self.bar {
            bar.set_position(counts.pictures);
            bar.set_message(counts.in_short());
        }
    }

    /// Ten seconds have passed, or the run is over.
    pub(super) fn tick(&self, counts: &Counts) {
        if self.shown == Shown::Json {
            text::tell(self.line(counts));
        }
    }

    pub(super) fn finish(&self, counts: &Counts) {
        self.tick(counts);
        if let Some(bar) = &self.bar {
            screen::share_with(None);
            bar.finish_and_clear();
        }
    }

    fn line(&self, counts: &Counts) -> serde_json::Value {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let activity = self.gate.as_ref().map(Preflight::activity).unwrap_or_default();
        let spent = self.gate.as_ref().map(Preflight::spent).unwrap_or_default();
        let tenths = |number: f64| (number * 10.0).round() / 10.0;
        #[expect(clippy::cast_precision_loss, reason = "a rate and an estimate")]
        let (rate, done) = (spent.calls as f64 / seconds, counts.pictures as f64);
        let left = self.total.map(|total| total.saturating_sub(counts.pictures));
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let eta = left.filter(|_| done > 0.0).map(|left| (left as f64 * seconds / done).round());
        let Activity { in_flight, throttled, quota_idle, .. } = activity;
        json!({
            "progress": 1,
            "elapsed_s": tenths(seconds),
            "done": counts.pictures,
            "total": self.total,
            "verdicts": counts.by_verdict,
            "calls": spent.calls,
            "calls_per_second": tenths(rate),
            "images_certain": spent.images,
            "images_unknown": spent.unknown,
            "throttled": throttled,
            "quota_idle_s": tenths(quota_idle.as_secs_f64()),
            "in_flight": in_flight,
            "eta_s": eta,
        })
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{bar:24} {pos}/{len} {per_sec} eta {eta} {wide_msg}",
        None => "{spinner} {pos} {per_sec} {wide_msg}",
    };
    let target = ProgressDrawTarget::stderr_with_hz(5);
    let bar = ProgressBar::with_draw_target(total, target);
    // A template is text of ours; were it wrong, the plain bar would do.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// How often a line is written.
pub(super) const EVERY: Duration = Duration::from_secs(10);
