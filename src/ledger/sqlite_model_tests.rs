//! The books as a state machine, held step by step against a model that says the same in the
//! simplest terms: owners that crash, lose their locks and end late included.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// An owner wishes to send a question; perhaps it may ask old unknowns again.
    Intend { owner: usize, question: usize, retry: bool },
    /// An owner ends the attempt it holds for a question.
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
        6 => (owner.clone(), question.clone(), any::<bool>())
            .prop_map(|(owner, question, retry)| Step::Intend { owner, question, retry }),
        5 => (owner.clone(), question.clone(), how())
            .prop_map(|(owner, question, how)| Step::End { owner, question, how }),
        1 => owner.clone().prop_map(|owner| Step::Crash { owner }),
        1 => owner.clone().prop_map(|owner| Step::LoseLock { owner }),
        2 => (owner, question).prop_map(|(owner, question)| Step::Watch { owner, question }),
    ]
}

/// What a question is, in the simplest terms that say it: what it came to last, who asks, and who
/// was given up asking, with the time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Model {
    known: Known,
    asking: Option<i64>,
    given_up: Option<(i64, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Nothing,
    Settled,
    Unknown { attempt: i64, since: i64 },
}

impl Model {
    fn give_up(&mut self, attempt: i64) {
        self.asking = None;
        self.given_up = Some((attempt, NOW.get()));
    }

    /// What the question is to whoever wants to ask it.
    fn seen(&self) -> Known {
        self.given_up.map_or(self.known, |(attempt, since)| Known::Unknown { attempt, since })
    }
}

struct Owned {
    books: Sqlite,
    has_lock: bool,
    began: Moment,
    /// Attempts not ended yet, by question.
    open: HashMap<usize, Booked>,
}

async fn start(path: &Path) -> Owned {
    let books = Sqlite::open(path, test_clock).await.unwrap();
    let began = books.moment().await.unwrap();
    Owned { books, has_lock: true, began, open: HashMap::new() }
}

/// Runs the steps against the books and the model side by side.
async fn compare(steps: &[Step]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut owners = Vec::new();
    for _ in 0..OWNERS {
        owners.push(start(&path).await);
    }
    let mut model = vec![Model { known: Known::Nothing, asking: None, given_up: None }; QUESTIONS];
    // Which owner, in which life, holds an attempt.
    let mut holders: HashMap<i64, usize> = HashMap::new();
    for step in steps {
        advance(1_000_000);
        match *step {
            Step::Intend { owner, question: q, retry } => {
                let mut terms = terms();
                terms.reuse.retry_unknown = retry.then_some(owners[owner].began);
                let may = model[q].asking.is_none()
                    && match model[q].seen() {
                        Known::Nothing => true,
                        Known::Settled => false,
                        Known::Unknown { attempt, since } => {
                            let began = owners[owner].began;
                            retry && since <= began.time && attempt <= began.attempt
                        }
                    };
                match owners[owner].books.intend(&question(q), &terms).await.unwrap() {
                    Intent::Send { attempt, .. } => {
                        assert!(may, "{step:?}: sent although {:?}", model[q]);
                        model[q].known = model[q].seen();
                        model[q].given_up = None;
                        model[q].asking = Some(attempt.id);
                        owners[owner].open.insert(q, attempt);
                        holders.insert(attempt.id, owner);
                    }
                    Intent::Known(settlement) => {
                        assert!(!may && model[q].asking.is_none(), "{step:?}");
                        let is_settled = matches!(settlement.disposition, Disposition::Settled(_));
                        assert_eq!(is_settled, model[q].seen() == Known::Settled, "{step:?}");
                        assert_ne!(model[q].seen(), Known::Nothing);
                    }
                    Intent::Sending(elsewhere) => {
                        assert_eq!(model[q].asking, Some(elsewhere.attempt.id), "{step:?}");
                    }
                    Intent::CapTaken | Intent::CapReached => panic!("no cap was set"),
                }
            }
            Step::End { owner, question: q, how } => {
                let Some(attempt) = owners[owner].open.remove(&q) else { continue };
                owners[owner].books.end(&attempt, &ending(how), &terms()).await.unwrap();
                holders.remove(&attempt.id);
                // Only a question that is still this attempt's takes its end.
                let asks = model[q].asking == Some(attempt.id)
                    || model[q].given_up.is_some_and(|(id, _)| id == attempt.id);
                let asked_over = matches!(model[q].known, Known::Unknown { attempt: id, .. } if id == attempt.id);
                if !asks && !asked_over {
                    continue;
                }
                match how {
                    How::Settled => model[q].known = Known::Settled,
                    How::Unknown => {
                        model[q].known = Known::Unknown { attempt: attempt.id, since: NOW.get() };
                    }
                    // What came to nothing leaves what was known before.
                    How::Refused | How::NotSent if asks => {}
                    How::Refused | How::NotSent => model[q].known = Known::Nothing,
                }
                if asks {
                    (model[q].asking, model[q].given_up) = (None, None);
                }
            }
            Step::Crash { owner } => {
                let path = path.clone();
                let old = std::mem::replace(&mut owners[owner], start(&path).await);
                // The old one's lock went after the new one had started: what it held is found
                // by the next who starts or watches.
                drop(old);
                owners[owner].books.abandon_the_dead().await.unwrap();
                owners[owner].began = owners[owner].books.moment().await.unwrap();
                abandon(&mut model, &mut holders, |holder| holder == owner);
                // Those without a lock are found at the same time.
                let lockless: Vec<usize> = (0..OWNERS).filter(|o| !owners[*o].has_lock).collect();
                abandon(&mut model, &mut holders, |holder| lockless.contains(&holder));
            }
            Step::LoseLock { owner } => {
                let name = owners[owner].books.owner_name().to_owned();
                let _ = std::fs::remove_file(file::owners_of(&path).unwrap().join(name));
                owners[owner].has_lock = false;
            }
            Step::Watch { owner, question: q } => {
                let Some(id) = model[q].asking else { continue };
                let holder = holders[&id];
                let elsewhere = Elsewhere {
                    attempt: Booked { identity: question(q).identity, id },
                    owner: owners[holder].books.owner_name().to_owned(),
                    leaves_in: Duration::ZERO,
                };
                let held = owners[owner].books.is_held(&elsewhere).await.unwrap();
                assert_eq!(held, owners[holder].has_lock, "{step:?}");
                if !held {
                    model[q].give_up(id);
                }
            }
        }
    }
}

/// A wrong guess about a holder that lives makes its questions unknown, and its late end still
/// counts: the attempt stays in its own hands.
fn abandon(
    model: &mut [Model],
    holders: &mut HashMap<i64, usize>,
    is_gone: impl Fn(usize) -> bool,
) {
    for state in model.iter_mut() {
        if let Some(id) = state.asking
            && holders.get(&id).is_some_and(|holder| is_gone(*holder))
        {
            state.give_up(id);
        }
    }
    holders.retain(|_, holder| !is_gone(*holder));
}

/// Intends one new question after another under a cap, by turns of two processes as the steps have
/// it, and ends the oldest attempt under way where a step says how.
async fn count_along(most: i64, steps: &[(usize, Option<How>)]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let books = [start(&path).await.books, start(&path).await.books];
    let capped = Terms { max_calls: u64::try_from(most).ok(), ..terms() };
    let other = Terms { run: "other".to_owned(), max_calls: Some(1_000), ..terms() };
    let mut under_way = VecDeque::new();
    let mut used = 0;
    for (number, (process, how)) in steps.iter().enumerate() {
        // Another run's calls are none of this one's.
        let elsewhere = books[1 - process].intend(&question(1_000 + number), &other).await;
        assert!(matches!(elsewhere, Ok(Intent::Send { .. })));
        let sending = i64::try_from(under_way.len()).unwrap();
        match books[*process].intend(&question(number), &capped).await.unwrap() {
            Intent::Send { attempt, .. } => {
                assert!(used + sending < most, "{used} used and {sending} under way of {most}");
                under_way.push_back((*process, attempt));
            }
            Intent::CapReached => assert!(used >= most, "{used} of {most}"),
            Intent::CapTaken => assert!(used < most && used + sending >= most),
            _ => panic!("a new question"),
        }
        let Some(how) = how else { continue };
        let Some((holder, attempt)) = under_way.pop_front() else { continue };
        books[holder].end(&attempt, &ending(*how), &capped).await.unwrap();
        used += i64::from(matches!(how, How::Settled | How::Unknown));
    }
}

const OWNERS: usize = 3;
const QUESTIONS: usize = 3;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_books_follow_the_model(steps in prop::collection::vec(step(), 1..40)) {
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
