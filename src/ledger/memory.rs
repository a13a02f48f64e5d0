//! Books in memory, for one process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::quota::Gcra;
use super::{
    Booked, Disposition, Ending, Identity, Intent, Look, Moment, Question, Settlement, Terms,
    micros,
};
use crate::probe::Version;
use crate::report::Certainty;

#[derive(Default)]
pub(super) struct Memory(Mutex<Books>);

#[derive(Default)]
struct Books {
    questions: HashMap<Identity, State>,
    attempts: i64,
    slots: Option<(Instant, Gcra)>,
    /// Attempts that are being sent, and those that were billed or are unknown.
    sending: u64,
    used: u64,
}

/// One question: what it came to last, and the picture it is being asked about, if it is.
#[derive(Default)]
struct State {
    known: Option<Known>,
    asking: Option<Option<Version>>,
}

struct Known {
    settlement: Settlement,
    version: Option<Version>,
    since: Instant,
    attempt: i64,
    ended: i64,
}

impl Memory {
    pub(super) fn moment(&self) -> Moment {
        Moment { time: micros(SystemTime::now()), attempt: self.lock().attempts }
    }

    pub(super) fn look(&self, question: &Question, terms: &Terms) -> Look {
        self.lock().look(question, terms)
    }

    pub(super) fn intend(&self, question: &Question, terms: &Terms) -> Intent {
        let mut books = self.lock();
        // Equal questions share a flight, so the task that held this one has ended without a word.
        if books.questions.get(&question.identity).is_some_and(|state| state.asking.is_some()) {
            return Intent::Known(Settlement::lost());
        }
        if let Look::Known(settlement) = books.look(question, terms) {
            return Intent::Known(settlement);
        }
        match terms.max_calls {
            Some(most) if books.used >= most => return Intent::CapReached,
            Some(most) if books.used + books.sending >= most => return Intent::CapTaken,
            _ => {}
        }
        books.sending += 1;
        books.attempts += 1;
        let state = books.questions.entry(question.identity).or_default();
        state.asking = Some(question.version.clone());
        let (zero, slots) =
            books.slots.get_or_insert_with(|| (Instant::now(), Gcra::new(terms.spacing)));
        let slot = *zero + slots.book(zero.elapsed());
        let attempt = Booked { identity: question.identity, id: books.attempts };
        Intent::Send { attempt, slot }
    }

    pub(super) fn end(&self, attempt: &Booked, ending: &Ending) {
        let mut books = self.lock();
        let settlement = &ending.settlement;
        books.sending = books.sending.saturating_sub(1);
        let may_be_billed = settlement.billing.certainty == Certainty::Unknown;
        books.used += u64::from(may_be_billed || settlement.billing.images > 0);
        let state = books.questions.entry(attempt.identity).or_default();
        let version = state.asking.take().flatten();
        if matches!(settlement.disposition, Disposition::Settled(_) | Disposition::Unknown(_)) {
            state.known = Some(Known {
                settlement: Settlement { recalled: true, ..settlement.clone() },
                version,
                since: Instant::now(),
                attempt: attempt.id,
                ended: micros(SystemTime::now()),
            });
        } else if state.known.is_none() {
            books.questions.remove(&attempt.identity);
        }
        if let (Some(pause), Some((zero, slots))) = (ending.push_back, &mut books.slots) {
            let now = zero.elapsed();
            slots.push_back(now, now + pause);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn look(&self, question: &Question, terms: &Terms) -> Look {
        let known = match self.questions.get(&question.identity) {
            Some(State { known: Some(known), asking: None }) => known,
            _ => return Look::Free,
        };
        let may_be_asked = match known.settlement.disposition {
            Disposition::Settled(_) => {
                changed(known.version.as_ref(), question.version.as_ref())
                    || terms.max_age.is_some_and(|most: Duration| known.since.elapsed() > most)
            }
            _ => terms.retry_unknown.is_some_and(|m| m.is_after(known.attempt, Some(known.ended))),
        };
        if may_be_asked { Look::Free } else { Look::Known(known.settlement.clone()) }
    }
}

/// Whether a picture is surely another than the one that was asked about.
pub(super) fn changed(asked: Option<&Version>, now: Option<&Version>) -> bool {
    matches!((asked, now), (Some(asked), Some(now)) if asked.differs(now))
}
