//! One source from its URL to its report; a call it needs goes in a task of the gate's own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::Stream;
use tokio_util::task::TaskTracker;

use crate::call::{Asked, Caller, CutShort, verdict_of};
use crate::detect::{DetectOptions, PaidClient, Service};
use crate::error::{ConfigError, GateError};
use crate::flights::{Flight, Flights, Landed, Ticket};
use crate::key::ApiKey;
use crate::ledger::{
    Content, Disposition, Identity, Ledger, Look, Question, Reuse, Settlement, Terms, spacing,
};
use crate::probe::{Probe, ProbeOptions, Sight, VersionBuilder};
use crate::reason::{Reason, ReasonCode};
use crate::report::{Billing, Report, Verdict};
use crate::run::{Run, RunOptions, Stop, drive};
use crate::source::Source;
use crate::tally::{Activity, Spent};
use crate::url_text::{printable_text, without_fragment};

/// The gate in front of the paid call. Cheap to clone; clones share everything.
///
/// Equal questions share one call, and a question that was answered, or that may have been billed,
/// is not asked again by anyone who shares the gate's [`Ledger`].
#[derive(Clone)]
pub struct Preflight(Arc<Gate>);

impl Preflight {
    /// A gate that calls with this key.
    pub fn builder(key: ApiKey) -> PreflightBuilder {
        let detect = DetectOptions::default();
        PreflightBuilder {
            key,
            calls_per_second: detect.detector.calls_per_second,
            detect,
            account: None,
            ledger: Ledger::in_memory(),
            run: None,
            max_calls: None,
            max_age: None,
            retry_unknown: false,
            same_content: false,
            probe: ProbeOptions::default(),
        }
    }

    /// Checks one picture: the local stage, then the paid call if it passes.
    ///
    /// Whatever is wrong with the picture or its call is in the report. The future may be dropped
    /// at any point: before the call leaves nothing is sent any more, after it the answer is
    /// booked all the same and given to whoever asks next.
    ///
    /// # Errors
    /// [`GateError`] when the gate itself cannot go on.
    ///
    /// # Panics
    /// Outside a Tokio runtime, as everything on Tokio does.
    pub fn check(
        &self,
        source: Source,
    ) -> impl Future<Output = Result<Report, GateError>> + Send + use<> {
        let gate = Arc::clone(&self.0);
        async move { gate.check(source, &Stop::default()).await }
    }

    /// Checks many pictures: a stream of sources in, a stream of reports out, in the order in
    /// which they are done.
    pub fn run<S>(&self, sources: S, options: RunOptions) -> Run
    where
        S: Stream<Item = Source> + Send + 'static,
    {
        let gate = Arc::clone(&self.0);
        drive(sources, &options, Stop::default(), move |source, stop| {
            let gate = Arc::clone(&gate);
            async move {
                if stop.is_over() {
                    return stop.skipped(|verdict| unasked(source, verdict));
                }
                gate.check_in_run(source, &stop).await
            }
        })
    }

    /// What the calls of this gate have cost so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.0.caller.spent()
    }

    /// How the calls of this gate are going.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.0.caller.activity()
    }

    /// Lets no new call go, waits for those that have left to be answered and booked, and says
    /// what all of them cost.
    ///
    /// Later checks that need a call end with [`GateError::Closed`], and a run ends with the first
    /// of its sources that does. Closing twice is harmless; dropping the future stops only the
    /// waiting.
    pub async fn close(&self) -> Spent {
        self.0.caller.closing.cancel();
        self.0.calls.close();
        self.0.calls.wait().await;
        // What it could not write by now is on stderr.
        let _ = self.0.caller.write_what_is_owed().await;
        self.0.caller.spent()
    }
}

impl fmt::Debug for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight").field("ledger", &self.0.caller.ledger).finish_non_exhaustive()
    }
}

/// Settings of a gate.
#[derive(Clone, Debug)]
#[must_use]
pub struct PreflightBuilder {
    key: ApiKey,
    detect: DetectOptions,
    calls_per_second: f64,
    account: Option<String>,
    ledger: Ledger,
    run: Option<String>,
    max_calls: Option<u64>,
    max_age: Option<Duration>,
    retry_unknown: bool,
    same_content: bool,
    probe: ProbeOptions,
}

impl PreflightBuilder {
    /// The service's base URL; the call goes to `services/aigc/image2video/face-detect` below it.
    /// `http` only on loopback. Default `https://dashscope.aliyuncs.com/api/v1`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.detect.base_url = url.into();
        self
    }

    /// The model's name; a dedicated deployment has its own. Default `emo-detect-v1`.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.detect.model = name.into();
        self
    }

    /// The workspace's id, sent as `X-DashScope-WorkSpace`. Default none.
    pub fn workspace(mut self, id: impl Into<String>) -> Self {
        self.detect.workspace = Some(id.into());
        self
    }

    /// The longest a paid call may take, its answer's body included: above 0 s, at most a day.
    /// Default 60 s.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.detect.timeout = timeout;
        self
    }

    /// The most paid calls in any second, from 0.0001 to 1,000. Default 5, the account's quota.
    pub fn calls_per_second(mut self, rate: f64) -> Self {
        self.calls_per_second = rate;
        self
    }

    /// Whose quota the calls count against: gates on one ledger and account share their pace.
    /// Default a digest of the key.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.account = Some(name.into());
        self
    }

    /// Where the books are kept. Default [`Ledger::in_memory`].
    pub fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    /// The most calls that may be billed, over all gates of the same [`run_id`](Self::run_id) on
    /// one ledger. Calls under way and those of unknown bill count. Default none.
    pub fn max_calls(mut self, most: u64) -> Self {
        self.max_calls = Some(most);
        self
    }

    /// Which run the cap counts for. Default a fresh one for each gate.
    pub fn run_id(mut self, id: impl Into<String>) -> Self {
        self.run = Some(id.into());
        self
    }

    /// Verdicts in the ledger older than this are not reused. Default: any age is.
    pub fn ledger_max_age(mut self, most: Duration) -> Self {
        self.max_age = Some(most);
        self
    }

    /// Ask again, once, what was of unknown bill before this gate was built: **this may pay
    /// twice**. Default off.
    pub fn retry_unknown(mut self, retry: bool) -> Self {
        self.retry_unknown = retry;
        self
    }

    /// An image that the ledger knows under another URL is not asked about again: the report has
    /// that one's verdict and, in [`Report::same_as`], its source. Two images are the same when
    /// length, first and last 1,024 bytes, format and sides are: **a sample of the bytes is
    /// trusted**. Default off.
    pub fn same_content(mut self, same: bool) -> Self {
        self.same_content = same;
        self
    }

    /// Settings of the local stage, without [local files](ProbeOptions::local_files).
    pub fn probe(mut self, options: ProbeOptions) -> Self {
        self.probe = options;
        self
    }

    /// The gate. Sends nothing yet: dropping the future is harmless.
    ///
    /// # Errors
    /// [`GateError::Config`] when a setting is out of its range or the ledger is open for reading
    /// only; [`GateError::Ledger`] when unknown calls are to be retried and it cannot be read.
    pub async fn build(self) -> Result<Preflight, GateError> {
        let rate = self.calls_per_second;
        if !(LEAST_CALLS_PER_SECOND..=MOST_CALLS_PER_SECOND).contains(&rate) {
            return Err(ConfigError::Option(format!(
                "calls per second must be from {LEAST_CALLS_PER_SECOND} to {MOST_CALLS_PER_SECOND}, \
                 found {rate}"
            ))
            .into());
        }
        if self.probe.local_files {
            let message = "local files must be for a probe only: the service takes URLs";
            return Err(ConfigError::Option(message.to_owned()).into());
        }
        if self.ledger.is_read_only() {
            let message =
                "a gate's ledger must be open for writing, found one that is open for reading only";
            return Err(ConfigError::Option(message.to_owned()).into());
        }
        let call_timeout = self.detect.timeout;
        let retry_unknown = match self.retry_unknown {
            true => Some(self.ledger.moment().await?),
            false => None,
        };
        let terms = Terms {
            account: self.account.unwrap_or_else(|| self.key.digest()),
            spacing: spacing(rate),
            run: self.run.unwrap_or_else(|| format!("{:016x}", fastrand::u64(..))),
            max_calls: self.max_calls,
            reuse: Reuse { max_age: self.max_age, retry_unknown, same_content: self.same_content },
        };
        let paid = PaidClient::new(&self.key, self.detect)?;
        Ok(Preflight(Arc::new(Gate {
            probe: Probe::new(self.probe)?,
            caller: Arc::new(Caller::new(paid, self.ledger, terms, call_timeout)),
            flights: Flights::default(),
            calls: TaskTracker::new(),
        })))
    }
}

struct Gate {
    probe: Probe,
    caller: Arc<Caller>,
    flights: Flights,
    calls: TaskTracker,
}

impl Gate {
    async fn check_in_run(self: Arc<Self>, source: Source, stop: &Stop) -> Option<Report> {
        let kept = source.clone();
        let failed = |reason: Reason, billing: Billing| {
            let mut report = unasked(kept, Verdict::Failed);
            report.reasons = vec![reason];
            report.billing = billing;
            Some(report)
        };
        match self.check(source, stop).await {
            Ok(report) => Some(report),
            Err(GateError::Lost) => {
                let message = GateError::Lost.to_string();
                failed(Reason::new(ReasonCode::BillingUnknown, message), Billing::UNKNOWN)
            }
            Err(GateError::Ledger(error)) => {
                failed(Reason::new(ReasonCode::LedgerError, error.to_string()), Billing::NONE)
            }
            // The run was interrupted, or the gate closed under it: then nothing more can come.
            Err(GateError::Closed | GateError::Config(_)) => {
                stop.interrupt();
                None
            }
        }
    }

    async fn check(self: Arc<Self>, source: Source, stop: &Stop) -> Result<Report, GateError> {
        // Free work is given up at once when a run is interrupted; paid work is not.
        let sight = stop.unless_interrupted(self.probe.look(&source)).await;
        let sight = sight.ok_or(GateError::Closed)?;
        if let Some(refusal) = &sight.refusal {
            let verdict = refusal.verdict;
            return Ok(sight.report(source, verdict));
        }
        let mut sight = sight;
        let mut question = question(&source, &sight, self.caller.paid.service());
        loop {
            // What the books know costs no write and no turn.
            let needs_end = match self.caller.ledger.look(&question, &self.caller.terms.reuse).await
            {
                Ok(Look::Known(known)) => return Ok(told(sight, source, &question, &known, true)),
                Ok(Look::NeedsEnd) => true,
                // About to be paid for, unless somebody is asking already.
                Ok(Look::Free | Look::Sending(_)) => !self.flights.is_under_way(question.identity),
                Err(error) => {
                    stop.because(Reason::new(ReasonCode::LedgerError, error.to_string()));
                    return Err(error.into());
                }
            };
            if needs_end && !question.version_is_final {
                let completed = self.probe.complete_version(&mut sight);
                stop.unless_interrupted(completed).await.ok_or(GateError::Closed)?;
                if let Some(refusal) = &sight.refusal {
                    let verdict = refusal.verdict;
                    return Ok(sight.report(source, verdict));
                }
                question = question_in_full(&source, &sight, self.caller.paid.service());
                continue;
            }
            let (waiter, mine) = match self.flights.board(question.identity) {
                Flight::Shared(waiter) => (waiter, false),
                Flight::Mine(ticket, waiter) => {
                    self.spawn_call(ticket, &question, &source, &sight, stop);
                    (waiter, true)
                }
            };
            let landed = waiter.landed().await.ok_or(GateError::Lost)?;
            let settlement = &landed.settlement;
            match &settlement.disposition {
                Disposition::NotSent if self.caller.closing.is_cancelled() => {
                    return Err(GateError::Closed);
                }
                Disposition::NotSent if stop.is_over() => {
                    return stop
                        .skipped(|verdict| sight.report(source, verdict))
                        .ok_or(GateError::Closed);
                }
                // It was another run's call, and that run has ended, or about another picture: ask
                // for ourselves.
                Disposition::NotSent => {}
                Disposition::NoBooks(error) => return Err(error.clone().into()),
                _ if !mine && !landed.answers(question.version.as_ref()) => {}
                _ => {
                    let from_ledger = !mine || settlement.recalled;
                    return Ok(told(sight, source, &question, settlement, from_ledger));
                }
            }
        }
    }

    /// Starts the call in a task of the gate's own: from here on dropping the caller's future
    /// abandons the waiting, not the call.
    fn spawn_call(
        &self,
        ticket: Ticket,
        question: &Question,
        source: &Source,
        sight: &Sight,
        stop: &Stop,
    ) {
        let caller = Arc::clone(&self.caller);
        let asked = Asked {
            question: question.clone(),
            image_url: without_fragment(&source.text).to_owned(),
            header: sight.header,
            index: source.index,
        };
        let stop = stop.clone();
        self.calls.spawn(async move {
            let (settlement, cut_short) = match caller.ask(&ticket, &asked, &stop).await {
                Ok(settlement) => (settlement, false),
                Err(CutShort(last)) => (last, true),
            };
            ticket.land(Landed { settlement, version: asked.question.version, cut_short });
        });
    }
}

/// The question that a source asks.
pub(crate) fn question(source: &Source, sight: &Sight, service: &Service) -> Question {
    let endpoint = service.endpoint.as_str();
    let version = sight.version.as_ref().map(VersionBuilder::build);
    let content = sight.header.as_ref().zip(version.as_ref()).and_then(|(header, version)| {
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

/// As [`question`], of an image of which all was read that could be.
pub(crate) fn question_in_full(source: &Source, sight: &Sight, service: &Service) -> Question {
    Question { version_is_final: true, ..question(source, sight, service) }
}

/// The report of a source whose question has this answer.
pub(crate) fn told(
    sight: Sight,
    source: Source,
    question: &Question,
    settlement: &Settlement,
    from_ledger: bool,
) -> Report {
    let (verdict, reasons) = match &settlement.disposition {
        Disposition::Settled(judgement) => {
            verdict_of(judgement, source.ratio, sight.header.as_ref())
        }
        _ => (Verdict::Failed, settlement.reason().cloned().into_iter().collect()),
    };
    let mut report = sight.report(source, verdict);
    report.reasons = reasons;
    report.reasons.extend(settlement.note.as_deref().cloned());
    report.model = Some(question.model.clone());
    report.same_as = settlement.same_as.as_deref().map(str::to_owned);
    report.billing = settlement.billing;
    report.request_id.clone_from(&settlement.request_id);
    report.from_ledger = from_ledger;
    report
}

/// The report of a source that nothing was done for.
pub(crate) fn unasked(source: Source, verdict: Verdict) -> Report {
    Sight::none().report(source, verdict)
}

const MOST_CALLS_PER_SECOND: f64 = 1_000.0;
/// One call in a little less than three hours.
const LEAST_CALLS_PER_SECOND: f64 = 0.000_1;
