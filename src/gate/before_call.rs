//! What comes before a call and costs nothing: the local stage, then what the ledger knows. The gate
//! and its dry run share it.

use crate::detect::Service;
use crate::ledger::{
    Ask, CallRecord, Found, ImageKey, Ledger, LedgerError, Lookup, Query, Question, Reuse,
    ServiceAnswer,
};
use crate::net::url_text::{printable_text, without_fragment};
use crate::probe::{LocalOutcome, Need, Probe, Sighting};
use crate::report::{Report, Verdict};
use crate::run::Source;
#[cfg(feature = "faces")]
use crate::{
    detect::{Disposition, Judgement},
    report::ReasonCode,
};

use super::verdict::verdict_of_call;

/// All that is needed to say whether a source needs a call.
#[derive(Clone)]
pub(super) struct BeforeCall {
    pub(super) probe: Probe,
    pub(super) ledger: Ledger,
    pub(super) service: Service,
    pub(super) reuse: Reuse,
}

/// A source that passed the local stage.
pub(super) struct Candidate {
    pub(super) source: Source,
    pub(super) local: LocalOutcome,
    ask: Ask,
}

/// How far a source has come.
pub(super) enum Progress {
    /// It has its report, for free.
    Done(Checked),
    /// It may need a call, with which this is asked.
    Open(Candidate, Question),
    /// The ledger cannot say.
    #[cfg_attr(
        not(feature = "cli"),
        expect(dead_code, reason = "a dry run reports what was found")
    )]
    LedgerFailed(Candidate, LedgerError),
}

/// What came of one source.
pub(crate) struct Checked {
    pub(crate) report: Report,
    /// The service's answer that the report is about.
    #[cfg_attr(
        not(feature = "serve"),
        expect(dead_code, reason = "for who speaks as the service")
    )]
    pub(crate) answer: Option<ServiceAnswer>,
}

impl From<Report> for Checked {
    fn from(report: Report) -> Self {
        Self { report, answer: None }
    }
}

impl BeforeCall {
    /// The local stage; an error is what came of a source that it rejects.
    pub(super) async fn inspect(&self, source: Source) -> Result<Candidate, Box<Report>> {
        let Service { detector, model, .. } = &self.service;
        let ask = Ask {
            service: self.service.identity().to_owned(),
            detector,
            model: model.clone(),
            ratio: source.ratio,
        };
        self.ensure(Candidate { source, local: LocalOutcome::default(), ask }, Need::Header).await
    }

    /// Finds out what is needed of an image. An error is what came of a source that is rejected meanwhile.
    pub(super) async fn ensure(
        &self,
        mut candidate: Candidate,
        need: Need,
    ) -> Result<Candidate, Box<Report>> {
        self.probe.ensure(&candidate.source, &mut candidate.local, need).await;
        match candidate.local.rejection.as_ref().map(|rejection| rejection.verdict) {
            None => Ok(candidate),
            Some(verdict) => Err(Box::new(candidate.local.report(candidate.source, verdict))),
        }
    }

    /// What the ledger knows of the image. Its content is read first, unless the image was met there before.
    pub(super) async fn look_up(&self, candidate: Candidate) -> Progress {
        if candidate.local.content.is_none()
            && let Some(sighting) = candidate.sighting()
        {
            let query = candidate.query(ImageKey::Sighting(sighting), &self.reuse);
            match self.ledger.lookup(query).await {
                Ok(Some(found)) => return candidate.found(found, Some(sighting)),
                Ok(None) => {}
                Err(error) => return Progress::LedgerFailed(candidate, error),
            }
        }
        let candidate = match self.ensure(candidate, Need::Content).await {
            Ok(candidate) => candidate,
            Err(report) => return Progress::Done((*report).into()),
        };
        let Some(content) = candidate.local.content else {
            return Progress::Done(
                candidate.local.report(candidate.source, Verdict::Undetermined).into(),
            );
        };
        // The image may have changed since it was met.
        let sighting = candidate.sighting();
        match self.ledger.lookup(candidate.query(ImageKey::Content(content), &self.reuse)).await {
            Ok(Some(found)) => candidate.found(found, sighting),
            Ok(None) => candidate.found(Found { content, lookup: Lookup::Free }, sighting),
            Err(error) => Progress::LedgerFailed(candidate, error),
        }
    }

    /// Whether an image may be paid for by what was seen of it.
    pub(super) fn is_ready(&self, candidate: &Candidate) -> bool {
        self.probe.knows(&candidate.local, Need::Look)
    }

    /// What the screen makes of a refusal that gives no cause.
    #[cfg(feature = "faces")]
    pub(super) async fn find_likely_cause(&self, candidate: &mut Candidate, record: &CallRecord) {
        if let Disposition::Settled(Judgement::Rejected(reason)) = &record.disposition
            && reason.code == ReasonCode::CheckPassFalse
        {
            self.probe.find_likely_cause(&mut candidate.local).await;
        }
    }
}

impl Candidate {
    fn sighting(&self) -> Option<Sighting> {
        self.local.sighting(without_fragment(&self.source.text))
    }

    fn query<'a>(&'a self, image: ImageKey, reuse: &'a Reuse) -> Query<'a> {
        Query { ask: &self.ask, image, reuse }
    }

    fn found(mut self, Found { content, lookup }: Found, sighting: Option<Sighting>) -> Progress {
        if let Lookup::Known(record) = lookup {
            return Progress::Done(self.answered_by(&record, true));
        }
        self.local.content = Some(content);
        let question = Question {
            identity: self.ask.identity(&content),
            ask: self.ask.clone(),
            content,
            sighting,
            source: printable_text(&self.source.text),
            image_id: self.source.image_id.clone(),
        };
        Progress::Open(self, question)
    }

    /// What came of a source whose question has this answer.
    pub(super) fn answered_by(self, record: &CallRecord, from_ledger: bool) -> Checked {
        let Self { source, local, ask } = self;
        let (verdict, reasons) = verdict_of_call(record, source.ratio, local.header.as_ref());
        let asked_about =
            record.source.as_deref().filter(|asked| *asked != printable_text(&source.text));
        let mut report = local.report(source, verdict);
        report.reasons = reasons;
        report.reasons.extend(record.note.as_deref().cloned());
        report.model = Some(ask.model);
        report.same_as = asked_about.filter(|_| from_ledger).map(str::to_owned);
        report.billing = record.billing;
        report.request_id.clone_from(&record.request_id);
        report.from_ledger = from_ledger;
        Checked { report, answer: record.answer.clone() }
    }
}

/// The report of a source that nothing was done for.
pub(super) fn report_without_call(source: Source, verdict: Verdict) -> Report {
    LocalOutcome::default().report(source, verdict)
}
