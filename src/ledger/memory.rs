//! A ledger in memory, for one process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::quota::{Pace, micros};
use super::{
    AttemptOutcome, CallEnd, CallRecord, Content, Identity, Lookup, Moment, OtherAttempt, Question,
    Reservation, ReserveResult, Reuse, Terms,
};
use crate::probe::{Sameness, Version};
use crate::report::Certainty;

pub(super) struct Memory {
    /// Where the ledger's clock begins, which nobody can set back.
    zero: Instant,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    questions: HashMap<Identity, State>,
    /// Which questions were asked about a content.
    contents: HashMap<Content, Vec<Identity>>,
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
    about: About,
    slot: Instant,
}

/// What was asked about.
#[derive(Clone)]
struct About {
    source: String,
    version: Option<Version>,
    content: Option<Content>,
}

#[derive(Clone)]
struct Known {
    record: CallRecord,
    about: About,
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

    pub(super) fn lookup(&self, question: &Question, reuse: &Reuse) -> Lookup {
        self.lock().lookup(question, reuse)
    }

    pub(super) fn reserve(&self, question: &Question, terms: &Terms) -> ReserveResult {
        let mut entries = self.lock();
        match entries.lookup(question, &terms.reuse) {
            Lookup::Known(record) => return ReserveResult::Known(record),
            Lookup::InFlight(other) => return ReserveResult::InFlight(other),
            Lookup::NeedsLastBytes => return ReserveResult::NeedsLastBytes,
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
        if let Some(content) = question.content {
            entries.contents.entry(content).or_default().push(question.identity);
        }
        let state = entries.questions.entry(question.identity).or_default();
        let about = About {
            source: question.source.clone(),
            version: question.version.clone(),
            content: question.content,
        };
        state.asking = Some(Asking { attempt: attempt.id, about, slot });
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
        let Entries { questions, caps, paces, contents, .. } = &mut *entries;
        let Some(state) = questions.get_mut(&attempt.identity) else { return };
        let Some(asking) = state.asking.take_if(|asking| asking.attempt == attempt.id) else {
            return;
        };
        let record = &outcome.record;
        let cap = caps.entry(terms.run.clone()).or_default();
        cap.sending = cap.sending.saturating_sub(1);
        let may_be_billed = record.billing.certainty == Certainty::Unknown;
        cap.used += u64::from(may_be_billed || record.billing.images > 0);
        if let Some(pause) = outcome.push_back {
            paces.entry(terms.account.clone()).or_default().push_back(self.now(), pause);
        }
        let known = Known {
            record: CallRecord { recalled: true, ..record.clone() },
            about: asking.about,
            since: Instant::now(),
            attempt: attempt.id,
        };
        match record.end {
            CallEnd::Settled(_) => (state.known, state.standing) = (Some(known), None),
            // It leaves its question as it was.
            CallEnd::Refused(_) | CallEnd::NotSent => {
                if let Some(content) = known.about.content {
                    forget(contents, content, attempt.identity);
                }
                if state.known.is_none() {
                    questions.remove(&attempt.identity);
                }
            }
            _ => {
                let before = state.known.replace(known);
                let is_verdict = |known: &Known| known.is_settled();
                state.standing = before.filter(is_verdict).or(state.standing.take());
            }
        }
    }

    /// Always: by this process, which lives.
    pub(super) fn is_held(&self, _: &OtherAttempt) -> bool {
        true
    }

    fn now(&self) -> i64 {
        micros(self.zero.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one mention of a question off those with a content.
fn forget(contents: &mut HashMap<Content, Vec<Identity>>, content: Content, identity: Identity) {
    if let Some(identities) = contents.get_mut(&content) {
        if let Some(at) = identities.iter().position(|other| *other == identity) {
            identities.swap_remove(at);
        }
        if identities.is_empty() {
            contents.remove(&content);
        }
    }
}

impl Entries {
    fn lookup(&self, question: &Question, reuse: &Reuse) -> Lookup {
        let look = self
            .questions
            .get(&question.identity)
            .map_or(Lookup::Free, |state| state.lookup(question, reuse));
        let content = question.content.filter(|_| reuse.same_content);
        match (look, content) {
            (Lookup::Free, Some(content)) => self.lookup_by_content(content, question, reuse),
            (look, _) => look,
        }
    }

    /// What is known of the same content under another URL: a verdict, else one in flight, else
    /// one of unknown bill.
    fn lookup_by_content(&self, content: Content, question: &Question, reuse: &Reuse) -> Lookup {
        // That it is the same is known, and by more than ETags of two URLs could tell.
        let question = Question { version: None, ..question.clone() };
        let mut best = (3, Lookup::Free);
        for identity in self.contents.get(&content).into_iter().flatten() {
            let Some(state) = self.questions.get(identity) else { continue };
            for (about, look) in state.all(&question, reuse) {
                let rank = match &look {
                    Lookup::Known(known) if matches!(known.end, CallEnd::Settled(_)) => 0,
                    Lookup::InFlight(_) => 1,
                    Lookup::Known(_) => 2,
                    Lookup::Free | Lookup::NeedsLastBytes => continue,
                };
                if about.content == Some(content) && rank < best.0 {
                    best = (
                        rank,
                        match look {
                            Lookup::Known(known) => {
                                let same_as = Some(about.source.as_str().into());
                                Lookup::Known(CallRecord { same_as, ..known })
                            }
                            look => look,
                        },
                    );
                }
            }
        }
        best.1
    }
}

impl State {
    fn lookup(&self, question: &Question, reuse: &Reuse) -> Lookup {
        if let Some(asking) = &self.asking {
            return asking.lookup();
        }
        let Some(known) = &self.known else { return Lookup::Free };
        match known.lookup(question, reuse) {
            Lookup::Known(lost) if !known.is_settled() => {
                match self.standing.as_ref().map(|standing| standing.judge_verdict(question)) {
                    Some(Lookup::Known(standing)) => Lookup::Known(standing.before_a_lost_call()),
                    Some(Lookup::NeedsLastBytes) => Lookup::NeedsLastBytes,
                    _ => Lookup::Known(lost),
                }
            }
            look => look,
        }
    }

    /// All that is known, each with what it is about.
    fn all(&self, question: &Question, reuse: &Reuse) -> impl Iterator<Item = (&About, Lookup)> {
        let asking = self.asking.iter().map(|asking| (&asking.about, asking.lookup()));
        let known = self.known.iter().chain(&self.standing);
        asking.chain(known.map(|known| (&known.about, known.lookup(question, reuse))))
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
        matches!(self.record.end, CallEnd::Settled(_))
    }

    fn lookup(&self, question: &Question, reuse: &Reuse) -> Lookup {
        let is_old = || reuse.max_age.is_some_and(|most| self.since.elapsed() > most);
        let may_be_asked_again =
            || reuse.retry_unknown.as_ref().is_some_and(|m| m.is_after(self.attempt));
        match self.is_settled() {
            true if is_old() => Lookup::Free,
            true => self.judge_verdict(question),
            false if may_be_asked_again() => Lookup::Free,
            false => Lookup::Known(self.record.clone()),
        }
    }

    fn judge_verdict(&self, question: &Question) -> Lookup {
        match Version::compare(self.about.version.as_ref(), question.version.as_ref()) {
            Sameness::Same => Lookup::Known(self.record.clone()),
            Sameness::NeedsLastBytes if !question.version_is_final => Lookup::NeedsLastBytes,
            Sameness::NeedsLastBytes | Sameness::Another => Lookup::Free,
        }
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

    fn outcome(make: fn(Reason) -> CallEnd, billing: Billing) -> AttemptOutcome {
        let end = make(Reason::new(ReasonCode::BillingUnknown, "why"));
        let record = CallRecord { end, billing, ..CallRecord::not_sent() };
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
        let rejected = |reason| CallEnd::Settled(Judgement::Rejected(reason));
        ledger.record(&attempt, &outcome(rejected, Billing::certain(1)), &terms);
        for state in ledger.lock().questions.values_mut() {
            state.known.as_mut().unwrap().since -= Duration::from_secs(10);
        }
        for (max_age, is_known) in [(None, true), (Some(60), true), (Some(5), false)] {
            let reuse = Reuse { max_age: max_age.map(Duration::from_secs), ..Reuse::default() };
            let found = matches!(ledger.lookup(&question(1), &reuse), Lookup::Known(_));
            assert_eq!(found, is_known, "{max_age:?}");
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
        ledger.record(&first, &outcome(CallEnd::Refused, Billing::NONE), &terms);
        let fourth = sent(4);
        assert!(matches!(reserve(5), ReserveResult::CapTaken));
        let rejected = |reason| CallEnd::Settled(Judgement::Rejected(reason));
        ledger.record(&second, &outcome(rejected, Billing::certain(1)), &terms);
        ledger.record(&third, &outcome(CallEnd::Unknown, Billing::UNKNOWN), &terms);
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
        let (first, refused) = (sent(1), outcome(CallEnd::Refused, Billing::NONE));
        ledger.record(&first, &refused, &terms);
        let second = sent(1);
        ledger.record(&first, &refused, &terms);
        let looked = ledger.lookup(&question(1), &terms.reuse);
        assert!(matches!(looked, Lookup::InFlight(now) if now.attempt == second.id));
        let unknown = outcome(CallEnd::Unknown, Billing::UNKNOWN);
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
