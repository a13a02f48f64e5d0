//! Many sources in one run: how far ahead of its taker it goes, and how it ends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::table::{self, probe};
use crate::common::{Origin, Step, in_time};
use emo_preflight::{Run, RunOptions, Source};
use futures_util::FutureExt as _;
use futures_util::stream::{self, Stream, StreamExt as _};

/// Sources that need no network, and how many of them have been taken.
fn counted(count: usize) -> (impl Stream<Item = Source> + Send + 'static, Arc<AtomicUsize>) {
    counted_of("no-url", count)
}

fn counted_of(
    url: &str,
    count: usize,
) -> (impl Stream<Item = Source> + Send + use<>, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let (counter, source) = (Arc::clone(&taken), Source::url(url));
    let sources = stream::repeat(source).take(count).inspect(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    (sources, taken)
}

fn run(sources: impl Stream<Item = Source> + Send + 'static, concurrency: usize) -> Run {
    let mut options = RunOptions::default();
    options.concurrency = concurrency;
    probe(&table::options()).run(sources, options)
}

/// Lets everything run that can, on this thread's runtime.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_run_goes_no_further_ahead_than_it_is_told() {
    for concurrency in [1, 4, 12, 0] {
        let (sources, taken) = counted(100);
        let mut run = run(sources, concurrency);
        settle().await;
        assert_eq!(taken.load(Ordering::Relaxed), 0, "before anyone asks");
        let ahead = concurrency.max(1);
        for reports in 0..5 {
            assert!(run.next().await.is_some());
            settle().await;
            // The report in hand is one of those that the run is ahead.
            let taken = taken.load(Ordering::Relaxed);
            assert_eq!(taken, reports + ahead, "{concurrency}, {reports} reports");
        }
        assert_eq!(run.count().await, 95, "the others");
    }
}

#[tokio::test]
async fn as_many_sources_are_under_way_as_it_is_told() {
    for concurrency in [1, 7] {
        let origin = Origin::start(|_| vec![Step::Hang]).await;
        let (sources, taken) = counted_of(&origin.url("never"), 100);
        let mut run = run(sources, concurrency);
        let all_asked = async {
            origin.until(|seen| seen.requests.len() == concurrency).await;
            settle().await;
        };
        tokio::select! {
            report = run.next() => panic!("{report:?}"),
            () = in_time("the requests", all_asked) => {}
        }
        assert_eq!(taken.load(Ordering::Relaxed), concurrency);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_source_gets_a_report_however_many_are_under_way() {
    for count in [0, 1, 2, 100, 10_000] {
        for concurrency in [1, 3, 64, 20_000, usize::MAX] {
            let (sources, _) = counted(count);
            let mut indices: Vec<u64> =
                run(sources, concurrency).map(|report| report.index).collect().await;
            indices.sort_unstable();
            assert!(indices.into_iter().eq(0..count as u64), "{count}: {concurrency}");
        }
    }
}

#[tokio::test]
async fn a_run_that_was_dropped_takes_no_more() {
    let (sources, taken) = counted(100);
    let mut run = run(sources, 4);
    run.next().await.unwrap();
    drop(run);
    let before = taken.load(Ordering::Relaxed);
    settle().await;
    assert_eq!(taken.load(Ordering::Relaxed), before);
    assert!(before <= 4, "{before}");
}

#[tokio::test]
async fn sources_are_not_asked_for_after_their_end() {
    let mut left = 3;
    let sources = stream::poll_fn(move |_| {
        assert!(left >= 0, "asked after the end");
        left -= 1;
        std::task::Poll::Ready((left >= 0).then(|| Source::url("no-url")))
    });
    let mut run = run(sources, 16);
    assert_eq!(run.by_ref().count().await, 3);
    assert!(run.next().await.is_none(), "and neither is the run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_among_the_sources_is_the_takers() {
    let (good, _) = counted(3);
    let bad = stream::poll_fn(|_| -> std::task::Poll<Option<Source>> { panic!("of the caller's") });
    let taken = AssertUnwindSafe(run(good.chain(bad), 2).count()).catch_unwind().await;
    assert_eq!(taken.unwrap_err().downcast_ref::<&str>(), Some(&"of the caller's"));
}
