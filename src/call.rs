//! One question from the intent to the booked answer: the only code that lets a paid call go.
//!
//! Before a byte leaves, the books hold a committed intent; after it has left, whatever comes is
//! written down before anyone is told. All of this runs in a task of the gate's own.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::bbox::{AspectRatio, check_boxes};
use crate::detect::{End, Judgement, Outcome, PaidClient, Repeats, RetryState, Sent, decide};
use crate::error::LedgerError;
use crate::flights::Ticket;
use crate::header::Header;
use crate::ledger::{
    Booked, Disposition, Elsewhere, Ending, Intent, Ledger, Look, MOST_LATE, Question, Settlement,
    Terms,
};
use crate::reason::{Reason, ReasonCode};
use crate::report::Verdict;
use crate::run::Stop;
use crate::tally::{Activity, Spent, Tally};

/// What every call of one gate shares.
pub(crate) struct Caller {
    pub(crate) paid: PaidClient,
    pub(crate) ledger: Ledger,
    pub(crate) terms: Terms,
    pub(crate) closing: CancellationToken,
    call_timeout: Duration,
    /// How many calls may be booked and not yet sent: what is booked when a process dies is
    /// unknown for good.
    turnstile: Semaphore,
    /// How many answers are waiting to be written down; no new call leaves while there are any.
    unwritten: watch::Sender<usize>,
    /// Endings that could not be written in their time.
    owed: Mutex<Vec<(Booked, Ending)>>,
    tally: Tally,
}

/// One question, ready to be asked.
pub(crate) struct Asked {
    pub(crate) question: Question,
    /// The URL as it is sent.
    pub(crate) image_url: String,
    pub(crate) header: Option<Header>,
    /// The place of the source that asked first, for the log.
    pub(crate) index: Option<u64>,
}

/// Nothing more is to leave: the run or the gate has ended.
struct Ended;

/// The run or the gate ended before there was an answer; what came of the question until then.
pub(crate) struct CutShort(pub(crate) Settlement);

/// What came of the wish to ask.
enum Turn<'a> {
    /// It is booked and this caller's alone to send at `slot`. The turnstile stays closed until
    /// then.
    Ours { attempt: Booked, mark: Instant, slot: Instant, turnstile: SemaphorePermit<'a> },
    /// There is nothing to ask any more.
    Told(Settlement),
}

impl Caller {
    pub(crate) fn new(
        paid: PaidClient,
        ledger: Ledger,
        terms: Terms,
        call_timeout: Duration,
    ) -> Self {
        // One at a time up to 10 calls a second, which leaves each 50 ms for each of its commits.
        let ahead = 1 + usize::try_from(100 / terms.spacing.as_millis().max(1)).unwrap_or(0);
        Self {
            paid,
            ledger,
            terms,
            closing: CancellationToken::new(),
            call_timeout,
            turnstile: Semaphore::new(ahead),
            unwritten: watch::Sender::new(0),
            owed: Mutex::default(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn spent(&self) -> Spent {
        self.tally.spent()
    }

    pub(crate) fn activity(&self) -> Activity {
        self.tally.activity()
    }

    /// Asks until there is an answer, or none can be had.
    pub(crate) async fn ask(
        &self,
        ticket: &Ticket,
        asked: &Asked,
        stop: &Stop,
    ) -> Result<Settlement, CutShort> {
        let mut last = Settlement::not_sent();
        let mut repeats = Repeats::default();
        loop {
            let waiting = self.tally.waits();
            let (attempt, mark, slot, turnstile) = match self.turn(ticket, asked, stop).await {
                Ok(Turn::Ours { attempt, mark, slot, turnstile }) => {
                    (attempt, mark, slot, turnstile)
                }
                Ok(Turn::Told(settlement)) => return Ok(settlement),
                Err(Ended) => return Err(CutShort(last)),
            };
            let mut may_leave = self.may_leave_at(mark, ticket, stop).await;
            let mut unmarked = None;
            if may_leave {
                match self.ledger.mark_sending(&attempt).await {
                    Ok(true) => may_leave = self.may_leave_at(slot, ticket, stop).await,
                    // Somebody took us for gone, and has written down that nothing was sent.
                    Ok(false) => continue,
                    Err(error) => (may_leave, unmarked) = (false, Some(error)),
                }
            }
            // A process that slept must not send on a promise of long ago.
            if !may_leave || slot.elapsed() > MOST_LATE {
                tracing::debug!(index = asked.index, attempt = attempt.id, "call_not_sent");
                if let Err(unbooked) = self.end(&attempt, asked, Ending::not_sent(), stop).await {
                    return Ok(unbooked);
                }
                match unmarked {
                    Some(error) => return Ok(no_books(error, stop)),
                    None => continue,
                }
            }
            drop((turnstile, waiting));
            tracing::info!(index = asked.index, attempt = attempt.id, "call_sent");
            // A request may be billed from here on, and is booked as being sent.
            self.tally.leaves(slot, self.terms.spacing);
            let sent = self.paid.send(&asked.image_url, asked.question.ratio).await;
            self.tally.returns();
            let (ending, pause) = self.conclude(sent, &mut repeats, asked, stop);
            tracing::info!(
                index = asked.index,
                attempt = attempt.id,
                request_id = ending.settlement.request_id,
                status = ending.status,
                verdict = ending.verdict,
                images = ending.settlement.billing.images,
                certainty = ?ending.settlement.billing.certainty,
                "call_ended"
            );
            last = ending.settlement.clone();
            if let Err(unbooked) = self.end(&attempt, asked, ending, stop).await {
                return Ok(unbooked);
            }
            let Some(pause) = pause else { return Ok(last) };
            tracing::info!(
                index = asked.index,
                attempt = attempt.id,
                request_id = last.request_id,
                ?pause,
                "call_repeats"
            );
            if self.unless_ended(stop, tokio::time::sleep(pause)).await.is_err() {
                return Err(CutShort(last));
            }
        }
    }

    /// Waits for a moment, and says whether the call may still leave then: nobody sends while an
    /// answer cannot be written, and nothing is paid for that nobody waits for any more.
    async fn may_leave_at(&self, moment: Instant, ticket: &Ticket, stop: &Stop) -> bool {
        let reached = self.unless_ended(stop, tokio::time::sleep_until(moment)).await;
        let unwritten = *self.unwritten.borrow() > 0 || !self.owed().is_empty();
        reached.is_ok() && !unwritten && ticket.is_awaited()
    }

    /// Waits for this question's turn and books it.
    async fn turn(&self, ticket: &Ticket, asked: &Asked, stop: &Stop) -> Result<Turn<'_>, Ended> {
        loop {
            let turnstile = self.unless_ended(stop, self.turnstile.acquire()).await?;
            let Ok(turnstile) = turnstile else { return Err(Ended) };
            let mut unwritten = self.unwritten.subscribe();
            let written = unwritten.wait_for(|answers| *answers == 0);
            self.unless_ended(stop, written).await?.map_err(|_| Ended)?;
            if !ticket.is_awaited() {
                return Err(Ended);
            }
            if let Err(error) = self.write_what_is_owed().await {
                return Ok(Turn::Told(no_books(error, stop)));
            }
            // Never dropped half-way: an intent that was committed must be ended.
            match self.ledger.intend(&asked.question, &self.terms).await {
                Ok(Intent::Send { attempt, mark, slot }) => {
                    return Ok(Turn::Ours { attempt, mark, slot, turnstile });
                }
                Ok(Intent::Known(settlement)) => return Ok(Turn::Told(settlement)),
                // Whoever asks looks again, and takes the last bytes.
                Ok(Intent::NeedsEnd) => return Ok(Turn::Told(Settlement::not_sent())),
                Ok(Intent::Sending(elsewhere)) => {
                    drop(turnstile);
                    if let Some(told) = self.wait_for(&elsewhere, asked, stop).await? {
                        return Ok(Turn::Told(told));
                    }
                }
                Ok(Intent::CapTaken) => {
                    // One looks for all: the others stay at the turnstile. A place that is held by
                    // a process that is gone would otherwise be waited for without end.
                    if let Err(error) = self.ledger.abandon_the_dead().await {
                        return Ok(Turn::Told(no_books(error, stop)));
                    }
                    self.unless_ended(stop, tokio::time::sleep(LOOK_AGAIN)).await?;
                }
                Ok(Intent::CapReached) => {
                    stop.because(Reason::new(
                        ReasonCode::CapReached,
                        format!(
                            "at most {} calls of the run {:?} may be billed, and so many were",
                            self.terms.max_calls.unwrap_or(0),
                            self.terms.run
                        ),
                    ));
                    return Err(Ended);
                }
                Err(error) => return Ok(Turn::Told(no_books(error, stop))),
            }
        }
    }

    /// Waits for another gate's or process's answer to the same question; `None` when it is free to ask.
    async fn wait_for(
        &self,
        elsewhere: &Elsewhere,
        asked: &Asked,
        stop: &Stop,
    ) -> Result<Option<Settlement>, Ended> {
        let begun = Instant::now();
        let patience = elsewhere.leaves_in.saturating_add(self.call_timeout + PATIENCE);
        loop {
            let held = match self.ledger.is_held(elsewhere).await {
                Ok(held) => held,
                Err(error) => return Ok(Some(no_books(error, stop))),
            };
            match self.ledger.look(&asked.question, &self.terms.reuse).await {
                Ok(Look::Known(settlement)) => return Ok(Some(settlement)),
                Ok(Look::Free | Look::NeedsEnd) => return Ok(None),
                Ok(Look::Sending(now)) if now.attempt != elsewhere.attempt => return Ok(None),
                Ok(Look::Sending(_)) if !held || begun.elapsed() >= patience => {
                    return Ok(Some(Settlement::lost()));
                }
                Ok(Look::Sending(_)) => {}
                Err(error) => return Ok(Some(no_books(error, stop))),
            }
            self.unless_ended(stop, tokio::time::sleep(LOOK_AGAIN)).await?;
        }
    }

    /// What an attempt's outcome is to the books, and how long to wait before the next, if there
    /// is to be one.
    fn conclude(
        &self,
        sent: Sent,
        repeats: &mut Repeats,
        asked: &Asked,
        stop: &Stop,
    ) -> (Ending, Option<Duration>) {
        let attempt = RetryState { repeats: *repeats, seed: fastrand::u64(..) };
        let decision = decide(&sent.outcome, attempt, SystemTime::now());
        let was_sent = !matches!(sent.outcome, Outcome::NotSent { .. });
        let (status, request_id) = match sent.outcome {
            Outcome::Answered { status, answer, .. } => (Some(status), answer.request_id),
            Outcome::Lost { status, .. } => (status, None),
            Outcome::NotSent { .. } => (None, None),
        };
        let (disposition, pause, push_back) = match decision.end {
            End::Settled(judgement) => (Disposition::Settled(judgement), None, None),
            End::Unknown(reason) => (Disposition::Unknown(reason), None, None),
            End::Refused(reason) => (Disposition::Refused(reason), None, None),
            End::Repeat { after, throttled, repeats: so_far, reason } => {
                *repeats = so_far;
                (Disposition::Refused(reason), Some(after), throttled.then_some(after))
            }
        };
        let settlement = Settlement {
            disposition,
            billing: decision.billing,
            request_id,
            ..Settlement::not_sent()
        };
        if was_sent {
            self.tally.count(settlement.billing, push_back.is_some());
        }
        if let (true, Some(reason)) = (decision.stops_run, settlement.reason()) {
            stop.because(reason.clone());
        }
        let verdict = match &settlement.disposition {
            _ if !was_sent => "not_sent",
            Disposition::Unknown(_) => "unknown",
            Disposition::Settled(judgement) => {
                verdict_of(judgement, asked.question.ratio, asked.header.as_ref()).0.as_str()
            }
            _ => "refused",
        };
        (Ending { settlement, was_sent, status, verdict, raw: sent.raw, push_back }, pause)
    }

    /// Writes down how an attempt ended, however often that takes within half a minute. What
    /// cannot be written by then goes to stderr, with the answer as it came; the error is what to
    /// tell of the question.
    async fn end(
        &self,
        attempt: &Booked,
        asked: &Asked,
        ending: Ending,
        stop: &Stop,
    ) -> Result<(), Settlement> {
        let until = Instant::now() + WRITE_WITHIN;
        // Ending twice is ending once, so a write that takes too long may be given up.
        let write = || timeout_at(until, self.ledger.end(attempt, &ending, &self.terms));
        let Err(mut error) = write().await.unwrap_or_else(|_| Err(too_slow())) else {
            return Ok(());
        };
        self.unwritten.send_modify(|answers| *answers += 1);
        while Instant::now() < until {
            tracing::warn!(
                index = asked.index,
                attempt = attempt.id,
                request_id = ending.settlement.request_id,
                %error,
                "answer_unwritten"
            );
            tokio::time::sleep(WRITE_AGAIN).await;
            match write().await {
                Ok(Ok(())) => {
                    self.unwritten.send_modify(|answers| *answers -= 1);
                    return Ok(());
                }
                Ok(Err(next)) => error = next,
                Err(_) => {}
            }
        }
        let left = match ending.was_sent {
            true => "the answer is on stderr and not in the books",
            false => "nothing was sent",
        };
        let reason = Reason::new(ReasonCode::LedgerError, format!("{error}; {left}"));
        stop.because(reason.clone());
        let last_words = last_words(attempt, asked, &ending, &error);
        let settlement = ending.settlement.clone();
        // Before the others may go on: who goes on writes it first.
        self.owed().push((*attempt, ending));
        self.unwritten.send_modify(|answers| *answers -= 1);
        // Not with `eprintln!`, which panics where nobody listens.
        let _ = writeln!(std::io::stderr(), "{last_words}");
        Err(Settlement { disposition: Disposition::Unbooked(reason), ..settlement })
    }

    /// Writes down what could not be written in its time: until then its question, and its place
    /// under the cap, are held by this process, which lives. May be dropped half-way: ending twice is
    /// ending once.
    pub(crate) async fn write_what_is_owed(&self) -> Result<(), LedgerError> {
        loop {
            let Some((attempt, ending)) = self.owed().first().cloned() else { return Ok(()) };
            self.ledger.end(&attempt, &ending, &self.terms).await?;
            self.owed().retain(|(written, _)| written.id != attempt.id);
        }
    }

    fn owed(&self) -> MutexGuard<'_, Vec<(Booked, Ending)>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `wait`, unless the run or the gate ends first.
    async fn unless_ended<T>(
        &self,
        stop: &Stop,
        wait: impl Future<Output = T>,
    ) -> Result<T, Ended> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(Ended),
            () = stop.over() => Err(Ended),
            done = wait => Ok(done),
        }
    }
}

/// The verdict a judgement comes to for this picture and ratio, and what does not hold.
pub(crate) fn verdict_of(
    judgement: &Judgement,
    ratio: AspectRatio,
    header: Option<&Header>,
) -> (Verdict, Vec<Reason>) {
    match *judgement {
        Judgement::Passed { face, ext } => {
            let problems = check_boxes(&face, &ext, ratio, header);
            let verdict = if problems.is_empty() {
                Verdict::Accepted { face, ext }
            } else {
                Verdict::BoxMismatch { face, ext }
            };
            (verdict, problems.iter().map(Reason::from).collect())
        }
        Judgement::Rejected(ref reason) => (Verdict::RejectedRemote, vec![reason.clone()]),
        Judgement::Unusable(ref reason) => (Verdict::Failed, vec![reason.clone()]),
    }
}

fn no_books(error: LedgerError, stop: &Stop) -> Settlement {
    stop.because(Reason::new(ReasonCode::LedgerError, error.to_string()));
    Settlement { disposition: Disposition::NoBooks(error), ..Settlement::not_sent() }
}

fn too_slow() -> LedgerError {
    let why = format!("it took more than {WRITE_WITHIN:?}");
    LedgerError::Failed { action: "written", why }
}

/// One JSON line with all that is known of an answer that no book holds.
fn last_words(attempt: &Booked, asked: &Asked, ending: &Ending, error: &LedgerError) -> String {
    let raw = ending.raw.as_deref().map(String::from_utf8_lossy);
    serde_json::json!({
        "ledger_error": error.to_string(),
        "attempt": attempt.id,
        "source": asked.question.source,
        "http_status": ending.status,
        "request_id": ending.settlement.request_id,
        "billing": ending.settlement.billing,
        "answer": raw,
    })
    .to_string()
}

/// How often another process's answer, or a place under the cap, is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(150);

/// Beyond the call's own time-out, which counts from its slot, for its booking.
const PATIENCE: Duration = Duration::from_secs(10);

const WRITE_WITHIN: Duration = Duration::from_secs(30);
const WRITE_AGAIN: Duration = Duration::from_millis(500);
