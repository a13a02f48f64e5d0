//! The verdict that a call comes to.

use crate::detect::{Disposition, Judgement, is_rejection};
use crate::header::Header;
use crate::ledger::CallRecord;
use crate::report::{Reason, Verdict};
use crate::rules::{AspectRatio, check_boxes};

/// The verdict a call comes to for this image and ratio, and why.
pub(super) fn verdict_of_call(
    record: &CallRecord,
    ratio: AspectRatio,
    header: Option<&Header>,
) -> (Verdict, Vec<Reason>) {
    match &record.disposition {
        Disposition::Settled(judgement) => verdict_of(judgement, ratio, header),
        Disposition::Refused(reason) if is_rejection(&reason.code) => {
            (Verdict::RejectedRemote, vec![reason.clone()])
        }
        _ => (Verdict::Failed, record.disposition.reason().cloned().into_iter().collect()),
    }
}

/// The verdict a judgement comes to for this image and ratio, and what does not hold.
pub(super) fn verdict_of(
    judgement: &Judgement,
    ratio: AspectRatio,
    header: Option<&Header>,
) -> (Verdict, Vec<Reason>) {
    match *judgement {
        Judgement::Passed { face, ext } => {
            let problems = check_boxes(&face, &ext, ratio, header);
            let verdict = if problems.is_empty() {
                Verdict::Accepted { face, ext }
            } else {
                Verdict::BoxMismatch { face, ext }
            };
            (verdict, problems.iter().map(Reason::from).collect())
        }
        Judgement::Rejected(ref reason) => (Verdict::RejectedRemote, vec![reason.clone()]),
        Judgement::Unusable(ref reason) => (Verdict::Failed, vec![reason.clone()]),
    }
}
