//! One source from its URL to its verdict, and the one place that lets a paid call go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bbox::{self, AspectRatio};
use crate::detect::{Attempt, DetectOptions, End, Judgement, Outcome as Sent, PaidClient, decide};
use crate::emo::without_fragment;
use crate::error::{ConfigError, GateError};
use crate::key::ApiKey;
use crate::ledger::{Books, Entry, Identity, Outcome, Settlement, Ticket};
use crate::pace::Pace;
use crate::probe::{Probe, ProbeOptions, Sight};
use crate::report::{Billing, Certainty, Reason, ReasonCode, Report, Verdict};
use crate::run::{Run, RunOptions, Stop, drive};
use crate::source::Source;

/// The gate in front of the paid call. Cheap to clone; clones share everything.
///
/// Equal questions share one call, and a question that was answered, or that may have been billed,
/// is not asked again: within this process, for as long as the gate lives.
#[derive(Clone)]
pub struct Preflight(Arc<Gate>);

impl Preflight {
    /// A gate that calls with this key.
    pub fn builder(key: ApiKey) -> PreflightBuilder {
        PreflightBuilder {
            key,
            detect: DetectOptions {
                base_url: DEFAULT_BASE_URL.to_owned(),
                model: DEFAULT_MODEL.to_owned(),
                workspace: None,
                timeout: Duration::from_secs(60),
            },
            calls_per_second: 5.0,
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
        self.0.tally.read()
    }

    /// Lets no new call go, waits for those that have left to be answered and booked, and says
    /// what all of them cost.
    ///
    /// Later checks that need a call end with [`GateError::Closed`]. Closing twice is harmless;
    /// dropping the future stops only the waiting.
    pub async fn close(&self) -> Spent {
        self.0.closing.cancel();
        self.0.calls.close();
        self.0.calls.wait().await;
        self.0.tally.read()
    }
}

/// Settings of a gate.
#[derive(Clone, Debug)]
#[must_use]
pub struct PreflightBuilder {
    key: ApiKey,
    detect: DetectOptions,
    calls_per_second: f64,
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

    /// The longest a paid call may take, its answer's body included. Default 60 s.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.detect.timeout = timeout;
        self
    }

    /// The most paid calls in any second, at most 1,000. Default 5, the account's quota.
    pub fn calls_per_second(mut self, rate: f64) -> Self {
        self.calls_per_second = rate;
        self
    }

    /// Settings of the local stage.
    pub fn probe(mut self, options: ProbeOptions) -> Self {
        self.probe = options;
        self
    }

    /// The gate.
    ///
    /// # Errors
    /// [`GateError::Config`] when a setting is out of its range.
    pub async fn build(self) -> Result<Preflight, GateError> {
        let rate = self.calls_per_second;
        if !(rate > 0.0 && rate <= MOST_CALLS_PER_SECOND) {
            return Err(ConfigError::Option(format!(
                "calls per second are above 0 and at most {MOST_CALLS_PER_SECOND}, found {rate}"
            ))
            .into());
        }
        Ok(Preflight(Arc::new(Gate {
            paid: PaidClient::new(&self.key, self.detect)?,
            probe: Probe::new(self.probe)?,
            pace: Pace::new(rate),
            books: Books::default(),
            tally: Tally::default(),
            calls: TaskTracker::new(),
            closing: CancellationToken::new(),
        })))
    }
}

/// What a gate's calls have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// Requests that may have reached the service.
    pub calls: u64,
    /// Images surely billed.
    pub images: u64,
    /// Calls of which nobody knows whether they were billed. The vendor's count lies between
    /// `images` and `images + unknown`.
    pub unknown: u64,
}

struct Gate {
    probe: Probe,
    paid: PaidClient,
    pace: Pace,
    books: Books,
    tally: Tally,
    calls: TaskTracker,
    closing: CancellationToken,
}

impl Gate {
    async fn check_in_run(self: Arc<Self>, source: Source, stop: &Stop) -> Option<Report> {
        let kept = source.clone();
        match self.check(source, stop).await {
            Ok(report) if matches!(report.verdict, Verdict::Skipped) => {
                stop.skipped(|verdict| Report { verdict, ..report })
            }
            Ok(report) => Some(report),
            // Someone closed the gate under the run.
            Err(GateError::Lost) => {
                let mut report = unasked(kept, Verdict::Failed);
                report.reasons =
                    vec![Reason::new(ReasonCode::BillingUnknown, GateError::Lost.to_string())];
                report.billing = Billing::UNKNOWN;
                Some(report)
            }
            Err(_) => None,
        }
    }

    /// `Skipped` only when `stop` is over.
    async fn check(self: Arc<Self>, source: Source, stop: &Stop) -> Result<Report, GateError> {
        let sight = self.probe.look(&source).await;
        if let Some(refusal) = &sight.refusal {
            let verdict = refusal.verdict;
            return Ok(sight.report(source, verdict));
        }
        let identity = Identity::of(&source, self.paid.endpoint(), self.paid.model());
        loop {
            let (waiter, mine) = match self.books.enter(identity, sight.version.clone()) {
                Entry::Known(settlement) => return Ok(told(sight, source, &settlement, true)),
                Entry::Sending(waiter) => (waiter, false),
                Entry::Free(ticket, waiter) => {
                    self.spawn_call(ticket, &source, stop);
                    (waiter, true)
                }
            };
            let settlement = waiter.landed().await.ok_or(GateError::Lost)?;
            if settlement.result != Outcome::NotSent {
                return Ok(told(sight, source, &settlement, !mine));
            }
            if self.closing.is_cancelled() {
                return Err(GateError::Closed);
            }
            if stop.is_over() {
                return Ok(sight.report(source, Verdict::Skipped));
            }
            // It was another run's call, and that run has ended: ask for ourselves.
        }
    }

    /// Starts the call in a task of the gate's own: from here on dropping the caller's future
    /// abandons the waiting, not the call.
    fn spawn_call(self: &Arc<Self>, ticket: Ticket, source: &Source, stop: &Stop) {
        let gate = Arc::clone(self);
        let image_url = without_fragment(&source.text).to_owned();
        let (ratio, stop) = (source.ratio, stop.clone());
        self.calls.spawn(async move {
            let settlement = gate.call(&ticket, &image_url, ratio, &stop).await;
            ticket.settle(settlement);
        });
    }

    async fn call(
        &self,
        ticket: &Ticket,
        image_url: &str,
        ratio: AspectRatio,
        stop: &Stop,
    ) -> Settlement {
        let mut last =
            Settlement { result: Outcome::NotSent, billing: Billing::NONE, request_id: None };
        for number in 1_usize.. {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                () = stop.over() => break,
                () = self.pace.turn() => {}
            }
            if !ticket.is_awaited() {
                break;
            }
            let sent = self.paid.send(image_url, ratio).await;
            let attempt = Attempt { number, seed: fastrand::u64(..) };
            let decision = decide(&sent, attempt, SystemTime::now());
            self.tally.count(&sent, decision.billing);
            let request_id = match sent {
                Sent::Answered { answer, .. } => answer.request_id,
                Sent::NotSent { .. } | Sent::Lost { .. } => None,
            };
            let (result, pause) = match decision.end {
                End::Settled(judgement) => (Outcome::Settled(judgement), None),
                End::Unknown(reason) => (Outcome::Unknown(reason), None),
                End::Refused(reason) => (Outcome::Refused(reason), None),
                End::Repeat { after, throttled, reason } => {
                    if throttled {
                        self.pace.push_back(after);
                    }
                    (Outcome::Refused(reason), Some(after))
                }
            };
            last = Settlement { result, billing: decision.billing, request_id };
            if let (true, Some(reason)) = (decision.stops_run, last.reason()) {
                stop.because(reason.clone());
            }
            let Some(pause) = pause else { break };
            tracing::debug!(attempt = number, ?pause, "repeating a call that was not billed");
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                () = stop.over() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        last
    }
}

impl Settlement {
    fn reason(&self) -> Option<&Reason> {
        match &self.result {
            Outcome::Settled(Judgement::Rejected(reason) | Judgement::Unusable(reason))
            | Outcome::Refused(reason)
            | Outcome::Unknown(reason) => Some(reason),
            Outcome::Settled(Judgement::Passed { .. }) | Outcome::NotSent => None,
        }
    }
}

/// The report of a source whose question has this answer.
fn told(sight: Sight, source: Source, settlement: &Settlement, from_ledger: bool) -> Report {
    let (verdict, reasons) = match &settlement.result {
        Outcome::Settled(Judgement::Passed { face, ext }) => {
            let (face, ext) = (*face, *ext);
            let problems = bbox::check(&face, &ext, source.ratio, sight.header.as_ref());
            let verdict = if problems.is_empty() {
                Verdict::Accepted { face, ext }
            } else {
                Verdict::BoxMismatch { face, ext }
            };
            (verdict, problems.iter().map(Reason::from).collect())
        }
        Outcome::Settled(Judgement::Rejected(_)) => (Verdict::RejectedRemote, Vec::new()),
        _ => (Verdict::Failed, Vec::new()),
    };
    let mut report = sight.report(source, verdict);
    report.reasons = reasons;
    report.reasons.extend(settlement.reason().cloned());
    report.billing = settlement.billing;
    report.request_id.clone_from(&settlement.request_id);
    report.from_ledger = from_ledger;
    report
}

/// The report of a source that nothing was done for.
fn unasked(source: Source, verdict: Verdict) -> Report {
    Sight { header: None, version: None, fetch: None, refusal: None }.report(source, verdict)
}

#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    images: AtomicU64,
    unknown: AtomicU64,
}

impl Tally {
    fn count(&self, sent: &Sent, billing: Billing) {
        if !matches!(sent, Sent::NotSent { .. }) {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
        self.images.fetch_add(billing.images, Ordering::Relaxed);
        self.unknown
            .fetch_add(u64::from(billing.certainty == Certainty::Unknown), Ordering::Relaxed);
    }

    fn read(&self) -> Spent {
        Spent {
            calls: self.calls.load(Ordering::Relaxed),
            images: self.images.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
        }
    }
}

const DEFAULT_BASE_URL: &str = "https://dashscope.aliyuncs.com/api/v1";
const DEFAULT_MODEL: &str = "emo-detect-v1";
const MOST_CALLS_PER_SECOND: f64 = 1_000.0;
