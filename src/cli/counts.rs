//! What has come of a run, in numbers.

use std::collections::BTreeMap;

use crate::cli::status::Status;
use crate::cli::terminal::text;
use crate::{Reason, ReasonCode, Report, Verdict};

/// What has come of a run so far.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) sources: u64,
    pub(super) by_verdict: BTreeMap<&'static str, u64>,
    pub(super) called: u64,
    pub(super) images: u64,
    pub(super) worst: Option<Status>,
    /// The most images that the local stage and the ledger can have saved from a bill.
    pub(super) saved: u64,
    /// Images whose results cost nothing and would be done over with `--resume`.
    pub(super) undone: u64,
    /// Images without a verdict whose bill is unknown, whichever run made their call.
    pub(super) unknown: u64,
    /// Why the run stopped, where it did.
    pub(super) stop: Option<Reason>,
    /// By what can be done about them: a code that there is advice for, and of how many images.
    advice: BTreeMap<&'static str, (ReasonCode, u64)>,
    last_failure: Option<Reason>,
}

impl Counts {
    /// One more report.
    pub(super) fn add(&mut self, report: &Report) {
        self.sources += 1;
        *self.by_verdict.entry(report.verdict.as_str()).or_default() += 1;
        self.worst = self.worst.max(Some(Status::of(report)));
        self.called += u64::from(report.was_called());
        self.images = self.images.saturating_add(report.images_billed());
        self.saved = self.saved.saturating_add(report.images_saved());
        self.note_what_to_do(report);
    }

    fn note_what_to_do(&mut self, report: &Report) {
        let failed = report.verdict == Verdict::Failed;
        let skipped = report.verdict == Verdict::Skipped;
        self.undone += u64::from(!report.is_settled() && !report.is_unknown());
        self.unknown += u64::from(report.is_unknown());
        if failed {
            self.last_failure = report.reasons.first().cloned();
        } else if skipped && self.stop.is_none() {
            // The failure that stopped the run says more than those it stopped.
            let said = report.reasons.first();
            let failure =
                self.last_failure.as_ref().filter(|f| said.is_none_or(|s| s.code == f.code));
            self.stop = failure.or(said).cloned();
        }
        for code in report.reasons.iter().map(|reason| &reason.code) {
            if let Some(advice) = code.advice() {
                self.advice.entry(advice).or_insert_with(|| (code.clone(), 0)).1 += 1;
            }
        }
    }

    /// What can be done, and about how many images with which code; most of them first. Not about
    /// what stopped the run, which is said by itself.
    pub(super) fn advice(&self) -> Vec<(u64, &ReasonCode, &'static str)> {
        let stop = self.stop.as_ref().map(|reason| &reason.code);
        let noted = self.advice.iter().map(|(advice, (code, images))| (*images, code, *advice));
        let mut advice: Vec<_> = noted.filter(|(_, code, _)| Some(*code) != stop).collect();
        advice.sort_by_key(|(images, code, _)| (std::cmp::Reverse(*images), code.as_str()));
        advice
    }

    /// How many there are of a verdict, by its name.
    pub(super) fn of(&self, verdict: &str) -> u64 {
        self.by_verdict.get(verdict).copied().unwrap_or(0)
    }

    /// How many there are of each verdict.
    pub(super) fn verdicts(&self) -> String {
        let counts = self.by_verdict.iter().map(|(verdict, count)| format!("{count} {verdict}"));
        counts.collect::<Vec<_>>().join(", ")
    }

    /// In a line for people, of at most `room` columns: the money, then as many verdicts as fit.
    pub(super) fn in_short(&self, room: usize) -> String {
        let mut line = if self.called > 0 { text::cny(self.images) } else { String::new() };
        for (verdict, count) in &self.by_verdict {
            let comma = if line.is_empty() { "" } else { ", " };
            let more = format!("{comma}{count} {verdict}");
            if line.len() + more.len() > room {
                break;
            }
            line.push_str(&more);
        }
        line
    }
}
