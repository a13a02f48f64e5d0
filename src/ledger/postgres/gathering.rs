//! Lookups that wait for the connection at the same time go as one, so that many images cost a
//! database that is far away few round trips.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::ledger::sql::driver::Fault;
use crate::ledger::{Ask, Found, ImageKey, Query, Reuse};

type Answer = Result<Option<Found>, Fault>;

/// A lookup that waits.
pub(super) struct Waiting {
    ask: Ask,
    image: ImageKey,
    reuse: Reuse,
    pub(super) answer: oneshot::Sender<Answer>,
}

impl Waiting {
    pub(super) fn query(&self) -> Query<'_> {
        Query { ask: &self.ask, image: self.image, reuse: &self.reuse }
    }
}

/// The lookups that wait, those that came first in front.
#[derive(Default)]
pub(super) struct Gathering(Mutex<Vec<Waiting>>);

impl Gathering {
    /// Adds one. Its answer comes from whoever [takes](Self::take) it, or ends without one.
    pub(super) fn add(&self, query: Query<'_>) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let Query { ask, image, reuse } = query;
        let waiting = Waiting { ask: ask.clone(), image, reuse: reuse.clone(), answer };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            // While nobody can ask, those that gave up must not gather without end.
            all.retain(|waiting| !waiting.answer.is_closed());
        }
        all.push(waiting);
        answered
    }

    /// Those that are next, as many as go at once.
    pub(super) fn take(&self) -> Vec<Waiting> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who gave up in the meantime is not asked for.
        all.retain(|waiting| !waiting.answer.is_closed());
        let count = all.len().min(AT_ONCE);
        all.drain(..count).collect()
    }
}

/// The most that go as one: what is written meanwhile waits for the same connection.
const AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples::question;

    #[test]
    fn lookups_that_gave_up_do_not_gather_while_nobody_can_ask() {
        let gathering = Gathering::default();
        let (question, reuse) = (question(1), Reuse::default());
        let query = question.query(&reuse);
        let _waits = gathering.add(query);
        for _ in 0..1_000 {
            drop(gathering.add(query));
        }
        assert!(gathering.0.lock().unwrap().len() < 10);
        assert_eq!(gathering.take().len(), 1);
    }
}
