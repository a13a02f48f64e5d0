//! What all results come to.

use std::collections::BTreeMap;

use crate::report::{Certainty, Report, Verdict};

/// The sums of all results.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) images: u64,
    pub(super) accepted: u64,
    pub(super) rejected_for_free: u64,
    pub(super) rejected_by_service: u64,
    pub(super) undetermined: u64,
    /// Calls whose bill nobody knows.
    pub(super) unknown: u64,
    /// Images billed for the calls of these results, not of earlier ones.
    pub(super) billed: u64,
    /// Calls that were made for these results.
    pub(super) calls: u64,
    /// Images that were not billed thanks to the local stage and the ledger, at most.
    pub(super) saved: u64,
    verdicts: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<String, u64>,
}

/// How many of a kind there are.
pub(super) struct Count<'a> {
    pub(super) name: &'a str,
    pub(super) count: u64,
}

impl Numbers {
    pub(super) fn add(&mut self, result: &Report) {
        self.images += 1;
        *self.verdicts.entry(result.verdict.as_str()).or_default() += 1;
        for reason in &result.reasons {
            *self.reasons.entry(reason.code.as_str().to_owned()).or_default() += 1;
        }
        match result.verdict {
            Verdict::Accepted { .. } | Verdict::Eligible => self.accepted += 1,
            Verdict::RejectedLocal => self.rejected_for_free += 1,
            Verdict::RejectedRemote | Verdict::BoxMismatch { .. } => self.rejected_by_service += 1,
            Verdict::Undetermined => self.undetermined += 1,
            Verdict::Failed | Verdict::Skipped => {}
        }
        let is_unknown = result.billing.certainty == Certainty::Unknown;
        self.unknown += u64::from(is_unknown);
        self.saved += result.images_saved();
        self.billed += result.images_billed();
        self.calls += u64::from(result.was_called());
    }

    /// Whether there is nothing but a local stage in these results.
    pub(super) fn is_free(&self) -> bool {
        self.verdicts
            .keys()
            .all(|verdict| ["eligible", "rejected_local", "undetermined"].contains(verdict))
    }

    /// The verdicts, the most frequent first.
    pub(super) fn verdicts(&self) -> Vec<Count<'_>> {
        longest_first(self.verdicts.iter().map(|(name, count)| (*name, *count)))
    }

    /// The reasons, the most frequent first.
    pub(super) fn reasons(&self) -> Vec<Count<'_>> {
        longest_first(self.reasons.iter().map(|(name, count)| (name.as_str(), *count)))
    }
}

fn longest_first<'a>(all: impl Iterator<Item = (&'a str, u64)>) -> Vec<Count<'a>> {
    let mut all: Vec<_> = all.map(|(name, count)| Count { name, count }).collect();
    all.sort_by(|a, b| b.count.cmp(&a.count).then(a.name.cmp(b.name)));
    all
}

/// How long so many calls take of a quota of five a second (vendor page).
pub(super) fn time_of(calls: u64) -> String {
    let seconds = calls.div_ceil(5);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds.div_ceil(60)),
        7_200..=172_799 => format!("{} h", seconds.div_ceil(3_600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

/// A number as people read it: 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{grouped, time_of};

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (calls, text) in
            [(0, "0 s"), (1, "1 s"), (6, "2 s"), (3_000, "10 min"), (90_000, "5 h")]
        {
            assert_eq!(time_of(calls), text);
        }
    }
}
