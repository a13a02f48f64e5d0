//! Progress on stderr: a bar for people, JSON for logs.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::cli::counts::Counts;
use crate::cli::terminal::{screen, text};
use crate::{Activity, Preflight};

/// How progress is to be shown; the `--help` of the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ProgressKind {
    /// A bar on a terminal, unless rows go there
    Auto,
    /// A bar on a terminal, beside the rows too
    Bar,
    /// One JSON object every 10 s
    Json,
    /// Nothing
    None,
}

impl ProgressKind {
    /// What it comes to here; rows on a terminal are progress enough.
    pub(in crate::cli) fn shown(self, rows_on_terminal: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        match self {
            Self::Auto if terminal && !rows_on_terminal && !text::is_quiet() => Self::Bar,
            Self::Bar if terminal => Self::Bar,
            Self::Json => Self::Json,
            Self::Auto | Self::Bar | Self::None => Self::None,
        }
    }
}

/// How a run is going.
pub(in crate::cli) struct Progress {
    shown: ProgressKind,
    bar: Option<ProgressBar>,
    gate: Option<Preflight>,
    /// How many calls may leave in a second.
    pace: f64,
    total: Option<u64>,
    begun: Instant,
    /// How often a line is written.
    pub(in crate::cli) every: Duration,
}

impl Progress {
    /// `total` is what is left to do, where that is known; `gate` and the calls that may leave
    /// in a second, where calls are made.
    pub(in crate::cli) fn new(
        shown: ProgressKind,
        gate: Option<(Preflight, f64)>,
        total: Option<u64>,
        every: Duration,
    ) -> Self {
        let bar = (shown == ProgressKind::Bar).then(|| bar(total));
        if bar.is_some() {
            screen::share_with(bar.clone());
        }
        let (gate, pace) = gate.map_or((None, f64::INFINITY), |(gate, pace)| (Some(gate), pace));
        Self { shown, bar, gate, pace, total, begun: Instant::now(), every }
    }

    /// One more report was printed.
    pub(in crate::cli) fn step(&self, counts: &Counts) {
        if let Some(bar) = &self.bar {
            let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
            let mut line = counts.sources.to_string();
            if let Some(total) = self.total {
                line.push_str(&format!("/{total}"));
            }
            line.push_str(&format!(" {:.0}/s", float(counts.sources) / seconds));
            if let Some(left) = self.seconds_left(counts, seconds) {
                line.push_str(&format!(" eta {:#}", HumanDuration(left)));
            }
            let used = BAR + 1 + line.chars().count() + 1;
            let room = usize::from(console::Term::stderr().size().1).saturating_sub(used);
            bar.set_position(counts.sources);
            bar.set_message(format!("{line} {}", counts.in_short(room)));
        }
    }

    /// It is time for a line, or the run is over.
    pub(in crate::cli) fn tick(&self, counts: &Counts) {
        if self.shown == ProgressKind::Json {
            text::tell(self.line(counts));
        }
    }

    pub(in crate::cli) fn finish(&self, counts: &Counts) {
        self.tick(counts);
        if let Some(bar) = &self.bar {
            screen::share_with(None);
            bar.finish_and_clear();
        }
    }

    /// How long it will take, as far as one can see: at the rate so far, but what needs a call
    /// goes no faster than the quota.
    fn seconds_left(&self, counts: &Counts, elapsed: f64) -> Option<Duration> {
        let left = float(self.total?.saturating_sub(counts.sources));
        let done = float(counts.sources);
        if done == 0.0 {
            return None;
        }
        let Activity { waiting, in_flight, .. } = self.activity();
        let calling = float(waiting + in_flight);
        let share = (float(counts.called) + calling) / (done + calling);
        let calls = float(waiting) + share * (left - calling).max(0.0);
        let seconds = (left * elapsed / done).max(calls / self.pace);
        Duration::try_from_secs_f64(seconds.round()).ok()
    }

    fn activity(&self) -> Activity {
        self.gate.as_ref().map(Preflight::activity).unwrap_or_default()
    }

    fn line(&self, counts: &Counts) -> serde_json::Value {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let spent = self.gate.as_ref().map(Preflight::spent).unwrap_or_default();
        let tenths = |number: f64| (number * 10.0).round() / 10.0;
        let eta = self.seconds_left(counts, seconds).map(|left| left.as_secs_f64());
        let Activity { waiting, in_flight, throttled, quota_idle, .. } = self.activity();
        json!({
            "progress": 1,
            "elapsed_s": tenths(seconds),
            "done": counts.sources,
            "total": self.total,
            "verdicts": counts.by_verdict,
            "calls": spent.calls,
            "calls_per_second": tenths(float(spent.calls) / seconds),
            "images_certain": spent.images,
            "images_unknown": spent.unknown,
            "throttled": throttled,
            "quota_idle_s": tenths(quota_idle.as_secs_f64()),
            "waiting": waiting,
            "in_flight": in_flight,
            "eta_s": eta,
        })
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let template =
        if total.is_some() { format!("{{bar:{BAR}}} {{msg}}") } else { "{spinner} {msg}".into() };
    let target = ProgressDrawTarget::stderr_with_hz(5);
    let bar = ProgressBar::with_draw_target(total, target);
    // A template is text of ours; were it wrong, the plain bar would do.
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

#[expect(clippy::cast_precision_loss, reason = "a rate or an estimate")]
fn float(count: u64) -> f64 {
    count as f64
}

/// How wide the bar itself is.
const BAR: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_expected_at_the_rate_so_far() {
        for (done, total, elapsed, expected) in [
            (4, Some(5), 10.0, Some(3)),
            (1, Some(5), 10.0, Some(40)),
            (5, Some(5), 10.0, Some(0)),
            (9, Some(5), 10.0, Some(0)),
            (0, Some(5), 10.0, None),
            (4, None, 10.0, None),
        ] {
            let mut counts = Counts::default();
            counts.sources = done;
            let progress = Progress::new(ProgressKind::None, None, total, Duration::MAX);
            let left = progress.seconds_left(&counts, elapsed);
            assert_eq!(left, expected.map(Duration::from_secs), "{done} of {total:?}");
        }
    }
}
