//! What comes before a call and costs nothing: the local stage, then what the ledger knows. The gate
//! and its dry run share it.

use crate::detect::{Judgement, Service};
use crate::ledger::{
    CallEnd, CallRecord, Content, Identity, Ledger, LedgerError, Lookup, Question, Reuse,
    ServiceAnswer,
};
use crate::net::url_text::printable_text;
use crate::probe::{LocalOutcome, Probe, VersionBuilder};
use crate::report::{ReasonCode, Report, Verdict};
use crate::run::Source;

use super::verdict::verdict_of_call;

/// All that is needed to say whether a source needs a call.
#[derive(Clone)]
pub(super) struct BeforeCall {
    pub(super) probe: Probe,
    pub(super) ledger: Ledger,
    pub(super) service: Service,
    pub(super) reuse: Reuse,
}

/// A source that passed the local stage, and the question it asks.
pub(super) struct Inquiry {
    pub(super) source: Source,
    pub(super) local: LocalOutcome,
    pub(super) question: Question,
}

/// How far a source has come.
pub(super) enum Progress {
    /// It has its report, for free.
    Done(Checked),
    /// It may need a call.
    Open(Inquiry),
    /// The ledger cannot say.
    #[cfg_attr(
        not(feature = "cli"),
        expect(dead_code, reason = "a dry run reports what was found")
    )]
    LedgerFailed(Inquiry, LedgerError),
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
    /// The local stage.
    pub(super) async fn inspect(&self, source: Source) -> Progress {
        let local = self.probe.inspect(&source).await;
        if let Some(rejection) = &local.rejection {
            let verdict = rejection.verdict;
            return Progress::Done(local.report(source, verdict).into());
        }
        let question = self.question(&source, &local);
        Progress::Open(Inquiry { source, local, question })
    }

    /// What the ledger knows. Of an image that is about to be paid for the last bytes are read first,
    /// or all of it where its face is looked at; where its question `is_being_asked` already, they are
    /// not.
    pub(super) async fn look_up(
        &self,
        mut inquiry: Inquiry,
        is_being_asked: impl Fn(Identity) -> bool,
    ) -> Progress {
        loop {
            let question = &inquiry.question;
            let (ends_decide, may_be_known) = match self.ledger.lookup(question, &self.reuse).await
            {
                Ok(Lookup::Known(record)) => {
                    return Progress::Done(inquiry.answered_by(&record, true));
                }
                Ok(Lookup::NeedsLastBytes) => (true, true),
                Ok(Lookup::Free | Lookup::InFlight(_)) if is_being_asked(question.identity) => {
                    return Progress::Open(inquiry);
                }
                Ok(Lookup::Free | Lookup::InFlight(_)) => (false, self.reuse.same_content),
                Err(error) => return Progress::LedgerFailed(inquiry, error),
            };
            let screens = self.probe.is_to_screen(&inquiry.local);
            let knows_content = !may_be_known || !self.probe.is_to_take(&inquiry.local);
            if question.version_is_final && knows_content {
                return self.screen(inquiry).await;
            }
            if screens && (question.version_is_final || !ends_decide) {
                self.probe.take_whole(&inquiry.source, &mut inquiry.local).await;
            } else {
                self.probe.complete_version(&mut inquiry.local).await;
            }
            if inquiry.local.rejection.is_some() {
                return inquiry.rejected();
            }
            // All was read that could be.
            let question = self.question(&inquiry.source, &inquiry.local);
            inquiry.question = Question { version_is_final: true, ..question };
            // Nothing that is known could be about these bytes.
            if !may_be_known {
                return self.screen(inquiry).await;
            }
        }
    }

    /// Looks for a face, where that is wished and was not done.
    async fn screen(&self, mut inquiry: Inquiry) -> Progress {
        if self.probe.is_to_take(&inquiry.local) {
            self.probe.take_whole(&inquiry.source, &mut inquiry.local).await;
            let question = self.question(&inquiry.source, &inquiry.local);
            inquiry.question = Question { version_is_final: true, ..question };
        }
        self.probe.screen(&mut inquiry.local).await;
        if inquiry.local.rejection.is_some() {
            return inquiry.rejected();
        }
        Progress::Open(inquiry)
    }

    /// Whether an image may be paid for by what was seen of it.
    pub(super) fn is_ready(&self, inquiry: &Inquiry) -> bool {
        !self.probe.is_to_screen(&inquiry.local)
    }

    /// What the screen makes of a refusal that gives no cause.
    pub(super) async fn find_likely_cause(&self, inquiry: &mut Inquiry, record: &CallRecord) {
        if let CallEnd::Settled(Judgement::Rejected(reason)) = &record.end
            && reason.code == ReasonCode::CheckPassFalse
        {
            self.probe.find_likely_cause(&mut inquiry.local).await;
        }
    }

    /// The question that a source asks.
    fn question(&self, source: &Source, local: &LocalOutcome) -> Question {
        let service = &self.service;
        let endpoint = service.identity();
        let version = local.version.as_ref().map(VersionBuilder::build);
        let content = local.header.as_ref().zip(version.as_ref()).and_then(|(header, version)| {
            Content::of(header, version, endpoint, &service.model, source.ratio)
        });
        Question {
            identity: Identity::of(source, endpoint, &service.model),
            version_is_final: version.as_ref().is_none_or(|version| version.end.is_some()),
            version,
            content,
            source: printable_text(&source.text),
            ratio: source.ratio,
            detector: service.detector,
            model: service.model.clone(),
        }
    }
}

impl Inquiry {
    /// What came of a source that the local stage rejects.
    fn rejected(self) -> Progress {
        let verdict = self.local.rejection.as_ref().map_or(Verdict::Failed, |found| found.verdict);
        Progress::Done(self.local.report(self.source, verdict).into())
    }

    /// What came of a source whose question has this answer.
    pub(super) fn answered_by(self, record: &CallRecord, from_ledger: bool) -> Checked {
        let Self { source, local, question } = self;
        let (verdict, reasons) = verdict_of_call(record, source.ratio, local.header.as_ref());
        let mut report = local.report(source, verdict);
        report.reasons = reasons;
        report.reasons.extend(record.note.as_deref().cloned());
        report.model = Some(question.model);
        report.same_as = record.same_as.as_deref().map(str::to_owned);
        report.billing = record.billing;
        report.request_id.clone_from(&record.request_id);
        report.from_ledger = from_ledger;
        Checked { report, answer: record.answer.clone() }
    }
}

/// The report of a source that nothing was done for.
pub(super) fn report_without_call(source: Source, verdict: Verdict) -> Report {
    LocalOutcome::none().report(source, verdict)
}
