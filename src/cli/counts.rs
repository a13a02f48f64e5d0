//! What has come of a run, in numbers.

use std::collections::BTreeMap;

use crate::cli::status::Status;
use crate::cli::text;
use crate::{Certainty, ReasonCode, Report, Verdict};

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
    pub(super) unknown: u64,
}

/// What came of the parts of a run before this one.
#[derive(Clone, Copy, Default)]
pub(super) struct Earlier {
    pub(super) lines: u64,
    pub(super) worst: Option<Status>,
    pub(super) eligible: u64,
    pub(super) rejected_local: u64,
}

impl Counts {
    /// One more report.
    pub(super) fn add(&mut self, report: &Report) {
        self.sources += 1;
        *self.by_verdict.entry(report.verdict.as_str()).or_default() += 1;
        self.worst = self.worst.max(Some(Status::of(report)));
        // The ledger can fail before a call and after it: what the service said tells which it was.
        let answered = report.request_id.is_some() || report.billing.certainty != Certainty::None;
        let sent_nothing = |reason: &crate::Reason| match reason.code {
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
            self.unknown += u64::from(report.billing.certainty == Certainty::Unknown);
        }
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
    }
}
