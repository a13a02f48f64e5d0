//! One source from its URL to its report; a call it needs goes in a task of the gate's own.

mod before_call;
mod builder;
mod call;
mod counters;
#[cfg(feature = "cli")]
mod dry_run;
mod error;
#[cfg(feature = "ledger")]
mod export;
mod foreign;
mod recorder;
mod single_flight;
mod throttle;
mod timing;
mod turn;
mod verdict;

use std::fmt;
use std::sync::Arc;

use futures_util::stream::Stream;
use tokio_util::task::TaskTracker;

#[cfg(feature = "cli")]
pub(crate) use builder::DEFAULT_ACCOUNT;
pub use builder::PreflightBuilder;
pub use counters::{Activity, Spent};
#[cfg(feature = "cli")]
pub(crate) use dry_run::DryRun;
pub use error::GateError;
pub use timing::GateTiming;

pub(crate) use before_call::Checked;
use before_call::{BeforeCall, Candidate, Progress, report_without_call};
use call::{CallOutcome, CallRequest, Caller};
use single_flight::{Leader, Role, SingleFlight};

use crate::detect::{ApiKey, KeyError};
use crate::ledger::Question;
use crate::net::url_text::without_fragment;
use crate::probe::Need;
use crate::report::{Billing, Reason, ReasonCode, Report, Verdict};
use crate::run::{Run, RunOptions, Source, Stop, drive};
#[cfg(feature = "serve")]
use crate::{detect::Service, ledger::LedgerError, probe::Probe};

/// The gate in front of the paid call. Cheap to clone; clones share everything.
///
/// Equal questions share one call, and a question that was answered, or that may have been billed,
/// is not asked again by anyone who shares the gate's [`Ledger`](crate::Ledger).
///
/// ```no_run
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use emo_preflight::{Preflight, Source};
/// let gate = Preflight::from_env()?.max_calls(1_000).build().await?;
/// let report = gate.check(Source::url("https://example.org/portrait.jpg")).await?;
/// for reason in &report.reasons {
///     println!("{reason}");
/// }
/// println!("{} images billed", gate.close().await.images);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Preflight(Arc<Gate>);

impl Preflight {
    /// A gate that calls with this key.
    ///
    /// **It calls the paid service, whatever `DASHSCOPE_HTTP_BASE_URL` says**: the environment is read
    /// by [`from_env`](Self::from_env) only.
    pub fn builder(key: ApiKey) -> PreflightBuilder {
        PreflightBuilder::new(key)
    }

    /// A gate with the key in `DASHSCOPE_API_KEY`, at the base URL in `DASHSCOPE_HTTP_BASE_URL` where
    /// that is set: what the program reads, and DashScope's own clients. Whether the URL is one is
    /// said by [`build`](PreflightBuilder::build).
    ///
    /// # Errors
    /// [`KeyError`] as [`ApiKey::from_env`].
    pub fn from_env() -> Result<PreflightBuilder, KeyError> {
        let gate = Self::builder(ApiKey::from_env()?);
        Ok(match std::env::var_os("DASHSCOPE_HTTP_BASE_URL") {
            Some(url) => gate.base_url(url.to_string_lossy()),
            None => gate,
        })
    }

    /// Checks one image: the local stage, then the paid call if it passes.
    ///
    /// Whatever is wrong with the image or its call is in the report. The future may be dropped
    /// at any point: before the call leaves nothing is sent any more, after it the answer is
    /// recorded all the same and given to whoever asks next.
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
        async move { gate.check(source, &Stop::default()).await.map(|checked| checked.report) }
    }

    /// Checks many images: a stream of sources in, a stream of reports out, in the order in
    /// which they are done.
    ///
    /// The run owns its stream of sources, so give it values that it can keep: an iterator through
    /// `futures_util::stream::iter`, a channel's receiver. How to end it early is said at [`Run`].
    pub fn run<S>(&self, sources: S, options: RunOptions) -> Run
    where
        S: Stream<Item = Source> + Send + 'static,
    {
        self.run_under(Stop::default(), sources, options)
    }

    /// As [`run`](Self::run), ended by `stop` too.
    pub(crate) fn run_under<S>(&self, stop: Stop, sources: S, options: RunOptions) -> Run
    where
        S: Stream<Item = Source> + Send + 'static,
    {
        let gate = Arc::clone(&self.0);
        drive(sources, &options, stop, move |source, stop| {
            let gate = Arc::clone(&gate);
            async move {
                if stop.is_over() {
                    return stop.skipped(|verdict| report_without_call(source, verdict));
                }
                gate.check_in_run(source, &stop).await.map(|checked| checked.report)
            }
        })
    }

    /// As one source of a run: what is wrong with the gate is in the report. `None` when `stop` or the
    /// gate's end came first.
    #[cfg(feature = "serve")]
    pub(crate) async fn ask(&self, source: Source, stop: &Stop) -> Option<Checked> {
        Arc::clone(&self.0).check_in_run(source, stop).await
    }

    /// The local stage alone.
    #[cfg(feature = "serve")]
    pub(crate) fn probe(&self) -> &Probe {
        &self.0.before_call.probe
    }

    #[cfg(feature = "serve")]
    pub(crate) fn service(&self) -> &Service {
        &self.0.before_call.service
    }

    /// Whether the ledger can be reached.
    #[cfg(feature = "serve")]
    pub(crate) async fn try_ledger(&self) -> Result<(), LedgerError> {
        self.0.before_call.ledger.moment().await.map(drop)
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

    /// Lets no new call go, waits for those that have left to be answered and recorded, and says
    /// what all of them cost.
    ///
    /// Later checks that need a call end with [`GateError::Closed`], and a run ends with the first
    /// of its sources that does. Closing twice is harmless; dropping the future stops only the
    /// waiting. The ledger stays open, for it may be other gates' too: see
    /// [`Ledger::close`](crate::Ledger::close).
    pub async fn close(&self) -> Spent {
        self.0.caller.closing.cancel();
        self.0.calls.close();
        self.0.calls.wait().await;
        // What it could not write by now is on stderr.
        let _ = self.0.caller.write_unrecorded().await;
        self.0.caller.spent()
    }
}

impl fmt::Debug for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight")
            .field("ledger", &self.0.before_call.ledger)
            .finish_non_exhaustive()
    }
}

struct Gate {
    before_call: BeforeCall,
    caller: Arc<Caller>,
    flights: SingleFlight,
    calls: TaskTracker,
}

impl Gate {
    async fn check_in_run(self: Arc<Self>, source: Source, stop: &Stop) -> Option<Checked> {
        let kept = source.clone();
        let failed = |reason: Reason, billing: Billing| {
            let mut report = report_without_call(kept, Verdict::Failed);
            report.reasons = vec![reason];
            report.billing = billing;
            Some(report.into())
        };
        match self.check(source, stop).await {
            Ok(checked) => Some(checked),
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

    async fn check(self: Arc<Self>, source: Source, stop: &Stop) -> Result<Checked, GateError> {
        // Free work is given up at once when a run is interrupted; paid work is not.
        let inspected = stop.unless_interrupted(self.before_call.inspect(source)).await;
        let mut candidate = match inspected.ok_or(GateError::Closed)? {
            Ok(candidate) => candidate,
            Err(report) => return Ok((*report).into()),
        };
        loop {
            let looking = self.before_call.look_up(candidate);
            let looked_up = stop.unless_interrupted(looking).await.ok_or(GateError::Closed)?;
            let (open, question) = match looked_up {
                Progress::Open(candidate, question) => (candidate, question),
                Progress::Done(checked) => return Ok(checked),
                Progress::LedgerFailed(_, error) => {
                    stop.because(Reason::new(ReasonCode::LedgerError, error.to_string()));
                    return Err(error.into());
                }
            };
            candidate = open;
            // Who has not looked at the image may wait for another's call, and makes none.
            let role = match self.before_call.is_ready(&candidate) {
                true => Some(self.flights.join(question.identity)),
                false => self.flights.follow(question.identity).map(Role::Follower),
            };
            let Some(role) = role else {
                let screening = self.before_call.ensure(candidate, Need::Look);
                let screened = stop.unless_interrupted(screening).await;
                candidate = match screened.ok_or(GateError::Closed)? {
                    Ok(candidate) => candidate,
                    Err(report) => return Ok((*report).into()),
                };
                continue;
            };
            let (follower, leads) = match role {
                Role::Follower(follower) => (follower, false),
                Role::Leader(leader, follower) => {
                    self.spawn_call(leader, question, &candidate, stop);
                    (follower, true)
                }
            };
            let outcome = follower.result().await.ok_or(GateError::Lost)?;
            match &*outcome {
                CallOutcome::LedgerFailed(error) => return Err(error.clone().into()),
                CallOutcome::CutShort(None) => {
                    if self.caller.closing.is_cancelled() {
                        return Err(GateError::Closed);
                    }
                    if stop.is_over() {
                        let Candidate { local, source, .. } = candidate;
                        let skipped = stop.skipped(|verdict| local.report(source, verdict));
                        return skipped.map(Checked::from).ok_or(GateError::Closed);
                    }
                    // It was another run's call, and that run has ended: ask for ourselves.
                }
                // It ended early in another run.
                CallOutcome::CutShort(Some(_)) if !leads => {}
                CallOutcome::Recorded(record) | CallOutcome::CutShort(Some(record)) => {
                    #[cfg(feature = "faces")]
                    self.before_call.find_likely_cause(&mut candidate, record).await;
                    return Ok(candidate.answered_by(record, !leads || record.recalled));
                }
                CallOutcome::Unrecorded(record, reason) => {
                    let mut report = candidate.answered_by(record, !leads).report;
                    report.verdict = Verdict::Failed;
                    report.reasons = vec![reason.clone()];
                    return Ok(report.into());
                }
            }
        }
    }

    /// Starts the call in a task of the gate's own: from here on dropping the caller's future
    /// abandons the waiting, not the call.
    fn spawn_call(&self, leader: Leader, question: Question, candidate: &Candidate, stop: &Stop) {
        let caller = Arc::clone(&self.caller);
        let request = CallRequest {
            question,
            image_url: without_fragment(&candidate.source.text).to_owned(),
            header: candidate.local.header,
            index: candidate.source.index,
        };
        let stop = stop.clone();
        self.calls.spawn(async move {
            let outcome = caller.call(&leader, &request, &stop).await;
            leader.finish(outcome);
        });
    }
}
