//! What has come of a run, in numbers.

use std::collections::BTreeMap;

use crate::cli::status::Status;
use crate::cli::text;
use crate::{Certainty, Reason, ReasonCode, Report, Verdict};

/// What has come of a run so far.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) sources: u64,
    pub(super) by_verdict: BTreeMap<&'static str, u64>,
    pub(super) called: u64,
    pub(super) images: u64,
    pub(super) worst: Option<Status>,
    /// Images of bills that were known already and are not paid again.
    pub(super) known: u64,
    /// Images whose results cost nothing and would be done over with `--resume`.
    pub(super) undone: u64,
    /// Images without a verdict whose bill is unknown, whoever made their call.
    pub(super) unsettled: u64,
    /// Why the run stopped, where it did.
    pub(super) stop: Option<Reason>,
    /// By what can be done about them: a code that there is advice for, and of how many images.
    advice: BTreeMap<&'static str, (ReasonCode, u64)>,
    last_failure: Option<Reason>,
}

/// What came of the parts of a run before this one.
#[derive(Clone, Copy, Default)]
pub(super) struct Earlier {
    pub(super) lines: u64,
    pub(super) worst: Option<Status>,
    pub(super) eligible: u64,
    pub(super) rejected_local: u64,
    pub(super) accepted: u64,
    pub(super) unsettled: u64,
}

impl Counts {
    /// One more report.
    pub(super) fn add(&mut self, report: &Report) {
        self.sources += 1;
        *self.by_verdict.entry(report.verdict.as_str()).or_default() += 1;
        self.worst = self.worst.max(Some(Status::of(report)));
        // The ledger can fail before a call and after it: what the service said tells which it was.
        let answered = report.request_id.is_some() || report.billing.certainty != Certainty::None;
        let sent_nothing = |reason: &Reason| match reason.code {
            ReasonCode::Network => true,
            ReasonCode::LedgerError => !answered,
            _ => false,
        };
        let called = match report.verdict {
            Verdict::Eligible
            | Verdict::RejectedLocal
            | Verdict::Undetermined
            | Verdict::Skipped => false,
            Verdict::Failed => !report.reasons.iter().any(sent_nothing),
            Verdict::Accepted { .. } | Verdict::RejectedRemote | Verdict::BoxMismatch { .. } => {
                true
            }
        };
        if report.from_ledger {
            self.known = self.known.saturating_add(report.billing.images);
        } else if called {
            self.called += 1;
            self.images = self.images.saturating_add(report.billing.images);
        }
        self.note_what_to_do(report);
    }

    fn note_what_to_do(&mut self, report: &Report) {
        let failed = report.verdict == Verdict::Failed;
        let free = report.billing.certainty == Certainty::None;
        let skipped = report.verdict == Verdict::Skipped;
        let undone = skipped || report.verdict == Verdict::Undetermined || (failed && free);
        self.undone += u64::from(undone);
        self.unsettled += u64::from(is_unsettled(report));
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

impl Earlier {
    /// One more report.
    pub(super) fn add(&mut self, report: &Report) {
        self.lines += 1;
        self.worst = self.worst.max(Some(Status::of(report)));
        self.eligible += u64::from(report.verdict == Verdict::Eligible);
        self.rejected_local += u64::from(report.verdict == Verdict::RejectedLocal);
        self.accepted += u64::from(matches!(report.verdict, Verdict::Accepted { .. }));
        self.unsettled += u64::from(is_unsettled(report));
    }
}

/// Nobody knows whether it was billed, and it has no verdict.
fn is_unsettled(report: &Report) -> bool {
    report.verdict == Verdict::Failed && report.billing.certainty == Certainty::Unknown
}
