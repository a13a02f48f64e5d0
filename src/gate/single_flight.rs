//! Single flight: of all who ask one question of a gate at once, one leads and makes the call, the
//! others follow and get its outcome.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::call::CallOutcome;
use crate::ledger::Identity;

/// The questions of one gate that are being asked.
#[derive(Clone, Default)]
pub(crate) struct SingleFlight(Arc<Mutex<HashMap<Identity, Receiver>>>);

type Receiver = watch::Receiver<Option<Arc<CallOutcome>>>;

/// A caller's part in a flight.
pub(crate) enum Role {
    /// Nobody was asking: this caller leads. It waits for its own result as the others do.
    Leader(Leader, Follower),
    /// Someone is asking already.
    Follower(Follower),
}

impl SingleFlight {
    pub(crate) fn join(&self, identity: Identity) -> Role {
        match self.lock().entry(identity) {
            Entry::Occupied(flight) => Role::Follower(Follower(flight.get().clone())),
            Entry::Vacant(vacant) => {
                let (result, receiver) = watch::channel(None);
                vacant.insert(receiver.clone());
                let leader = Leader { flights: self.clone(), identity, result };
                Role::Leader(leader, Follower(receiver))
            }
        }
    }

    /// Follows who is asking, if anyone is.
    pub(crate) fn follow(&self, identity: Identity) -> Option<Follower> {
        self.lock().get(&identity).cloned().map(Follower)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, Receiver>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to ask one question and to tell all who follow.
pub(crate) struct Leader {
    flights: SingleFlight,
    identity: Identity,
    result: watch::Sender<Option<Arc<CallOutcome>>>,
}

impl Leader {
    /// Whether anyone still wants the result.
    pub(crate) fn is_awaited(&self) -> bool {
        // One receiver is in the map.
        self.result.receiver_count() > 1
    }

    /// Tells all who follow, now that the ledger knows.
    pub(crate) fn finish(self, result: CallOutcome) {
        // Out of the map first: who asks from here on finds the answer in the ledger.
        self.flights.lock().remove(&self.identity);
        self.result.send_replace(Some(Arc::new(result)));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.result.borrow().is_none() {
            self.flights.lock().remove(&self.identity);
        }
    }
}

/// A place to wait for a result.
pub(crate) struct Follower(Receiver);

impl Follower {
    /// The result; `None` when the leader's task was ended with its runtime.
    pub(crate) async fn result(mut self) -> Option<Arc<CallOutcome>> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|result| result.clone())
    }
}
