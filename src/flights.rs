//! Equal questions of one gate share one flight: of all who ask at once, one gets a [`Ticket`]
//! and everybody its answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ledger::{Identity, Settlement};
use crate::probe::{Sameness, Version};

/// The questions of one gate that are being asked.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Identity, Landing>>>);

type Landing = watch::Receiver<Option<Arc<Landed>>>;

/// What came of a flight.
pub(crate) struct Landed {
    pub(crate) settlement: Settlement,
    /// The picture that was asked about.
    pub(crate) version: Option<Version>,
    /// There might have been more: the run or the gate that asked ended first.
    pub(crate) cut_short: bool,
}

impl Landed {
    /// Whether it answers who asks about this version of the picture, in a run of its own.
    pub(crate) fn answers(&self, version: Option<&Version>) -> bool {
        !self.cut_short && Version::compare(self.version.as_ref(), version) == Sameness::Same
    }
}

/// A place on a flight.
pub(crate) enum Flight {
    /// Nobody was asking: it is this caller's to ask.
    Mine(Ticket, Waiter),
    /// Someone is asking already.
    Shared(Waiter),
}

impl Flights {
    pub(crate) fn board(&self, identity: Identity) -> Flight {
        match self.lock().entry(identity) {
            Entry::Occupied(flight) => Flight::Shared(Waiter(flight.get().clone())),
            Entry::Vacant(vacant) => {
                let (landing, waiter) = watch::channel(None);
                vacant.insert(waiter.clone());
                Flight::Mine(Ticket { flights: self.clone(), identity, landing }, Waiter(waiter))
            }
        }
    }

    /// Whether anyone is asking.
    pub(crate) fn is_under_way(&self, identity: Identity) -> bool {
        self.lock().contains_key(&identity)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, Landing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to ask one question and to tell all who wait.
pub(crate) struct Ticket {
    flights: Flights,
    identity: Identity,
    landing: watch::Sender<Option<Arc<Landed>>>,
}

impl Ticket {
    /// Whether anyone still wants the answer.
    pub(crate) fn is_awaited(&self) -> bool {
        // One receiver is the flights' own.
        self.landing.receiver_count() > 1
    }

    /// Tells all who wait, now that the books know.
    pub(crate) fn land(self, landed: Landed) {
        // Off the list first: who asks from here on finds the answer in the books.
        self.flights.lock().remove(&self.identity);
        self.landing.send_replace(Some(Arc::new(landed)));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.landing.borrow().is_none() {
            self.flights.lock().remove(&self.identity);
        }
    }
}

/// A place to wait for an answer.
pub(crate) struct Waiter(Landing);

impl Waiter {
    /// The answer; `None` when the task that asked was ended with its runtime.
    pub(crate) async fn landed(mut self) -> Option<Arc<Landed>> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone())
    }
}
