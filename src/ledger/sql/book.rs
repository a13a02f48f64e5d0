//! How an attempt is booked: its question, its slot and its place under the cap, all or nothing.

use std::time::Duration;

use super::driver::{Connection, Fault, values};
use super::lookup::look_up_one;
use super::{Reading, SqlLedger, statements as sql};
use crate::ledger::identity::hex;
use crate::ledger::quota::micros;
use crate::ledger::{LedgerError, Lookup, Question, Reservation, ReserveResult, Terms};

impl SqlLedger {
    pub(super) async fn book(
        &self,
        question: &Question,
        terms: &Terms,
        horizon: Option<Duration>,
    ) -> Result<ReserveResult, Fault> {
        if let Some(horizon) = horizon
            && let Some(too_far) = self.peek_at_queue(self.ahead() + horizon, terms).await
        {
            return Ok(ReserveResult::QueueIsLong(too_far));
        }
        let identity = question.identity.to_string();
        let (mut transaction, owner) = self.backend.begin_reserving(&identity).await?;
        let mut ledger = transaction.connection();
        let query = question.query(&terms.reuse);
        match look_up_one(&mut ledger, query, self.backend.now()).await?.map(|found| found.lookup) {
            Some(Lookup::Known(record)) => return Ok(ReserveResult::Known(record)),
            Some(Lookup::InFlight(other)) => return Ok(ReserveResult::InFlight(other)),
            Some(Lookup::Free) | None => {}
        }
        if let Some(refused) = self.hold_against_cap(&mut ledger, terms).await? {
            return Ok(refused);
        }
        let (Reading { here, now, uncertainty }, last, mut pace) =
            self.backend.read_clock_and_pace(&mut ledger, &terms.account).await?;
        let (marking, ahead) = (self.marking.allow(&self.timing), self.ahead());
        // What the clock's reading leaves open must not bring two calls closer together.
        let slot = pace.book(now, ahead, terms.spacing.saturating_add(uncertainty));
        let wait = Duration::from_micros(u64::try_from(slot.saturating_sub(now)).unwrap_or(0));
        if let Some(horizon) = horizon {
            let too_far = wait.saturating_sub(ahead.saturating_add(horizon));
            if !too_far.is_zero() {
                self.queues.note(&terms.account, here + wait, true);
                return Ok(ReserveResult::QueueIsLong(too_far));
            }
        }
        // About the time of booking, and always a new one, whatever the clock does.
        let id = now.max(last.saturating_add(1));
        let content = hex(question.content.0);
        let sighting = question.sighting.map(|sighting| hex(sighting.0));
        let values = values![
            id,
            &identity,
            &terms.account,
            &terms.run,
            &owner,
            &question.source,
            question.ask.ratio.as_str(),
            &question.ask.model,
            slot,
            &question.ask.service,
            &content,
            question.image_id.as_deref(),
            pace.next,
            pace.booked,
            sighting.as_deref(),
        ];
        ledger.write(&sql::BOOK, values).await?;
        if let Err(fault) = transaction.commit().await
            && !self.is_ours(id, &owner, &fault).await?
        {
            return Err(fault);
        }
        self.booking.note(here.elapsed());
        // From here on the monotonic clock counts, whatever happens to the other.
        let slot = here + wait;
        let is_long = wait > ahead + self.backend.horizon().unwrap_or_default();
        self.queues.note(&terms.account, slot + terms.spacing, is_long);
        let attempt = Reservation { identity: question.identity, id };
        Ok(ReserveResult::Reserved {
            attempt,
            mark: slot.checked_sub(marking).unwrap_or(here),
            slot,
        })
    }

    /// How far ahead a slot must lie: two commits come before it, the reservation's and the mark's.
    fn ahead(&self) -> Duration {
        self.booking.allow(&self.timing).saturating_add(self.marking.allow(&self.timing))
    }

    /// Why the cap leaves no place for another call; `None` when it does.
    async fn hold_against_cap(
        &self,
        ledger: &mut Connection<'_>,
        terms: &Terms,
    ) -> Result<Option<ReserveResult>, Fault> {
        let Some(most) = terms.max_calls else { return Ok(None) };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        // A process that stands still may never say what came of its call.
        let answered = self.backend.now().saturating_sub(micros(terms.answer_within));
        let (taken, used): (i64, i64) =
            ledger.one(sql::READ_CAP, values![&terms.run, answered]).await?;
        Ok(match () {
            () if used >= most => Some(ReserveResult::CapReached),
            () if taken >= most => Some(ReserveResult::CapTaken),
            () => None,
        })
    }

    /// Whether a reservation whose commit failed is in the ledger all the same: the answer may have
    /// been lost behind the commit.
    async fn is_ours(&self, id: i64, owner: &str, fault: &Fault) -> Result<bool, Fault> {
        if !fault.may_pass {
            return Ok(false);
        }
        let found: Result<_, LedgerError> = patiently!(self, async {
            // Behind the lock that the lost transaction held: it has ended by then, either way.
            let (mut transaction, _) = self.backend.begin_reserving("").await?;
            transaction.connection().optional(sql::READ_OWNER, values![id]).await
        });
        Ok(found?.is_some_and(|(found,): (String,)| found == owner))
    }
}
