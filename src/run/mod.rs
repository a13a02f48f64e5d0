//! Many sources: a stream in, a stream of reports out, and how a run ends early.

#[cfg(feature = "serve")]
pub(crate) mod line;
mod source;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use source::Source;
pub(crate) use source::{http_url, looks_like_url};

use crate::report::{Reason, Report, Verdict};

/// Settings of a run.
///
/// For an example see [`Run`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunOptions {
    /// Sources under way at a time, at least 1. Default 64.
    pub concurrency: usize,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { concurrency: 64 }
    }
}

/// A run under way: a stream of reports, in the order in which they are done.
///
/// Sources are taken as reports are, never more than the run's concurrency ahead; each is checked in a
/// task of its own on the Tokio runtime that the run is polled on. When one
/// call shows that no other can succeed (a wrong key, an account in arrears), the rest of the
/// sources come back as [`Verdict::Skipped`] with its code, unfetched. Dropping the run abandons
/// what is being fetched; calls that were sent are still booked by the gate.
/// ```no_run
/// # async fn example(gate: emo_preflight::Preflight) {
/// use emo_preflight::{RunOptions, Source};
/// use futures_util::{StreamExt as _, stream};
/// let urls = ["https://example.org/a.jpg", "https://example.org/b.jpg"];
/// let sources = stream::iter(urls.map(Source::url));
/// let mut run = gate.run(sources, RunOptions::default());
/// let stopper = run.stopper(); // `stopper.stop()` ends it early
/// while let Some(report) = run.next().await {
///     println!("{}: {}", report.source, report.verdict);
/// }
/// # }
/// ```
#[must_use = "a stream does nothing unless it is polled"]
pub struct Run {
    reports: Pin<Box<dyn Stream<Item = Report> + Send>>,
    stop: Stop,
}

impl Run {
    /// A handle that ends this run from elsewhere, on a signal say.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Stream for Run {
    type Item = Report;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Report>> {
        self.reports.as_mut().poll_next(context)
    }
}

/// Ends a run early.
///
/// For an example see [`Run`].
#[derive(Clone, Debug)]
pub struct Stopper(Stop);

impl Stopper {
    /// No new call leaves; calls that have left are awaited and reported; sources that were not
    /// settled by then get no report. The run's stream then ends.
    pub fn stop(&self) {
        self.0.interrupt();
    }
}

/// Why and whether a run is to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    over: CancellationToken,
    interrupted: CancellationToken,
    reason: OnceLock<Reason>,
}

impl Stop {
    /// One that ends with this, and by itself without it.
    #[cfg(feature = "serve")]
    pub(crate) fn child(&self) -> Self {
        Self(Arc::new(StopState {
            over: self.0.over.child_token(),
            interrupted: self.0.interrupted.child_token(),
            reason: OnceLock::new(),
        }))
    }

    /// The run is over for everyone: what is not yet asked is skipped for this reason.
    pub(crate) fn because(&self, reason: Reason) {
        // The first reason stands.
        let _ = self.0.reason.set(reason);
        self.0.over.cancel();
    }

    pub(crate) fn interrupt(&self) {
        self.0.interrupted.cancel();
        self.0.over.cancel();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.over.is_cancelled()
    }

    pub(crate) async fn over(&self) {
        self.0.over.cancelled().await;
    }

    /// Does `work`, unless the run is interrupted first.
    pub(crate) async fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.interrupted.cancelled() => None,
            done = work => Some(done),
        }
    }

    /// The report of a source that the run no longer asks about; none once it was interrupted.
    pub(crate) fn skipped(&self, report: impl FnOnce(Verdict) -> Report) -> Option<Report> {
        if self.0.interrupted.is_cancelled() {
            return None;
        }
        let reason = self.0.reason.get()?;
        let mut report = report(Verdict::Skipped);
        report.reasons = vec![Reason {
            message: format!("the run had stopped: {}", reason.message),
            ..reason.clone()
        }];
        Some(report)
    }
}

/// Puts every source through `check`, at most `concurrency` at a time.
pub(crate) fn drive<S, F, R>(sources: S, options: &RunOptions, stop: Stop, check: F) -> Run
where
    S: Stream<Item = Source> + Send + 'static,
    F: Fn(Source, Stop) -> R + Send + Sync + 'static,
    R: Future<Output = Option<Report>> + Send + 'static,
{
    let interrupted = stop.0.interrupted.clone().cancelled_owned();
    let mut sources = Box::pin(sources.enumerate().take_until(interrupted).fuse());
    let concurrency = options.concurrency.max(1);
    let mut under_way = JoinSet::new();
    let of_checks = stop.clone();
    let reports = stream::poll_fn(move |context| {
        loop {
            // A report that is not taken yet counts as under way.
            while under_way.len() < concurrency
                && let Poll::Ready(Some((counted, mut source))) = sources.poll_next_unpin(context)
            {
                source.index.get_or_insert(u64::try_from(counted).unwrap_or(u64::MAX));
                under_way.spawn(check(source, of_checks.clone()));
            }
            match ready!(under_way.poll_join_next(context)) {
                Some(Ok(Some(report))) => return Poll::Ready(Some(report)),
                Some(Ok(None)) => {}
                Some(Err(ended)) => {
                    // Without a panic it is the runtime that is being shut down.
                    if let Ok(panic) = ended.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
                None if sources.is_done() => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    })
    .inspect(|report| {
        tracing::debug!(
            index = report.index,
            verdict = report.verdict.as_str(),
            request_id = report.request_id,
            from_ledger = report.from_ledger,
            "source_done"
        );
    });
    Run { reports: Box::pin(reports), stop }
}
