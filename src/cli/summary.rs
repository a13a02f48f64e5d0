//! The last words on stderr: counts, spending and savings.

use crate::cli::counts::{Counts, Earlier};
use crate::cli::text;

/// Whether calls were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    Made,
    /// By `--dry-run`, which tells what they would cost.
    HeldBack {
        /// `--max-calls`.
        most: Option<u64>,
    },
    /// By `probe`.
    NotAsked,
}

/// What calls would cost takes in the results of `earlier` parts of the run; what was spent is
/// this part's.
pub(super) fn tell(counts: &Counts, calls: Calls, earlier: &Earlier) {
    let verdicts = counts.verdicts();
    let colon = if verdicts.is_empty() { "" } else { ": " };
    let images = text::count(counts.sources, "image", "images");
    text::tell(format_args!("{images}{colon}{verdicts}"));
    let of = |verdict: &str| counts.by_verdict.get(verdict).copied().unwrap_or(0);
    let rejected = of("rejected_local");
    match calls {
        Calls::NotAsked => {}
        Calls::HeldBack { most } => {
            let wanted = of("eligible") + earlier.eligible;
            let calls = most.map_or(wanted, |most| wanted.min(most));
            let rejected = rejected + earlier.rejected_local;
            text::tell(format_args!(
                "would make at most {}{} for at most {}; rejected for free: {rejected} (saves up to \
                 {})",
                text::count(calls, "call", "calls"),
                if calls < wanted { format!(" of {wanted} (--max-calls)") } else { String::new() },
                text::cny(calls),
                text::cny(rejected),
            ));
        }
        Calls::Made => {
            let unknown = match counts.unknown {
                0 => String::new(),
                unknown => format!(", up to {} more not known", text::cny(unknown)),
            };
            // A refused call may be free, so what was saved is an upper bound.
            text::tell(format_args!(
                "rejected for free: {rejected}; {}; spent {}{unknown}; saved up to {}",
                text::count(counts.called, "image called for", "images called for"),
                text::cny(counts.images),
                text::cny(rejected + counts.known),
            ));
        }
    }
}
