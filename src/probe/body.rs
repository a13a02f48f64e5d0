//! The body of one answer, which has to keep coming.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout};

use super::error::{FetchError, broken, stalled, within};
use super::head::packed_wrong;
use super::progress::length_of;
use crate::net::inflate::{Coding, Inflater};

/// A body, unpacked, that is given up on when it no longer gets on.
pub(super) struct Body {
    incoming: Incoming,
    /// How many bytes have arrived since that was last asked.
    arrived: u64,
    inflater: Option<Inflater>,
    pace: Pace,
    /// When it is given up on in any case.
    end: Option<Instant>,
}

impl Body {
    pub(super) fn new(
        incoming: Incoming,
        coding: Option<Coding>,
        span: Duration,
        end: Option<Instant>,
    ) -> Self {
        let inflater = coding.map(Inflater::new);
        Self { incoming, arrived: 0, inflater, pace: Pace::new(span, Instant::now()), end }
    }

    /// How many bytes have arrived, packed as they came, since this was last asked.
    pub(super) fn take_arrived(&mut self) -> u64 {
        std::mem::take(&mut self.arrived)
    }

    /// What comes next; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            if let Some(inflater) = &mut self.inflater
                && let Some(part) = inflater.next().map_err(|e| packed_wrong(&e))?
            {
                return Ok(Some(part.into()));
            }
            let arrived = self.arrive().await?;
            self.arrived += arrived.as_ref().map_or(0, |bytes| length_of(bytes.len()));
            match (&mut self.inflater, arrived) {
                (None, arrived) => return Ok(arrived),
                (Some(inflater), Some(bytes)) => inflater.push(&bytes),
                (Some(inflater), None) => {
                    let rest = inflater.finish().map_err(|e| packed_wrong(&e))?;
                    self.inflater = None;
                    return Ok(Some(rest.into()));
                }
            }
        }
    }

    async fn arrive(&mut self) -> Result<Option<Bytes>, FetchError> {
        let (span, arrived) = (self.pace.span, self.pace.arrived);
        let next = match data(&mut self.incoming).now_or_never() {
            // Most of it is here with its head, and needs no timer.
            Some(next) => next,
            None => {
                let left = self.pace.left(Instant::now());
                let late = || stalled(LEAST_IN_A_SPAN, span, arrived);
                within(left, self.end, data(&mut self.incoming), late).await?
            }
        };
        let next = next.map_err(|e| broken(&e))?;
        self.pace.note(next.as_ref().map_or(0, Bytes::len), Instant::now());
        Ok(next)
    }

    /// Waits a moment for the end of a body all of which is here, so that its connection can serve
    /// again. False when it goes on instead.
    pub(super) async fn ends(mut self) -> bool {
        let next = match data(&mut self.incoming).now_or_never() {
            Some(next) => Some(next),
            None => timeout(WORTH_WAITING, data(&mut self.incoming)).await.ok(),
        };
        !matches!(next, Some(Ok(Some(bytes))) if !bytes.is_empty())
    }
}

/// The next bytes of a body; trailers say nothing of the image.
async fn data(incoming: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = incoming.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// Holds a body to a least number of bytes in each span of time.
struct Pace {
    span: Duration,
    since: Instant,
    arrived: usize,
}

impl Pace {
    fn new(span: Duration, now: Instant) -> Self {
        Self { span, since: now, arrived: 0 }
    }

    /// How much longer the least may take to arrive.
    fn left(&self, now: Instant) -> Duration {
        self.span.saturating_sub(now.saturating_duration_since(self.since))
    }

    fn note(&mut self, bytes: usize, now: Instant) {
        self.arrived = self.arrived.saturating_add(bytes);
        if self.arrived >= LEAST_IN_A_SPAN {
            (self.since, self.arrived) = (now, 0);
        }
    }
}

/// The first bytes of a body that is no image, an error's say, which may say why. It is not waited for
/// long, and the rest of a short one is read, so that its connection can serve again.
pub(super) async fn start_of(mut incoming: Incoming) -> Vec<u8> {
    let mut start = Vec::new();
    let is_short = incoming.size_hint().exact().is_some_and(|length| length <= WORTH_DRAINING);
    let rest = async {
        while let Ok(Some(bytes)) = data(&mut incoming).await {
            let room = MOST_OF_IT.saturating_sub(start.len());
            start.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
            if start.len() >= MOST_OF_IT && !is_short {
                break;
            }
        }
    };
    let _ = timeout(WORTH_WAITING, rest).await;
    start
}

/// Even a slow line brings as much in a second.
const LEAST_IN_A_SPAN: usize = 1_024;

const MOST_OF_IT: usize = 4 * 1_024;
const WORTH_DRAINING: u64 = 16 * 1_024;
const WORTH_WAITING: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    /// When a body of pieces of these lengths, this many milliseconds apart, is given up on.
    fn given_up(
        span_ms: u64,
        apart_ms: u64,
        pieces: impl IntoIterator<Item = usize>,
    ) -> Option<u64> {
        let begun = Instant::now();
        let mut pace = Pace::new(Duration::from_millis(span_ms), begun);
        let mut passed = 0;
        for length in pieces {
            let now = begun + Duration::from_millis(passed);
            if pace.left(now) < Duration::from_millis(apart_ms) {
                return Some(passed + u64::try_from(pace.left(now).as_millis()).unwrap());
            }
            passed += apart_ms;
            pace.note(length, begun + Duration::from_millis(passed));
        }
        None
    }

    #[test]
    fn a_slow_body_is_waited_for_and_a_dribble_is_not() {
        let seconds = |n: u64| n * 1_000;
        for (name, apart_ms, piece, gives_up_ms) in [
            ("2 KiB/s", seconds(1), 2_048, None),
            ("2 KiB/s byte by byte", 1, 2, None),
            ("256 B/s", seconds(1), 256, None),
            ("204 B/s", seconds(1), 204, Some(seconds(5))),
            ("a byte every half second", 500, 1, Some(seconds(5))),
            ("much, and too late", 5_001, 65_536, Some(seconds(5))),
            ("much, and just in time", seconds(5), 65_536, None),
            ("empty pieces", 10, 0, Some(seconds(5))),
        ] {
            let found = given_up(seconds(5), apart_ms, std::iter::repeat_n(piece, 60_000));
            assert_eq!(found, gives_up_ms, "{name}");
        }
        // What came early does not pay for what does not come later.
        assert_eq!(given_up(seconds(5), seconds(1), [90_000, 0, 0, 0, 0, 0, 0]), Some(seconds(6)));
        assert_eq!(given_up(u64::MAX, seconds(1), [0; 99]), None);
    }
}
