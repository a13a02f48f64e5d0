//! Many sources: a stream in, a stream of reports out, and how a run ends early.

#[cfg(feature = "serve")]
pub(crate) mod line;
mod source;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
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
    /// Reports that may wait to be taken while further sources are begun. With some a fast run need
    /// not pause for each report to be taken; should the rest of the run be dropped, up to as many
    /// calls more have been paid for than were looked at. Default 0.
    pub backlog: usize,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { concurrency: 64, backlog: 0 }
    }
}

/// A run under way: a stream of reports, in the order in which they are done.
///
/// Sources are taken as reports are, never more than the run's concurrency and backlog ahead, by
/// tasks on the Tokio runtime that the run is polled on, one for each source under way. When one
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
    let numbered = sources.enumerate().map(|(counted, mut source)| {
        source.index.get_or_insert(u64::try_from(counted).unwrap_or(u64::MAX));
        source
    });
    let concurrency = options.concurrency.max(1);
    let places = concurrency.saturating_add(options.backlog).min(Semaphore::MAX_PERMITS);
    let work = Arc::new(Work {
        sources: Mutex::new(Box::pin(numbered.take_until(Box::pin(interrupted)))),
        places: Arc::new(Semaphore::new(places)),
        check,
        stop: stop.clone(),
    });
    let (sender, mut events) = mpsc::unbounded_channel();
    let mut first = Some(sender);
    let mut workers = JoinSet::new();
    let mut place_of_the_last = None;
    let reports = stream::poll_fn(move |context| {
        // Who asks for the next report has taken the last one.
        drop(place_of_the_last.take());
        if let Some(sender) = first.take() {
            workers.spawn(Arc::clone(&work).work(sender));
        }
        loop {
            while let Poll::Ready(Some(ended)) = workers.poll_join_next(context) {
                // Without a panic it is the runtime that is being shut down.
                if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
                    std::panic::resume_unwind(panic);
                }
            }
            match ready!(events.poll_recv(context)) {
                Some(Event::Begun(sender)) if workers.len() < concurrency => {
                    workers.spawn(Arc::clone(&work).work(sender));
                }
                Some(Event::Begun(_)) => {}
                Some(Event::Done(report, place)) => {
                    place_of_the_last = place;
                    return Poll::Ready(Some(report));
                }
                None if workers.is_empty() => return Poll::Ready(None),
                // The last of them may have ended in a panic.
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

/// What the workers of a run share: tasks that each take the next source when they are done with
/// one. To start a task for each source takes as long as a good part of a fetch.
struct Work<S, F> {
    sources: Mutex<S>,
    /// One for each source that is under way, and for each report that nobody has taken yet.
    places: Arc<Semaphore>,
    check: F,
    stop: Stop,
}

/// What a worker has to tell.
#[expect(clippy::large_enum_variant, reason = "of the small one a run sees as few as its workers")]
enum Event {
    /// There was a source for this worker; there may be one for another, who sends its own here.
    Begun(UnboundedSender<Event>),
    Done(Report, Option<OwnedSemaphorePermit>),
}

impl<S, F, R> Work<S, F>
where
    S: Stream<Item = Source> + Unpin,
    F: Fn(Source, Stop) -> R,
    R: Future<Output = Option<Report>>,
{
    async fn work(self: Arc<Self>, events: UnboundedSender<Event>) {
        let mut has_begun = false;
        loop {
            // The semaphore is never closed.
            let place = Arc::clone(&self.places).acquire_owned().await.ok();
            let Some(source) = self.next().await else { return };
            // Without a run that listens this task is about to be aborted.
            if !std::mem::replace(&mut has_begun, true) {
                let _ = events.send(Event::Begun(events.clone()));
            }
            if let Some(report) = (self.check)(source, self.stop.clone()).await {
                let _ = events.send(Event::Done(report, place));
            }
        }
    }

    async fn next(&self) -> Option<Source> {
        self.sources.lock().await.next().await
    }
}
