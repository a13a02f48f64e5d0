//! What a report means for the money and for a later run. The summary, the progress, the page and
//! `--resume` read it here.

use super::{Certainty, Report, Verdict};

impl Report {
    /// Whether a request for this report may have reached the service. False where the verdict was known.
    /// ```
    /// # use emo_preflight::{AspectRatio, Report, Verdict};
    /// let report = Report::new("https://example.org/a.jpg", AspectRatio::Square, Verdict::RejectedLocal);
    /// assert!(!report.was_called() && report.is_settled());
    /// assert_eq!((report.images_billed(), report.images_saved()), (0, 1));
    /// ```
    #[must_use]
    pub fn was_called(&self) -> bool {
        // A code that says that nothing was sent is wrong where there is an answer: a ledger can fail
        // before a call and after it.
        let answered = self.request_id.is_some() || self.billing.certainty != Certainty::None;
        !self.from_ledger
            && match self.verdict {
                Verdict::Eligible
                | Verdict::RejectedLocal
                | Verdict::Undetermined
                | Verdict::Skipped => false,
                Verdict::Failed => {
                    answered
                        || !self.reasons.iter().any(|reason| reason.code.may_come_before_call())
                }
                Verdict::Accepted { .. }
                | Verdict::RejectedRemote
                | Verdict::BoxMismatch { .. } => true,
            }
    }

    /// Images that are certainly billed for this report: 0 where the verdict was known, whose
    /// [`billing`](Self::billing) repeats the original bill.
    #[must_use]
    pub fn images_billed(&self) -> u64 {
        if self.from_ledger { 0 } else { self.billing.images }
    }

    /// Images that would have been billed without the local stage and the ledger. An upper bound: the
    /// service may refuse an image for free.
    #[must_use]
    pub fn images_saved(&self) -> u64 {
        match self.verdict {
            Verdict::RejectedLocal => 1,
            _ if self.from_ledger => self.billing.images,
            _ => 0,
        }
    }

    /// Whether the result stands: a later run would pay for the same answer, or get it from the ledger.
    /// What does not stand and is not [unknown](Self::is_unknown) is asked again for free.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let is_open = matches!(self.verdict, Verdict::Skipped | Verdict::Undetermined)
            || self.verdict == Verdict::Failed && self.billing.certainty == Certainty::None;
        !is_open && !self.is_unknown()
    }

    /// Whether there is no verdict and the call may have been billed: asking again may pay twice.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.verdict == Verdict::Failed
            && match self.billing.certainty {
                Certainty::None => false,
                Certainty::Unknown => true,
                // A gateway's page may carry a bill and still no verdict; an answer that could not be
                // booked is unknown to the next process.
                Certainty::Certain => {
                    self.reasons.iter().any(|reason| reason.code.leaves_bill_unknown())
                }
            }
    }
}
