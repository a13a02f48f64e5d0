//! The gate without its call: what calls would there be, and what is known already?

use std::time::Duration;

use futures_util::stream::Stream;

use crate::detect::{DEFAULT_BASE_URL, EMO_DETECT, Service};
use crate::error::{ConfigError, LedgerError};
use crate::gate::{question, question_in_full, told, unasked};
use crate::ledger::{Ledger, Look, Moment, Question, Reuse};
use crate::probe::Probe;
use crate::reason::{Reason, ReasonCode};
use crate::report::{Report, Verdict};
use crate::run::{Run, RunOptions, Stop, drive};
use crate::source::Source;

/// The local stage with a look into the books: what calls would there be? Needs no key.
#[derive(Clone)]
pub(crate) struct DryRun {
    probe: Probe,
    ledger: Option<Ledger>,
    service: Service,
    reuse: Reuse,
}

impl DryRun {
    pub(crate) fn new(
        probe: Probe,
        ledger: Option<Ledger>,
        base_url: Option<&str>,
        model: &str,
    ) -> Result<Self, ConfigError> {
        let base_url = base_url.unwrap_or(DEFAULT_BASE_URL);
        let service = Service::new(&EMO_DETECT, base_url, model.to_owned())?;
        Ok(Self { probe, ledger, service, reuse: Reuse::default() })
    }

    pub(crate) fn max_age(mut self, most: Option<Duration>) -> Self {
        self.reuse.max_age = most;
        self
    }

    pub(crate) fn retry_unknown(mut self, retry: bool) -> Self {
        let always = Moment { time: i64::MAX, attempt: i64::MAX };
        self.reuse.retry_unknown = retry.then_some(always);
        self
    }

    pub(crate) fn same_content(mut self, same: bool) -> Self {
        self.reuse.same_content = same;
        self
    }

    pub(crate) fn run<S>(&self, sources: S, options: RunOptions) -> Run
    where
        S: Stream<Item = Source> + Send + 'static,
    {
        let dry = self.clone();
        drive(sources, &options, Stop::default(), move |source, stop| {
            let dry = dry.clone();
            async move {
                if stop.is_over() {
                    return stop.skipped(|verdict| unasked(source, verdict));
                }
                stop.unless_interrupted(dry.check(source, &stop)).await
            }
        })
    }

    async fn check(self, source: Source, stop: &Stop) -> Report {
        let mut sight = self.probe.look(&source).await;
        if let Some(refusal) = &sight.refusal {
            let verdict = refusal.verdict;
            return sight.report(source, verdict);
        }
        let mut question = question(&source, &sight, &self.service);
        let mut known = self.look(&question).await;
        if !question.version_is_final && !matches!(known, Ok(Look::Known(_)) | Err(_)) {
            self.probe.complete_version(&mut sight).await;
            if let Some(refusal) = &sight.refusal {
                let verdict = refusal.verdict;
                return sight.report(source, verdict);
            }
            question = question_in_full(&source, &sight, &self.service);
            known = self.look(&question).await;
        }
        match known {
            Ok(Look::Known(settlement)) => told(sight, source, &question, &settlement, true),
            Ok(Look::Free | Look::Sending(_) | Look::NeedsEnd) => {
                sight.report(source, Verdict::Eligible)
            }
            Err(error) => {
                let reason = Reason::new(ReasonCode::LedgerError, error.to_string());
                stop.because(reason.clone());
                let mut report = sight.report(source, Verdict::Failed);
                report.reasons = vec![reason];
                report
            }
        }
    }

    async fn look(&self, question: &Question) -> Result<Look, LedgerError> {
        match &self.ledger {
            Some(ledger) => ledger.look(question, &self.reuse).await,
            None => Ok(Look::Free),
        }
    }
}
