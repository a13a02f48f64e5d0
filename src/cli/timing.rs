//! Waiting times that tests shorten: the hidden `--timing` option.

use std::time::Duration;

use crate::cli::args::seconds;
use crate::{GateTiming, LedgerTiming};

/// How long the program and its rooms wait, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) gate: GateTiming,
    pub(super) ledger: LedgerTiming,
    /// How often `--progress json` writes a line.
    pub(super) progress: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            gate: GateTiming::default(),
            ledger: LedgerTiming::default(),
            progress: Duration::from_secs(10),
        }
    }
}

impl Timing {
    /// `NAME=SECONDS[,NAME=SECONDS…]`; an empty text changes nothing.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut timing = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let set = || {
                let (name, value) = part.split_once('=')?;
                let (_, set) = SETTERS.iter().find(|(known, _)| *known == name)?;
                Some((set, seconds(value).ok()?))
            };
            let (set, span) = set().ok_or_else(|| {
                let names: Vec<&str> = SETTERS.iter().map(|(name, _)| *name).collect();
                format!(
                    "a waiting time must be NAME=SECONDS, above 0, with one of the names {}; found {part:?}",
                    names.join(", ")
                )
            })?;
            set(&mut timing, span);
        }
        Ok(timing)
    }
}

type Set = fn(&mut Timing, Duration);

const SETTERS: [(&str, Set); 9] = [
    ("write-within", |all, span| all.gate = all.gate.with_write_within(span)),
    ("write-again", |all, span| all.gate = all.gate.with_write_again(span)),
    ("answer-grace", |all, span| all.gate = all.gate.with_answer_grace(span)),
    ("look-again", |all, span| all.gate = all.gate.with_look_again(span)),
    ("busy", |all, span| all.ledger = all.ledger.with_busy(span)),
    ("turn", |all, span| all.ledger = all.ledger.with_turn(span)),
    ("stalled", |all, span| all.ledger = all.ledger.with_stalled(span)),
    ("commit-within", |all, span| all.ledger = all.ledger.with_commit_within(span)),
    // A timer takes no span of zero.
    ("progress", |all, span| all.progress = span.max(Duration::from_millis(1))),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_sets_a_field_of_its_own() {
        let mut seen = vec![format!("{:?}", Timing::parse("").unwrap())];
        for (name, _) in SETTERS {
            let timing = format!("{:?}", Timing::parse(&format!("{name}=7.5")).unwrap());
            assert_eq!(timing.matches("7.5s").count(), 1, "{name}: {timing}");
            assert!(!seen.contains(&timing), "{name}");
            seen.push(timing);
        }
        let both = Timing::parse("busy=7.5,progress=3").unwrap();
        assert_eq!(both.progress, Duration::from_secs(3));
        assert_eq!(both.ledger, Timing::parse("busy=7.5").unwrap().ledger);
    }
}
