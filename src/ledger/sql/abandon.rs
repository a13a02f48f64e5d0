//! What processes left behind that ended without a word, or stand still.

use super::driver::{Fault, values};
use super::rows::State;
use super::{InFlight, SqlLedger, statements as sql};
use crate::ledger::quota::{MOST_LATE, micros};
use crate::ledger::{LedgerError, OtherAttempt};

impl SqlLedger {
    /// See [`Ledger::is_held`](crate::ledger::Ledger::is_held).
    pub(in crate::ledger) async fn is_held(
        &self,
        other: &OtherAttempt,
    ) -> Result<bool, LedgerError> {
        patiently!(self, async {
            let is_gone = self.backend.is_gone(&other.owner).await?;
            if is_gone {
                self.take_away(other.attempt).await?;
            } else {
                let over = self.over().await?;
                let found = self.read_state(other.attempt).await?;
                if found.is_some_and(|(state, slot)| state == State::Booked && slot < over) {
                    self.take_away_booked(other.attempt).await?;
                }
            }
            Ok(!is_gone)
        })
    }

    /// See [`Ledger::abandon_the_dead`](crate::ledger::Ledger::abandon_the_dead).
    pub(in crate::ledger) async fn abandon_the_dead(&self) -> Result<(), LedgerError> {
        patiently!(self, async {
            let over = self.over().await?;
            let in_flight: Vec<InFlight> =
                self.backend.read().await?.connection().all(sql::READ_IN_FLIGHT, values![]).await?;
            let is_over = |state: &str, slot| State::named(state) == State::Booked && slot < over;
            let asked = in_flight.iter().filter(|(_, _, state, slot)| !is_over(state, *slot));
            let asked = asked.map(|(_, owner, ..)| owner.clone()).collect();
            let gone = self.backend.gone(asked).await?;
            for (attempt, owner, state, slot) in &in_flight {
                if is_over(state, *slot) {
                    self.take_away_booked(*attempt).await?;
                } else if gone.contains(owner) {
                    self.take_away(*attempt).await?;
                }
            }
            self.backend.clear_owners()
        })
    }

    /// What is booked for a time before this is over: by the same clock its holder cannot mark it any
    /// more (`MARK_SENDING`), and so does not send it. A holder that lives stands still, and must hold
    /// up no other.
    async fn over(&self) -> Result<i64, Fault> {
        Ok(self.backend.read_clock().await?.saturating_sub(micros(MOST_LATE)))
    }

    /// Takes an attempt away from an owner that is gone: a booked one was not sent, and its question
    /// is as it was before; one that was being sent has an unknown bill.
    async fn take_away(&self, attempt: i64) -> Result<(), Fault> {
        if !self.take_away_booked(attempt).await? {
            let values = values![attempt, self.backend.now()];
            self.backend.write(&sql::ABANDON_SENDING, values).await?;
        }
        Ok(())
    }

    /// Takes an attempt away that is booked: whether it was.
    async fn take_away_booked(&self, attempt: i64) -> Result<bool, Fault> {
        let mut transaction = self.backend.begin().await?;
        let mut ledger = transaction.connection();
        let values = values![attempt, self.backend.now()];
        if ledger.execute(sql::ABANDON_BOOKED, values).await? == 0 {
            return Ok(false);
        }
        ledger.execute(sql::RELEASE_QUESTION, values![attempt]).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
