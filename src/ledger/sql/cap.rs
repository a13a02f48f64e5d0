//! The cap of a run, counted when a call is reserved.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::driver::{Connection, Fault, values};
use super::statements as sql;
use crate::ledger::quota::micros;
use crate::ledger::{ReserveResult, Terms};

/// What is known of runs without counting them.
#[derive(Default)]
pub(super) struct Counts(Mutex<HashMap<String, Counted>>);

/// How many places under its cap a run had taken when the last attempt was this one.
#[derive(Clone, Copy)]
struct Counted {
    taken: i64,
    last: i64,
}

impl Counts {
    /// Why the cap leaves no place for another call; `None` when it does.
    pub(super) async fn hold_against_cap(
        &self,
        ledger: &mut Connection<'_>,
        terms: &Terms,
        now: i64,
    ) -> Result<Option<ReserveResult>, Fault> {
        let Some(most) = terms.max_calls else { return Ok(None) };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        // To count a run takes the longer the longer it is. While its cap is far off it is enough
        // that no more can have been taken since than were booked.
        let counted = self.lock().get(&terms.run).copied();
        if let Some(Counted { taken, last: by_then }) = counted {
            let (since,): (i64,) = ledger.one(sql::COUNT_SINCE, values![by_then]).await?;
            if since < COUNT_AGAIN && taken.saturating_add(since) < most {
                return Ok(None);
            }
        }
        let (last,): (i64,) = ledger.one(sql::READ_LAST_ATTEMPT, values![]).await?;
        // A process that stands still may never say what came of its call.
        let answered = now.saturating_sub(micros(terms.answer_within));
        let (taken, used): (i64, i64) =
            ledger.one(sql::READ_CAP, values![&terms.run, answered]).await?;
        self.lock().insert(terms.run.clone(), Counted { taken, last });
        Ok(match () {
            () if used >= most => Some(ReserveResult::CapReached),
            () if taken >= most => Some(ReserveResult::CapTaken),
            () => None,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Attempts since a run was last counted, before it is counted again.
const COUNT_AGAIN: i64 = 10_000;
