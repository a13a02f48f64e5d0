//! What a gate asks of the ledger, and what the ledger knows.

use std::sync::Arc;
use std::time::Duration;

use super::{Ask, CallRecord, ImageKey, OtherAttempt, Question};
use crate::probe::Content;

/// Which of the known answers are given again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reuse {
    /// Verdicts older than this are not reused.
    pub(crate) max_age: Option<Duration>,
    /// What was unknown by then may be asked once more.
    pub(crate) retry_unknown: Option<Moment>,
}

/// A moment in the ledger's life, told by numbers of attempts: no clock that is set puts a later one
/// before it, or an earlier one after it.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// The last attempt booked.
    pub(crate) last: i64,
    /// Those that had not ended.
    pub(crate) under_way: Arc<[i64]>,
}

impl Moment {
    /// After all there ever will be.
    #[cfg(feature = "cli")]
    pub(crate) fn end() -> Self {
        Self { last: i64::MAX, under_way: Arc::default() }
    }

    /// Whether an attempt had been booked and had ended by then.
    pub(crate) fn is_after(&self, attempt: i64) -> bool {
        attempt <= self.last && !self.under_way.contains(&attempt)
    }
}

/// What the ledger knows of a question.
pub(crate) enum Lookup {
    /// It may be asked.
    Free,
    /// It was asked: settled or unknown.
    Known(CallRecord),
    /// Another gate or process is asking it.
    InFlight(OtherAttempt),
}

/// A look into the ledger: a question, and what of the known may be told again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) image: ImageKey,
    pub(crate) reuse: &'a Reuse,
}

/// What a look into the ledger found, about the image with this content.
pub(crate) struct Found {
    pub(crate) content: Content,
    pub(crate) lookup: Lookup,
}

#[cfg(feature = "ledger")]
impl Found {
    pub(super) fn free(content: Content) -> Self {
        Self { content, lookup: Lookup::Free }
    }
}

impl Question {
    pub(crate) fn query<'a>(&'a self, reuse: &'a Reuse) -> Query<'a> {
        Query { ask: &self.ask, image: ImageKey::Content(self.content), reuse }
    }
}
