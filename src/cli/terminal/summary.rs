//! The last words on stderr: counts, spending and savings.

use crate::cli::counts::Counts;
use crate::cli::terminal::{colour, text};
use crate::{Activity, Reason, Spent};

/// Whether calls were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Calls {
    Made,
    /// By `--dry-run`, which tells what they would cost.
    HeldBack {
        /// `--max-calls`.
        most: Option<u64>,
    },
    /// By `probe`.
    NotAsked,
}

/// What calls would cost takes in the results of `earlier` parts of the run; what was `spent` is
/// this part's, also for what could not be printed.
pub(in crate::cli) fn say(counts: &Counts, calls: Calls, earlier: &Counts, spent: Spent) {
    let verdicts = counts.verdicts();
    let colon = if verdicts.is_empty() { "" } else { ": " };
    let images = text::count(counts.sources, "image", "images");
    text::say_wrapped(format_args!("{images}{colon}{verdicts}"), 2);
    let rejected = counts.of("rejected_local");
    match calls {
        Calls::NotAsked => {}
        Calls::HeldBack { most } => {
            let wanted = counts.of("eligible") + earlier.of("eligible");
            let calls = most.map_or(wanted, |most| wanted.min(most));
            let rejected = rejected + earlier.of("rejected_local");
            text::say_wrapped(
                format_args!(
                    "would make at most {}{} for at most {}; rejected for free: {rejected} (saves up to \
                 {})",
                    text::count(calls, "call", "calls"),
                    if calls < wanted {
                        format!(" of {wanted} (--max-calls)")
                    } else {
                        String::new()
                    },
                    text::cny(calls),
                    text::cny(rejected),
                ),
                2,
            );
        }
        Calls::Made => {
            let unknown = match spent.unknown {
                0 => String::new(),
                unknown => format!(", up to {} more not known", text::cny(unknown)),
            };
            let calls = match spent.calls {
                calls if calls == counts.called => String::new(),
                calls => format!(" in {}", text::count(calls, "call", "calls")),
            };
            // A refused call may be free, so what was saved is an upper bound.
            text::say_wrapped(
                format_args!(
                    "rejected for free: {rejected}; {}{calls}; spent {}{unknown}; saved up to {}",
                    text::count(counts.called, "image called for", "images called for"),
                    text::cny(spent.images),
                    text::cny(counts.saved),
                ),
                2,
            );
        }
    }
}

/// How many calls were refused for their pace, if any were, and which pace to ask for.
pub(in crate::cli) fn say_if_throttled(activity: Activity, rps: f64) {
    if activity.throttled == 0 {
        return;
    }
    let calls = text::count(activity.throttled, "call was", "calls were");
    let taken = (activity.calls_per_second * 10.0).floor() / 10.0;
    let mend = match activity.calls_per_second < rps {
        true => format!("take --rps {taken}"),
        false => "let every program of the account share one ledger, or take a lower --rps".into(),
    };
    let line = format!("{calls} refused for the pace (429) of --rps {rps}; {mend}");
    text::say_wrapped(format_args!("{line}"), 2);
}

/// Why the run stopped, where it did, and what can be done about each reason that was met.
pub(in crate::cli) fn say_what_to_do(counts: &Counts) {
    let advice = counts.advice();
    if !advice.is_empty() && !text::is_quiet() {
        text::say("what to do:");
        for (images, code, advice) in advice {
            let code = text::plain(code.as_str());
            text::say_wrapped(format_args!("{images:>6} × {code}: {advice}"), 9);
        }
    }
    if let Some(Reason { code, message, .. }) = &counts.stop {
        let advice = code.advice().map_or(String::new(), |advice| format!("; {advice}"));
        let (code, message) = (text::plain(code.as_str()), text::plain(message));
        let message = message.strip_prefix("the run had stopped: ").unwrap_or(&message);
        let message = message.trim_end_matches('.');
        text::tell_wrapped(
            format_args!("{} {code}: {message}{advice}", colour::alarm("stopped:")),
            2,
        );
    }
}
