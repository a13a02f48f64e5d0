//! The books: which questions were asked and what came of them, so that none is paid for twice.
//!
//! A question is free (absent here), being sent, settled, or unknown. [`Books::enter`] is the
//! compare-and-set: of all who ask one question at once, one gets a [`Ticket`] and everybody else
//! its answer. These books are kept in memory: their promise ends with the process.

mod identity;
mod quota;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub(crate) use identity::Identity;
pub(crate) use quota::{Gcra, LATEST, spacing};

use crate::detect::Judgement;
use crate::probe::Version;
use crate::report::{Billing, Reason, ReasonCode};

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settlement {
    pub(crate) result: Outcome,
    pub(crate) billing: Billing,
    pub(crate) request_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The service answered; it is not asked again.
    Settled(Judgement),
    /// No verdict and no bill: the question is free again.
    Refused(Reason),
    /// May have been billed: not asked again.
    Unknown(Reason),
    /// Nothing was sent: the run or the gate ended first, or nobody waited any more.
    NotSent,
}

/// All questions of one process.
#[derive(Clone, Default)]
pub(crate) struct Books(Arc<Mutex<HashMap<Identity, State>>>);

enum State {
    Sending(watch::Receiver<Option<Arc<Settlement>>>),
    Settled { settlement: Arc<Settlement>, version: Option<Version> },
    Unknown(Arc<Settlement>),
}

/// What someone finds who asks a question.
pub(crate) enum Entry {
    /// It was asked before.
    Known(Arc<Settlement>),
    /// Someone is asking it.
    Sending(Waiter),
    /// It is yours to ask.
    Free(Ticket, Waiter),
}

impl Books {
    /// Asks whether `identity`, whose picture now has `version`, is to be sent.
    ///
    /// A settled question is asked anew when its picture has changed; an unknown one is not.
    pub(crate) fn enter(&self, identity: Identity, version: Option<Version>) -> Entry {
        let mut states = self.lock();
        let vacant = match states.entry(identity) {
            Slot::Occupied(known) => match known.get() {
                State::Sending(landing) => return Entry::Sending(Waiter(landing.clone())),
                State::Unknown(settlement) => return Entry::Known(Arc::clone(settlement)),
                State::Settled { settlement, version: asked } => {
                    let changed = matches!((asked, &version), (Some(a), Some(b)) if a.differs(b));
                    if !changed {
                        return Entry::Known(Arc::clone(settlement));
                    }
                    known.remove();
                    states.entry(identity)
                }
            },
            vacant @ Slot::Vacant(_) => vacant,
        };
        let (landing, waiter) = watch::channel(None);
        vacant.insert_entry(State::Sending(waiter.clone()));
        let ticket = Ticket { books: self.clone(), identity, version, landing };
        Entry::Free(ticket, Waiter(waiter))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send one question, and the duty to say what came of it. A ticket that is dropped
/// without a word leaves its question unknown: its call may have left.
pub(crate) struct Ticket {
    books: Books,
    identity: Identity,
    version: Option<Version>,
    landing: watch::Sender<Option<Arc<Settlement>>>,
}

impl Ticket {
    /// Whether anyone but the books themselves still wants the answer.
    pub(crate) fn is_awaited(&self) -> bool {
        self.landing.receiver_count() > 1
    }

    /// Books what came of the question and tells all who wait.
    pub(crate) fn settle(self, settlement: Settlement) {
        self.book(settlement);
    }

    fn book(&self, settlement: Settlement) {
        let settlement = Arc::new(settlement);
        let state = match settlement.result {
            Outcome::Settled(_) => Some(State::Settled {
                settlement: Arc::clone(&settlement),
                version: self.version.clone(),
            }),
            Outcome::Unknown(_) => Some(State::Unknown(Arc::clone(&settlement))),
            Outcome::Refused(_) | Outcome::NotSent => None,
        };
        {
            let mut states = self.books.lock();
            match state {
                Some(state) => states.insert(self.identity, state),
                None => states.remove(&self.identity),
            };
        }
        self.landing.send_replace(Some(settlement));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.landing.borrow().is_none() {
            self.book(Settlement {
                result: Outcome::Unknown(Reason::new(
                    ReasonCode::BillingUnknown,
                    "the call was abandoned and may have been billed",
                )),
                billing: Billing::UNKNOWN,
                request_id: None,
            });
        }
    }
}

/// A place to wait for someone's answer.
pub(crate) struct Waiter(watch::Receiver<Option<Arc<Settlement>>>);

impl Waiter {
    /// The answer. `None` only when the ticket's books are gone too.
    pub(crate) async fn landed(mut self) -> Option<Arc<Settlement>> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone())
    }
}
