//! What was paid for, given again by the ledger alone.

use std::collections::VecDeque;

use futures_util::stream::{self, Stream};

use super::verdict::verdict_of;
use crate::detect::{Disposition, Judgement};
use crate::ledger::{KeptVerdict, Ledger, LedgerError};
use crate::report::{Reason, ReasonCode, Report, Verdict};

impl Ledger {
    /// Every verdict of the service in this ledger, oldest first, as a report with
    /// [`from_ledger`](Report::from_ledger): for results that were lost, or whose images are gone.
    /// A report's source is without userinfo and query values, and it has no image. Only a page of
    /// them is in memory at a time. A ledger in memory keeps no attempts: it has none to give.
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use emo_preflight::Ledger;
    /// use futures_util::TryStreamExt as _;
    /// let ledger = Ledger::open_read_only("calls.db").await?.ok_or("no such file")?;
    /// let mut verdicts = std::pin::pin!(ledger.verdicts());
    /// while let Some(report) = verdicts.try_next().await? {
    ///     println!("{}", serde_json::to_string(&report)?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn verdicts(&self) -> impl Stream<Item = Result<Report, LedgerError>> + Send + use<> {
        let begin = (self.clone(), VecDeque::<KeptVerdict>::new(), 0_i64, 0_u64);
        stream::try_unfold(begin, async |(ledger, mut page, mut last, index)| {
            if page.is_empty() {
                page = ledger.kept_verdicts(last).await?.into();
            }
            let Some(kept) = page.pop_front() else { return Ok(None) };
            last = kept.attempt;
            Ok(Some((report(kept, index), (ledger, page, last, index + 1))))
        })
    }
}

fn report(kept: KeptVerdict, index: u64) -> Report {
    let KeptVerdict { source, image_id, ratio, model, verdict: then, record, .. } = kept;
    let (verdict, reasons) = match &record.disposition {
        Disposition::Settled(judgement) => {
            let (verdict, mut reasons) = verdict_of(judgement, ratio, None);
            // Whether boxes lie in the image was judged when its sides were known.
            match (judgement, then.as_str()) {
                (&Judgement::Passed { face, ext }, "box_mismatch") if reasons.is_empty() => {
                    let message =
                        "ext_bbox must lie in the image, found it outside when it was checked";
                    reasons.push(Reason::new(ReasonCode::BoxOutOfImage, message));
                    (Verdict::BoxMismatch { face, ext }, reasons)
                }
                _ => (verdict, reasons),
            }
        }
        _ => (Verdict::Failed, record.disposition.reason().cloned().into_iter().collect()),
    };
    let mut report = Report::new(source, ratio, verdict);
    report.index = index;
    report.image_id = image_id;
    report.reasons = reasons;
    report.billing = record.billing;
    report.request_id = record.request_id;
    report.from_ledger = true;
    report.model = Some(model);
    report
}
