//! Many sources: a stream in, a stream of reports out, and how a run ends early.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::stream::{Stream, StreamExt as _};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::reason::Reason;
use crate::report::{Report, Verdict};
use crate::source::Source;

/// Settings of a run.
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
/// Sources are taken as reports are, never more than the run's concurrency ahead, each in a task
/// of its own on the Tokio runtime that the run is polled on. When one call
/// shows that no other can succeed (a wrong key, an account in arrears), the rest of the sources
/// come back as [`Verdict::Skipped`] with its code, unfetched. Dropping the run abandons what is
/// being fetched; calls that were sent are still booked by the gate.
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
    F: Fn(Source, Stop) -> R + Send + 'static,
    R: Future<Output = Option<Report>> + Send + 'static,
{
    let check_stop = stop.clone();
    let interrupted = stop.0.interrupted.clone().cancelled_owned();
    let reports = sources
        .take_until(Box::pin(interrupted))
        .enumerate()
        .map(move |(counted, mut source)| {
            let counted = u64::try_from(counted).unwrap_or(u64::MAX);
            source.index.get_or_insert(counted);
            // Each on its own, wherever there is a core free: whoever takes the reports would
            // else do all the work.
            AbortOnDropHandle::new(tokio::spawn(check(source, check_stop.clone())))
        })
        .buffer_unordered(options.concurrency.max(1))
        .filter_map(async |ended| match ended.map_err(JoinError::try_into_panic) {
            Ok(report) => report,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime is being shut down.
            Err(Err(_)) => None,
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
