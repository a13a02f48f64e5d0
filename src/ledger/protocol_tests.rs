//! The protocol that keeps a call from being paid for twice, in the simplest terms that say it: what
//! owners do, what the ledger makes of it, and what the service bills.
//!
//! Two tests stand on it. Here every interleaving of a small world is explored. In
//! `sqlite/model_tests.rs` the ledger is held against it step by step.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash as _, Hasher};

pub(super) const QUESTIONS: usize = 2;
pub(super) const OWNERS: usize = 3;

/// What the ledger and everybody else knows and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) questions: [Question; QUESTIONS],
    pub(super) attempts: Vec<Attempt>,
    pub(super) owners: [Owner; OWNERS],
}

/// A question: what it came to last, the verdict before that where this is unknown, and the attempt
/// in flight, or given up while it was. Attempts are numbered from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) known: Known,
    pub(super) standing: Option<usize>,
    pub(super) asking: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Known {
    #[default]
    Nothing,
    Settled(usize),
    Unknown(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    pub(super) question: usize,
    pub(super) owner: usize,
    pub(super) state: State,
    /// Its owner was told to ask again what may have been billed.
    by_consent: bool,
    /// The service has billed it, whoever knows.
    billed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Booked,
    Sending,
    NotSent,
    Refused,
    Settled,
    Unknown,
}

/// A process. Dead, it holds nothing any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) life: Life,
    /// The others can take its lock.
    pub(super) seems_gone: bool,
    /// Attempts that were unknown when it began, a bit each: those it may ask again, if it is to.
    pub(super) retries: u32,
    /// What it has in hand, for each question.
    pub(super) hands: [Hand; QUESTIONS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Life {
    #[default]
    Unborn,
    Alive,
    Dead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Hand {
    #[default]
    Empty,
    /// It saw the question free, a while ago.
    SawFree,
    Booked(usize),
    Marked(usize),
    Sent(usize, Reply),
}

/// How a request that left ends, for its owner. One that dies never hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reply {
    Verdict,
    Refusal,
    /// It may have been billed, and here it was.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begin {
        owner: usize,
        retry: bool,
    },
    Look {
        owner: usize,
        question: usize,
    },
    Reserve {
        owner: usize,
        question: usize,
    },
    Mark {
        owner: usize,
        question: usize,
    },
    GiveBack {
        owner: usize,
        question: usize,
    },
    Send {
        owner: usize,
        question: usize,
        reply: Reply,
    },
    Record {
        owner: usize,
        question: usize,
    },
    Die {
        owner: usize,
    },
    SeemGone {
        owner: usize,
    },
    /// Anybody finds that an attempt's owner is gone.
    TakeAway {
        attempt: usize,
    },
}

/// The compare-and-sets, each of which a test may leave out to see what it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A reservation looks again at what was free.
    reserve_compares: bool,
    /// Only who still holds its booking may send.
    mark_compares: bool,
    /// Taking away tells what was booked from what may have left.
    take_away_compares: bool,
    /// A place under the cap is held from the booking on.
    cap_counts_booked: bool,
    /// An owner that seems gone may come back with an answer.
    take_away_keeps_unknown: bool,
    most: usize,
}

pub(super) const RULES: Rules = Rules {
    reserve_compares: true,
    mark_compares: true,
    take_away_compares: true,
    cap_counts_booked: true,
    take_away_keeps_unknown: true,
    most: usize::MAX,
};

/// What a question is to one who wishes to ask it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Free,
    InFlight(usize),
    /// Also of a question whose last verdict stands beside an unknown attempt.
    Settled(usize),
    Unknown(usize),
}

impl World {
    pub(super) fn see(&self, owner: usize, question: usize) -> Seen {
        let Question { known, standing, asking } = self.questions[question];
        let unknown = |attempt: usize, standing: Option<usize>| match self.owners[owner].retries
            & (1 << attempt)
            != 0
        {
            true => Seen::Free,
            false => standing.map_or(Seen::Unknown(attempt), Seen::Settled),
        };
        match (asking, known) {
            (Some(attempt), _) if self.is_in_flight(attempt) => Seen::InFlight(attempt),
            (Some(attempt), Known::Settled(before)) => unknown(attempt, Some(before)),
            (Some(attempt), _) => unknown(attempt, standing),
            (None, Known::Unknown(attempt)) => unknown(attempt, standing),
            (None, Known::Settled(attempt)) => Seen::Settled(attempt),
            (None, Known::Nothing) => Seen::Free,
        }
    }

    fn is_in_flight(&self, attempt: usize) -> bool {
        matches!(self.attempts[attempt].state, State::Booked | State::Sending)
    }

    /// What the step makes of the world; `None` where it cannot be taken.
    pub(super) fn after(&self, step: Step, rules: &Rules) -> Option<Self> {
        let mut next = self.clone();
        let is_alive = |owner: usize| self.owners[owner].life == Life::Alive;
        match step {
            Step::Begin { owner, retry } => {
                let is_next = self.owners[..owner].iter().all(|o| o.life != Life::Unborn);
                let is_known = self.attempts.iter().any(|a| a.state == State::Unknown);
                // One owner is like another until it begins, and the wish is idle without unknowns.
                if self.owners[owner].life != Life::Unborn || !is_next || (retry && !is_known) {
                    return None;
                }
                let unknown = self.attempts.iter().enumerate();
                let unknown = unknown.filter(|(_, a)| retry && a.state == State::Unknown);
                next.owners[owner].retries = unknown.map(|(id, _)| 1 << id).sum();
                next.owners[owner].life = Life::Alive;
            }
            Step::Look { owner, question } => {
                let hand = &mut next.owners[owner].hands[question];
                let may = is_alive(owner) && *hand == Hand::Empty;
                // Who compares again may as well not have looked before.
                if rules.reserve_compares || !may || self.see(owner, question) != Seen::Free {
                    return None;
                }
                *hand = Hand::SawFree;
            }
            Step::Reserve { owner, question } => {
                // Nor does it matter which question is asked first.
                let is_next = question == 0 || !self.attempts.is_empty();
                let hand = self.owners[owner].hands[question];
                let may = is_next
                    && match rules.reserve_compares {
                        true => hand == Hand::Empty && self.see(owner, question) == Seen::Free,
                        false => hand == Hand::SawFree,
                    };
                if !is_alive(owner) || !may || self.used(rules) >= rules.most {
                    return None;
                }
                next.owners[owner].hands[question] = Hand::Booked(self.attempts.len());
                next.book(owner, question);
            }
            Step::Mark { owner, question } => {
                let Hand::Booked(attempt) = self.owners[owner].hands[question] else { return None };
                let is_booked = self.attempts[attempt].state == State::Booked;
                next.owners[owner].hands[question] = match is_booked || !rules.mark_compares {
                    true => {
                        next.attempts[attempt].state = State::Sending;
                        Hand::Marked(attempt)
                    }
                    false => Hand::Empty,
                };
            }
            Step::GiveBack { owner, question } => {
                let (Hand::Booked(attempt) | Hand::Marked(attempt)) =
                    self.owners[owner].hands[question]
                else {
                    return None;
                };
                next.end(attempt, State::NotSent);
                next.owners[owner].hands[question] = Hand::Empty;
            }
            Step::Send { owner, question, reply } => {
                let Hand::Marked(attempt) = self.owners[owner].hands[question] else { return None };
                next.owners[owner].hands[question] = Hand::Sent(attempt, reply);
                next.attempts[attempt].billed = matches!(reply, Reply::Verdict | Reply::Lost);
            }
            Step::Record { owner, question } => {
                let Hand::Sent(attempt, reply) = self.owners[owner].hands[question] else {
                    return None;
                };
                next.end(
                    attempt,
                    match reply {
                        Reply::Verdict => State::Settled,
                        Reply::Refusal => State::Refused,
                        Reply::Lost => State::Unknown,
                    },
                );
                next.owners[owner].hands[question] = Hand::Empty;
            }
            Step::Die { owner } => {
                if !is_alive(owner) {
                    return None;
                }
                next.owners[owner] =
                    Owner { life: Life::Dead, seems_gone: true, ..Owner::default() };
            }
            Step::SeemGone { owner } => {
                if !is_alive(owner) || self.owners[owner].seems_gone {
                    return None;
                }
                next.owners[owner].seems_gone = true;
            }
            Step::TakeAway { attempt } => {
                let Attempt { owner, state, .. } = *self.attempts.get(attempt)?;
                if !self.owners[owner].seems_gone || !self.is_in_flight(attempt) {
                    return None;
                }
                match state == State::Booked || !rules.take_away_compares {
                    true => next.end(attempt, State::NotSent),
                    false if rules.take_away_keeps_unknown => {
                        next.attempts[attempt].state = State::Unknown;
                    }
                    false => next.end(attempt, State::Refused),
                }
            }
        }
        Some(next)
    }

    pub(super) fn book(&mut self, owner: usize, question: usize) {
        let attempt = self.attempts.len();
        let q = &mut self.questions[question];
        if let Some(given_up) = q.asking {
            if let Known::Settled(before) = q.known {
                q.standing = Some(before);
            }
            q.known = Known::Unknown(given_up);
        }
        let by_consent = matches!(q.known, Known::Unknown(_));
        q.asking = Some(attempt);
        let state = State::Booked;
        self.attempts.push(Attempt { question, owner, state, by_consent, billed: false });
    }

    /// How an attempt ended, as its holder says, or whoever took a booked one away.
    pub(super) fn end(&mut self, attempt: usize, state: State) {
        self.attempts[attempt].state = state;
        let q = &mut self.questions[self.attempts[attempt].question];
        let asks = q.asking == Some(attempt);
        if !asks && q.known != Known::Unknown(attempt) {
            return;
        }
        match (state, q.known) {
            (State::Settled, _) => (q.known, q.standing) = (Known::Settled(attempt), None),
            (State::Unknown, Known::Settled(before)) => {
                (q.known, q.standing) = (Known::Unknown(attempt), Some(before));
            }
            (State::Unknown, _) => q.known = Known::Unknown(attempt),
            // What came to nothing leaves what was known before.
            _ if asks => {}
            _ => q.known = q.standing.take().map_or(Known::Nothing, Known::Settled),
        }
        if asks {
            q.asking = None;
        }
    }

    fn used(&self, rules: &Rules) -> usize {
        let holds_a_place = |a: &&Attempt| match a.state {
            State::Booked => rules.cap_counts_booked,
            State::Sending | State::Settled | State::Unknown => true,
            State::NotSent | State::Refused => false,
        };
        self.attempts.iter().filter(holds_a_place).count()
    }

    /// What must hold in every world.
    fn broken(&self, rules: &Rules) -> Option<&'static str> {
        for question in 0..QUESTIONS {
            let mut is_paid = false;
            for attempt in self.attempts.iter().filter(|a| a.question == question && a.billed) {
                if is_paid && !attempt.by_consent {
                    return Some("an image was billed twice without consent");
                }
                is_paid = true;
            }
        }
        if self.attempts.iter().filter(|a| a.billed).count() > rules.most {
            return Some("more was billed than the cap lets");
        }
        let is_held = |id: usize, a: &Attempt| {
            let hand = self.owners[a.owner].hands[a.question];
            matches!(hand, Hand::Booked(h) | Hand::Marked(h) | Hand::Sent(h, _) if h == id)
        };
        let mut attempts = self.attempts.iter().enumerate();
        attempts
            .any(|(id, a)| {
                self.is_in_flight(id) && !is_held(id, a) && !self.owners[a.owner].seems_gone
            })
            .then_some("an attempt is in flight for ever")
    }
}

/// All that could happen next in any world of so many attempts.
fn steps(attempts: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = (0..attempts).map(|attempt| Step::TakeAway { attempt }).collect();
    for owner in 0..OWNERS {
        steps.extend([true, false].map(|retry| Step::Begin { owner, retry }));
        steps.extend([Step::Die { owner }, Step::SeemGone { owner }]);
        for question in 0..QUESTIONS {
            steps.extend([
                Step::Look { owner, question },
                Step::Reserve { owner, question },
                Step::Mark { owner, question },
                Step::GiveBack { owner, question },
                Step::Record { owner, question },
            ]);
            let replies = [Reply::Verdict, Reply::Refusal, Reply::Lost];
            steps.extend(replies.map(|reply| Step::Send { owner, question, reply }));
        }
    }
    steps
}

/// Every world that can be reached with so many attempts, breadth first. How many there are, or the
/// shortest way to one in which something is broken.
fn explore(rules: &Rules, most_attempts: usize) -> Result<usize, String> {
    let begin = World::default();
    let steps = steps(most_attempts);
    // Worlds by their digest, which takes a tenth of the memory, with the way to each.
    let mut from = HashMap::from([(digest(&begin), None)]);
    let mut queue = VecDeque::from([begin]);
    while let Some(world) = queue.pop_front() {
        let here = digest(&world);
        for step in &steps {
            let Some(next) = world.after(*step, rules) else { continue };
            if next.attempts.len() > most_attempts {
                continue;
            }
            let Entry::Vacant(new) = from.entry(digest(&next)) else { continue };
            new.insert(Some((here, *step)));
            if let Some(broken) = next.broken(rules) {
                let mut trace = vec![format!("{broken}: {next:?}")];
                let mut at = digest(&next);
                while let Some((before, step)) = from[&at] {
                    trace.push(format!("{step:?}"));
                    at = before;
                }
                trace.reverse();
                return Err(trace.join("\n"));
            }
            queue.push_back(next);
        }
    }
    Ok(from.len())
}

/// The same for worlds that differ in nothing but which owner is which.
fn digest(world: &World) -> [u64; 2] {
    let mut order: [usize; OWNERS] = std::array::from_fn(|owner| owner);
    let holds = |owner: usize| -> u32 {
        let attempts = world.attempts.iter().enumerate().filter(|(_, a)| a.owner == owner);
        attempts.map(|(id, _)| 1 << id).sum()
    };
    order.sort_by_key(|owner| (holds(*owner), world.owners[*owner]));
    let mut same = world.clone();
    for (place, owner) in order.into_iter().enumerate() {
        same.owners[place] = world.owners[owner];
        for (attempt, before) in same.attempts.iter_mut().zip(&world.attempts) {
            if before.owner == owner {
                attempt.owner = place;
            }
        }
    }
    let mut digest = Digest([1, 2]);
    same.hash(&mut digest);
    digest.0
}

/// 128 bits in one pass: most of the exploration is spent here. Against chance, not against malice.
struct Digest([u64; 2]);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        let [one, other] = &mut self.0;
        *one = (*one ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        *other = (other.rotate_left(31) ^ value).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0[0]
    }
}

#[test]
fn no_interleaving_pays_twice_exceeds_the_cap_or_gets_stuck() {
    for most in [1, usize::MAX] {
        let worlds =
            explore(&Rules { most, ..RULES }, ATTEMPTS).unwrap_or_else(|trace| panic!("{trace}"));
        println!("cap {most}: {worlds} worlds");
        assert!(worlds > 1_000);
    }
}

/// Each compare-and-set is needed: without it the exploration finds what goes wrong.
#[test]
fn each_compare_and_set_is_needed() {
    for (without, rules, says) in [
        ("reserve", Rules { reserve_compares: false, ..RULES }, "billed twice"),
        ("mark", Rules { mark_compares: false, ..RULES }, "billed twice"),
        ("take away", Rules { take_away_compares: false, ..RULES }, "billed twice"),
        ("unknown", Rules { take_away_keeps_unknown: false, ..RULES }, "billed twice"),
        ("cap", Rules { cap_counts_booked: false, most: 1, ..RULES }, "than the cap"),
    ] {
        let trace = explore(&rules, ATTEMPTS).expect_err(without);
        println!("without {without}:\n{trace}\n");
        assert!(trace.contains(says), "{without}: {trace}");
    }
}

/// Two for one question and one for another, or a third after two.
const ATTEMPTS: usize = 3;
