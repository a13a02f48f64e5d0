//! A ledger in memory, for one process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::quota::{Pace, micros};
use super::{
    AttemptOutcome, CallRecord, Found, Identity, ImageKey, Lookup, Moment, OtherAttempt, Query,
    Question, Reservation, ReserveResult, Reuse, Terms,
};
use crate::detect::Disposition;
use crate::probe::{Content, Sighting};
use crate::report::Certainty;

pub(super) struct Memory {
    /// Where the ledger's clock begins, which nobody can set back.
    zero: Instant,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    questions: HashMap<Identity, State>,
    sightings: HashMap<Sighting, Content>,
    attempts: i64,
    paces: HashMap<String, Pace>,
    caps: HashMap<String, Cap>,
}

/// Of a run's attempts: those in flight, and those that were billed or are unknown.
#[derive(Default)]
struct Cap {
    sending: u64,
    used: u64,
}

/// One question: what it came to last, the verdict before that where this is unknown, and the
/// attempt in flight, if there is one.
#[derive(Default)]
struct State {
    known: Option<Known>,
    standing: Option<Known>,
    asking: Option<Asking>,
}

/// A process's own attempts are never taken away from it, so that it needs no state for being sent.
#[derive(Clone)]
struct Asking {
    attempt: i64,
    source: Box<str>,
    slot: Instant,
}

#[derive(Clone)]
struct Known {
    record: CallRecord,
    since: Instant,
    attempt: i64,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { zero: Instant::now(), entries: Mutex::default() }
    }

    pub(super) fn moment(&self) -> Moment {
        let entries = self.lock();
        let asking = entries.questions.values().filter_map(|state| state.asking.as_ref());
        Moment { last: entries.attempts, under_way: asking.map(|asking| asking.attempt).collect() }
    }

    pub(super) fn lookup(&self, query: Query<'_>) -> Option<Found> {
        let entries = self.lock();
        let content = match query.image {
            ImageKey::Content(content) => content,
            ImageKey::Sighting(sighting) => *entries.sightings.get(&sighting)?,
        };
        let lookup = entries.lookup(query.ask.identity(&content), query.reuse);
        Some(Found { content, lookup })
    }

    pub(super) fn reserve(&self, question: &Question, terms: &Terms) -> ReserveResult {
        let mut entries = self.lock();
        match entries.lookup(question.identity, &terms.reuse) {
            Lookup::Known(record) => return ReserveResult::Known(record),
            Lookup::InFlight(other) => return ReserveResult::InFlight(other),
            Lookup::Free => {}
        }
        let cap = entries.caps.entry(terms.run.clone()).or_default();
        match terms.max_calls {
            Some(most) if cap.used >= most => return ReserveResult::CapReached,
            Some(most) if cap.used + cap.sending >= most => return ReserveResult::CapTaken,
            _ => {}
        }
        cap.sending += 1;
        entries.attempts += 1;
        let attempt = Reservation { identity: question.identity, id: entries.attempts };
        let pace = entries.paces.entry(terms.account.clone()).or_default();
        let slot = pace.book(self.now(), Duration::ZERO, terms.spacing);
        let slot = self.zero + Duration::from_micros(u64::try_from(slot).unwrap_or(0));
        if let Some(sighting) = question.sighting {
            entries.sightings.insert(sighting, question.content);
        }
        let state = entries.questions.entry(question.identity).or_default();
        let source = question.source.as_str().into();
        state.asking = Some(Asking { attempt: attempt.id, source, slot });
        ReserveResult::Reserved { attempt, mark: slot, slot }
    }

    pub(super) fn mark_sending(&self, attempt: &Reservation) -> bool {
        self.lock()
            .questions
            .get(&attempt.identity)
            .and_then(|state| state.asking.as_ref())
            .is_some_and(|asking| asking.attempt == attempt.id)
    }

    pub(super) fn record(&self, attempt: &Reservation, outcome: &AttemptOutcome, terms: &Terms) {
        let mut entries = self.lock();
        let Entries { questions, caps, paces, .. } = &mut *entries;
        let Some(state) = questions.get_mut(&attempt.identity) else { return };
        let Some(asking) = state.asking.take_if(|asking| asking.attempt == attempt.id) else {
            return;
        };
        let billing = outcome.billing();
        let cap = caps.entry(terms.run.clone()).or_default();
        cap.sending = cap.sending.saturating_sub(1);
        cap.used += u64::from(billing.certainty == Certainty::Unknown || billing.images > 0);
        if let Some(pause) = outcome.push_back {
            paces.entry(terms.account.clone()).or_default().push_back(self.now(), pause);
        }
        let comes_to_something =
            |record: &&CallRecord| !matches!(record.disposition, Disposition::Refused(_));
        let Some(record) = outcome.record.as_ref().filter(comes_to_something) else {
            // It leaves its question as it was.
            if state.known.is_none() {
                questions.remove(&attempt.identity);
            }
            return;
        };
        let known = Known {
            record: CallRecord { recalled: true, source: Some(asking.source), ..record.clone() },
            since: Instant::now(),
            attempt: attempt.id,
        };
        let is_settled = known.is_settled();
        let before = state.known.replace(known).filter(Known::is_settled);
        state.standing = before.or(state.standing.take()).filter(|_| !is_settled);
    }

    /// Always: by this process, which lives.
    pub(super) fn is_held(&self, _: &OtherAttempt) -> bool {
        true
    }

    /// What is asked of attempts that have ended: they are not kept here.
    #[cfg(feature = "ledger")]
    pub(super) fn none_kept<T: Default>(&self) -> T {
        T::default()
    }

    /// There are none.
    pub(super) fn abandon_the_dead(&self) {}

    fn now(&self) -> i64 {
        micros(self.zero.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn lookup(&self, identity: Identity, reuse: &Reuse) -> Lookup {
        self.questions.get(&identity).map_or(Lookup::Free, |state| state.lookup(reuse))
    }
}

impl State {
    fn lookup(&self, reuse: &Reuse) -> Lookup {
        if let Some(asking) = &self.asking {
            return asking.lookup();
        }
        let Some(known) = &self.known else { return Lookup::Free };
        match (known.lookup(reuse), &self.standing) {
            (Lookup::Known(_), Some(standing)) if !known.is_settled() => {
                Lookup::Known(standing.record.clone().before_a_lost_call())
            }
            (look, _) => look,
        }
    }
}

impl Asking {
    fn lookup(&self) -> Lookup {
        let owner = "this process".to_owned();
        let leaves_in = self.slot.saturating_duration_since(Instant::now());
        Lookup::InFlight(OtherAttempt { attempt: self.attempt, owner, leaves_in })
    }
}

impl Known {
    fn is_settled(&self) -> bool {
        matches!(self.record.disposition, Disposition::Settled(_))
    }

    fn lookup(&self, reuse: &Reuse) -> Lookup {
        let is_old = || reuse.max_age.is_some_and(|most| self.since.elapsed() > most);
        let may_be_asked_again =
            || reuse.retry_unknown.as_ref().is_some_and(|m| m.is_after(self.attempt));
        let is_free = if self.is_settled() { is_old() } else { may_be_asked_again() };
        if is_free { Lookup::Free } else { Lookup::Known(self.record.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Judgement;
    use crate::ledger::samples::{self, question};
    use crate::report::Billing;
    use crate::report::{Reason, ReasonCode};

    fn terms() -> Terms {
        samples::terms(Duration::from_millis(1), Some(3))
    }

    fn outcome(make: fn(Reason) -> Disposition, billing: Billing) -> AttemptOutcome {
        let disposition = make(Reason::new(ReasonCode::BillingUnknown, "why"));
        let record = Some(CallRecord::new(disposition, billing));
        AttemptOutcome { record, was_sent: true, ..AttemptOutcome::not_sent() }
    }

    #[test]
    fn a_slot_unused_is_lost() {
        let now = Instant::now();
        let ledger = Memory { zero: now - Duration::from_secs(10), entries: Mutex::default() };
        let terms = Terms { spacing: Duration::from_secs(1), max_calls: None, ..terms() };
        let slot = |number| match ledger.reserve(&question(number), &terms) {
            ReserveResult::Reserved { slot, .. } => slot,
            _ => panic!("{number} is sent"),
        };
        let (first, second) = (slot(1), slot(2));
        assert!(first >= now && second == first + terms.spacing, "{first:?} {second:?} {now:?}");
    }

    #[test]
    fn an_old_verdict_is_given_again_to_whoever_takes_it() {
        let (ledger, terms) = (Memory::new(), terms());
        let ReserveResult::Reserved { attempt, .. } = ledger.reserve(&question(1), &terms) else {
            panic!()
        };
        let rejected = |reason| Disposition::Settled(Judgement::Rejected(reason));
        ledger.record(&attempt, &outcome(rejected, Billing::certain(1)), &terms);
        for state in ledger.lock().questions.values_mut() {
            state.known.as_mut().unwrap().since -= Duration::from_secs(10);
        }
        for (max_age, is_known) in [(None, true), (Some(60), true), (Some(5), false)] {
            let reuse = Reuse { max_age: max_age.map(Duration::from_secs), ..Reuse::default() };
            let found = ledger.lookup(question(1).query(&reuse)).unwrap().lookup;
            assert_eq!(matches!(found, Lookup::Known(_)), is_known, "{max_age:?}");
        }
    }

    #[test]
    fn the_cap_counts_what_is_being_sent_and_what_was_billed() {
        let (ledger, terms) = (Memory::new(), terms());
        let reserve = |number| ledger.reserve(&question(number), &terms);
        let sent = |number| match reserve(number) {
            ReserveResult::Reserved { attempt, .. } => attempt,
            _ => panic!("{number} is sent"),
        };
        let (first, second, third) = (sent(1), sent(2), sent(3));
        assert!(0 < first.id && first.id < second.id && second.id < third.id);
        assert!(matches!(reserve(4), ReserveResult::CapTaken));
        // What was not billed gives its place back.
        ledger.record(&first, &outcome(Disposition::Refused, Billing::NONE), &terms);
        let fourth = sent(4);
        assert!(matches!(reserve(5), ReserveResult::CapTaken));
        let rejected = |reason| Disposition::Settled(Judgement::Rejected(reason));
        ledger.record(&second, &outcome(rejected, Billing::certain(1)), &terms);
        ledger.record(&third, &outcome(Disposition::Unknown, Billing::UNKNOWN), &terms);
        assert!(matches!(reserve(5), ReserveResult::CapTaken), "one may yet turn out unbilled");
        ledger.record(&fourth, &outcome(rejected, Billing::certain(1)), &terms);
        assert!(matches!(reserve(5), ReserveResult::CapReached));
        // Another run has its own.
        let other = Terms { run: "other".to_owned(), ..terms.clone() };
        assert!(matches!(ledger.reserve(&question(5), &other), ReserveResult::Reserved { .. }));
    }
    /// Whoever gave up waiting for a write does it again, perhaps when another asks already.
    #[test]
    fn ending_twice_is_ending_once() {
        let (ledger, terms) = (Memory::new(), terms());
        let sent = |number| match ledger.reserve(&question(number), &terms) {
            ReserveResult::Reserved { attempt, .. } => attempt,
            _ => panic!("{number} is sent"),
        };
        let (first, refused) = (sent(1), outcome(Disposition::Refused, Billing::NONE));
        ledger.record(&first, &refused, &terms);
        let second = sent(1);
        ledger.record(&first, &refused, &terms);
        let looked = ledger.lookup(question(1).query(&terms.reuse)).unwrap().lookup;
        assert!(matches!(looked, Lookup::InFlight(now) if now.attempt == second.id));
        let unknown = outcome(Disposition::Unknown, Billing::UNKNOWN);
        for _ in 0..3 {
            ledger.record(&second, &unknown, &terms);
        }
        let (_, _) = (sent(2), sent(3));
        assert!(
            matches!(ledger.reserve(&question(4), &terms), ReserveResult::CapTaken),
            "one is used"
        );
    }
}
