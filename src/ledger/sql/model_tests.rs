//! The ledger held step by step against the model of its protocol: owners that crash, lose their
//! locks and end late included.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::places::{How, Place, block_on, outcome, owner_of, terms};
use super::*;
use crate::detect::Disposition;
use crate::ledger::OtherAttempt;
use crate::ledger::protocol_tests::{
    Hand, Known, Life, OWNERS, Owner, QUESTIONS, Question, RULES, Seen, State, Step as Move, World,
};
use crate::ledger::samples::question;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// An owner wishes to send a question; perhaps it may ask old unknowns again, perhaps it takes
    /// no verdict for new enough.
    Intend { owner: usize, question: usize, retry: bool, stale: bool },
    /// An owner is about to send what it has booked.
    Mark { owner: usize, question: usize },
    /// An owner ends the attempt it holds for a question: not sent, if it was not marked.
    End { owner: usize, question: usize, how: How },
    /// An owner ends without a word and starts anew.
    Crash { owner: usize },
    /// Someone deletes an owner's lock while it lives.
    LoseLock { owner: usize },
    /// An owner looks whether a question's holder still lives.
    Watch { owner: usize, question: usize },
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![Just(How::Settled), Just(How::Refused), Just(How::Unknown), Just(How::NotSent)]
}

fn step() -> impl Strategy<Value = Step> {
    let (owner, question) = (0..OWNERS, 0..QUESTIONS);
    prop_oneof![
        6 => (owner.clone(), question.clone(), any::<bool>(), any::<bool>()).prop_map(
            |(owner, question, retry, stale)| Step::Intend { owner, question, retry, stale }
        ),
        5 => (owner.clone(), question.clone())
            .prop_map(|(owner, question)| Step::Mark { owner, question }),
        5 => (owner.clone(), question.clone(), how())
            .prop_map(|(owner, question, how)| Step::End { owner, question, how }),
        1 => owner.clone().prop_map(|owner| Step::Crash { owner }),
        1 => owner.clone().prop_map(|owner| Step::LoseLock { owner }),
        2 => (owner, question).prop_map(|(owner, question)| Step::Watch { owner, question }),
    ]
}

/// A process's handle, and its moment of beginning.
struct Process {
    ledger: SqlLedger,
    began: Moment,
}

async fn start(place: &Place) -> Process {
    let ledger = place.open().await;
    let began = ledger.moment().await.unwrap();
    Process { ledger, began }
}

/// The ledger and the model, side by side.
struct Pair {
    place: Place,
    processes: Vec<Process>,
    world: World,
    /// The ledger's number of each attempt of the model's.
    ids: Vec<Reservation>,
}

impl Pair {
    async fn new(place: Place) -> Self {
        let mut processes = Vec::new();
        for _ in 0..OWNERS {
            processes.push(start(&place).await);
        }
        place.hold_the_pace().await;
        let mut world = World::default();
        world.owners.fill(Owner { life: Life::Alive, ..Owner::default() });
        Self { place, processes, world, ids: Vec::new() }
    }

    fn take_away(&mut self, which: impl Fn(usize) -> bool) {
        for attempt in (0..self.ids.len()).filter(|attempt| which(*attempt)) {
            if let Some(next) = self.world.after(Move::TakeAway { attempt }, &RULES) {
                self.world = next;
            }
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Intend { owner, question, retry, stale } => {
                self.reserve(owner, question, retry, stale).await;
            }
            Step::Mark { owner, question } => {
                let Hand::Booked(attempt) = self.world.owners[owner].hands[question] else {
                    return;
                };
                if self.has_no_lock(owner) {
                    let marked = self.processes[owner].ledger.mark_sending(&self.ids[attempt]);
                    assert!(marked.await.is_err(), "it sends without a lock");
                    return;
                }
                self.world = self.world.after(Move::Mark { owner, question }, &RULES).unwrap();
                let marked = self.world.owners[owner].hands[question] == Hand::Marked(attempt);
                let ledger = &self.processes[owner].ledger;
                assert_eq!(ledger.mark_sending(&self.ids[attempt]).await.unwrap(), marked);
            }
            Step::End { owner, question, how } => {
                let (attempt, how) = match self.world.owners[owner].hands[question] {
                    Hand::Marked(attempt) => (attempt, how),
                    Hand::Booked(attempt) => (attempt, How::NotSent),
                    _ => return,
                };
                let state = match how {
                    How::Settled => State::Settled,
                    How::Refused => State::Refused,
                    How::Unknown => State::Unknown,
                    How::NotSent => State::NotSent,
                };
                self.world.end(attempt, state);
                self.world.owners[owner].hands[question] = Hand::Empty;
                let ledger = &self.processes[owner].ledger;
                ledger.record(&self.ids[attempt], &outcome(how), &terms()).await.unwrap();
            }
            Step::Crash { owner } => {
                let next = start(&self.place).await;
                // The old one's lock goes after the new one has started: what it held is found by
                // the next who starts or watches.
                let dead = std::mem::replace(&mut self.processes[owner], next);
                self.place.end(dead.ledger).await;
                self.processes[owner].ledger.abandon_the_dead().await.unwrap();
                self.processes[owner].began = self.processes[owner].ledger.moment().await.unwrap();
                self.world = self.world.after(Move::Die { owner }, &RULES).unwrap();
                // Those without a lock are found at the same time.
                self.take_away(|_| true);
                let unknown = self.world.attempts.iter().enumerate();
                let unknown = unknown.filter(|(_, attempt)| attempt.state == State::Unknown);
                let retries = unknown.map(|(attempt, _)| 1 << attempt).sum();
                self.world.owners[owner] = Owner { life: Life::Alive, retries, ..Owner::default() };
            }
            Step::LoseLock { owner } => {
                // A session that is lost is followed by another owner: the model has none.
                if !matches!(self.place, Place::Sqlite(_)) {
                    return;
                }
                let alive = !self.world.owners[owner].seems_gone;
                if alive {
                    self.place.lose_lock(&self.processes[owner].ledger).await;
                }
                self.world.owners[owner].seems_gone = true;
            }
            Step::Watch { owner, question } => {
                let Seen::InFlight(attempt) = self.world.see(owner, question) else { return };
                let holder = self.world.attempts[attempt].owner;
                let other = OtherAttempt {
                    attempt: self.ids[attempt].id,
                    owner: owner_of(&self.processes[holder].ledger).await,
                    leaves_in: Duration::ZERO,
                };
                let held = self.processes[owner].ledger.is_held(&other).await.unwrap();
                assert_eq!(held, !self.world.owners[holder].seems_gone, "{step:?}");
                self.take_away(|taken| taken == attempt);
            }
        }
    }

    /// A file's lock that is gone stops its process before its next call; a session's successor has
    /// another.
    fn has_no_lock(&self, owner: usize) -> bool {
        self.world.owners[owner].seems_gone && matches!(self.place, Place::Sqlite(_))
    }

    async fn reserve(&mut self, owner: usize, q: usize, retry: bool, stale: bool) {
        if self.has_no_lock(owner) {
            let (question, terms) = (question(q), terms());
            let reserved = self.processes[owner].ledger.reserve(&question, &terms, None).await;
            assert!(reserved.is_err(), "it books without a lock");
            return;
        }
        let retries = self.world.owners[owner].retries;
        self.world.owners[owner].retries = if retry { retries } else { 0 };
        let seen = match self.world.see(owner, q) {
            Seen::Settled(settled)
                if stale
                    && self.world.questions[q].asking.is_none()
                    && self.world.questions[q].known == Known::Settled(settled) =>
            {
                Seen::Free
            }
            seen => seen,
        };
        self.world.owners[owner].retries = retries;
        let mut terms = terms();
        terms.reuse.retry_unknown = retry.then(|| self.processes[owner].began.clone());
        terms.reuse.max_age = stale.then_some(Duration::ZERO);
        let found = self.processes[owner].ledger.reserve(&question(q), &terms, None).await.unwrap();
        match (found, seen) {
            (ReserveResult::Reserved { attempt, .. }, Seen::Free) => {
                self.world.owners[owner].hands[q] = Hand::Booked(self.ids.len());
                self.world.book(owner, q);
                self.ids.push(attempt);
            }
            (ReserveResult::InFlight(other), Seen::InFlight(attempt)) => {
                assert_eq!(other.attempt, self.ids[attempt].id);
            }
            (ReserveResult::Known(known), Seen::Settled(settled)) => {
                assert!(matches!(known.disposition, Disposition::Settled(_)), "{known:?}");
                let Question { asking, known: last, .. } = self.world.questions[q];
                let stands = asking.is_some() || last != Known::Settled(settled);
                assert_eq!(known.note.is_some(), stands, "{known:?}");
            }
            (ReserveResult::Known(known), Seen::Unknown(_)) => {
                assert!(matches!(known.disposition, Disposition::Unknown(_)), "{known:?}");
            }
            (found, seen) => {
                let found = match found {
                    ReserveResult::Reserved { .. } => "sent",
                    ReserveResult::Known(_) => "known",
                    ReserveResult::InFlight(_) => "in flight",
                    _ => "something else",
                };
                panic!("{found}, but {seen:?} of {:?}", self.world.questions[q]);
            }
        }
    }
}

async fn compare(steps: &[Step]) {
    for place in Place::all() {
        let mut pair = Pair::new(place).await;
        for step in steps {
            // Less than any slot lies ahead: what comes too late for its slot is another test's.
            pair.place.advance(1).await;
            pair.take(*step).await;
        }
    }
}

/// Intends one new question after another under a cap, by turns of two processes as the steps have
/// it, and ends the oldest attempt under way where a step says how.
async fn count_along(most: i64, steps: &[(usize, Option<How>)]) {
    for place in Place::all() {
        count_along_at(&place, most, steps).await;
    }
}

async fn count_along_at(place: &Place, most: i64, steps: &[(usize, Option<How>)]) {
    let ledger = [start(place).await.ledger, start(place).await.ledger];
    // What comes too late for its slot is another test's.
    place.hold_the_pace().await;
    let capped = Terms { max_calls: u64::try_from(most).ok(), ..terms() };
    let other = Terms { run: "other".to_owned(), max_calls: Some(1_000), ..terms() };
    let mut under_way = VecDeque::new();
    let mut used = 0;
    for (number, (process, how)) in steps.iter().enumerate() {
        // Another run's calls are none of this one's.
        let other = ledger[1 - process].reserve(&question(1_000 + number), &other, None).await;
        assert!(matches!(other, Ok(ReserveResult::Reserved { .. })));
        let sending = i64::try_from(under_way.len()).unwrap();
        match ledger[*process].reserve(&question(number), &capped, None).await.unwrap() {
            ReserveResult::Reserved { attempt, .. } => {
                assert!(used + sending < most, "{used} used and {sending} under way of {most}");
                under_way.push_back((*process, attempt));
            }
            ReserveResult::CapReached => assert!(used >= most, "{used} of {most}"),
            ReserveResult::CapTaken => assert!(used < most && used + sending >= most),
            _ => panic!("a new question"),
        }
        let Some(how) = how else { continue };
        let Some((holder, attempt)) = under_way.pop_front() else { continue };
        assert!(ledger[holder].mark_sending(&attempt).await.unwrap());
        ledger[holder].record(&attempt, &outcome(*how), &capped).await.unwrap();
        used += i64::from(matches!(how, How::Settled | How::Unknown));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_follows_the_model(steps in prop::collection::vec(step(), 1..32)) {
        block_on(compare(&steps));
    }

    #[test]
    fn a_cap_is_neither_exceeded_nor_reached_too_early(
        most in 0_i64..8,
        steps in prop::collection::vec((0_usize..2, prop::option::of(how())), 1..30),
    ) {
        block_on(count_along(most, &steps));
    }
}
