//! The gate without its call: what calls would there be, and what is known already? Needs no key.

use std::time::Duration;

use futures_util::stream::Stream;

use super::before_call::{BeforeCall, Progress, report_without_call};
use crate::detect::{DEFAULT_BASE_URL, EMO_DETECT, Service};
use crate::ledger::{Ledger, Moment, Reuse};
use crate::net::ConfigError;
use crate::probe::{Need, Probe};
use crate::report::{Reason, ReasonCode, Report, Verdict};
use crate::run::{Run, RunOptions, Source, Stop, drive};

/// The local stage and a lookup in the ledger.
#[derive(Clone)]
pub(crate) struct DryRun(BeforeCall);

impl DryRun {
    /// `ledger` is absent where there is none yet.
    pub(crate) fn new(
        probe: Probe,
        ledger: Option<Ledger>,
        base_url: Option<&str>,
        service: Option<&str>,
        model: &str,
    ) -> Result<Self, ConfigError> {
        let base_url = base_url.unwrap_or(DEFAULT_BASE_URL);
        let service = Service::new(&EMO_DETECT, base_url, service, model.to_owned())?;
        let ledger = ledger.unwrap_or_else(Ledger::in_memory);
        Ok(Self(BeforeCall { probe, ledger, service, reuse: Reuse::default() }))
    }

    pub(crate) fn max_age(mut self, most: Option<Duration>) -> Self {
        self.0.reuse.max_age = most;
        self
    }

    pub(crate) fn retry_unknown(mut self, retry: bool) -> Self {
        self.0.reuse.retry_unknown = retry.then(Moment::end);
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
                    return stop.skipped(|verdict| report_without_call(source, verdict));
                }
                stop.unless_interrupted(dry.check(source, &stop)).await
            }
        })
    }

    async fn check(self, source: Source, stop: &Stop) -> Report {
        let candidate = match self.0.inspect(source).await {
            Ok(candidate) => candidate,
            Err(report) => return *report,
        };
        match self.0.look_up(candidate).await {
            Progress::Done(checked) => checked.report,
            Progress::Open(candidate, _) => match self.0.ensure(candidate, Need::Look).await {
                Ok(candidate) => candidate.local.report(candidate.source, Verdict::Eligible),
                Err(report) => *report,
            },
            Progress::LedgerFailed(candidate, error) => {
                let reason = Reason::new(ReasonCode::LedgerError, error.to_string());
                stop.because(reason.clone());
                let mut report = candidate.local.report(candidate.source, Verdict::Failed);
                report.reasons = vec![reason];
                report
            }
        }
    }
}
