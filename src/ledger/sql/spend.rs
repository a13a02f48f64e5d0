//! What the calls have cost, as the vendor's bill counts it: by Beijing days.

use super::driver::{Readable, Value, values};
use super::{SqlLedger, statements as sql};
use crate::ledger::LedgerError;

/// What the calls of some days have cost, per day and in total.
///
/// For an example see [`Ledger`](crate::Ledger).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spend {
    /// The days with any call, oldest first.
    pub days: Vec<DaySpend>,
}

/// What came of the calls of one Beijing day (UTC+8), or of all.
///
/// For an example see [`Ledger`](crate::Ledger).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DaySpend {
    /// Days since 1970-01-01.
    pub day: i64,
    /// Calls whose image was accepted.
    pub accepted: u64,
    /// Calls whose image the service refused, and that were billed.
    pub rejected_billed: u64,
    /// Calls whose image passed but whose boxes did not hold.
    pub box_mismatch: u64,
    /// Calls without a usable verdict that were billed.
    pub failed_billed: u64,
    /// Calls that were answered without a bill.
    pub refused: u64,
    /// Calls of which nobody knows whether they were billed, those under way included; an accepted
    /// image whose answer carried no bill is among them too.
    pub unknown: u64,
    /// Images surely billed.
    pub images_certain: u64,
    /// Images billed at the most: the certain and the unknown. The vendor's count lies between.
    pub images_at_most: u64,
}

/// A call of which nobody knows whether it was billed.
///
/// For an example see [`Ledger`](crate::Ledger).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownCall {
    /// When it was to leave, in microseconds since 1970 (UTC).
    pub time_us: i64,
    /// The service's id, where an answer had one.
    pub request_id: Option<String>,
    /// The source, without userinfo and query values.
    pub source: String,
    /// The call may still be under way.
    pub under_way: bool,
}

impl Spend {
    /// The sums over all days; its `day` is 0.
    #[must_use]
    pub fn total(&self) -> DaySpend {
        self.days.iter().fold(DaySpend::default(), |sum, day| DaySpend {
            day: 0,
            accepted: sum.accepted + day.accepted,
            rejected_billed: sum.rejected_billed + day.rejected_billed,
            box_mismatch: sum.box_mismatch + day.box_mismatch,
            failed_billed: sum.failed_billed + day.failed_billed,
            refused: sum.refused + day.refused,
            unknown: sum.unknown + day.unknown,
            images_certain: sum.images_certain + day.images_certain,
            images_at_most: sum.images_at_most + day.images_at_most,
        })
    }
}

impl SqlLedger {
    pub(in crate::ledger) async fn spend(
        &self,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Result<Spend, LedgerError> {
        type Row = (i64, String, Option<String>, i64, i64, i64);
        let (since, until) =
            (since.map(begin_of), until.map(|day| begin_of(day.saturating_add(1))));
        let times = values![since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX)];
        let rows: Vec<Row> = self.all(sql::READ_SPEND, times).await?;
        let mut spend = Spend::default();
        for (day, verdict, certainty, calls, images, billed) in rows {
            if spend.days.last().is_none_or(|last| last.day != day) {
                spend.days.push(DaySpend { day, ..DaySpend::default() });
            }
            if let Some(sum) = spend.days.last_mut() {
                let count = |number: i64| u64::try_from(number).unwrap_or(0);
                sum.add(&verdict, certainty.as_deref(), count(calls), count(images), count(billed));
            }
        }
        Ok(spend)
    }

    pub(in crate::ledger) async fn unknown_calls(&self) -> Result<Vec<UnknownCall>, LedgerError> {
        type Row = (i64, Option<String>, String, String);
        let rows: Vec<Row> = self.all(sql::READ_UNKNOWN, values![]).await?;
        Ok(rows
            .into_iter()
            .map(|(time_us, request_id, source, state)| UnknownCall {
                time_us,
                request_id,
                source,
                under_way: state == "sending",
            })
            .collect())
    }

    pub(super) async fn all<T: Readable>(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, LedgerError> {
        patiently!(self, async {
            self.backend.read().await?.connection().all(statement, values).await
        })
    }
}

impl DaySpend {
    /// Adds a group of calls alike in verdict and certainty; `billed` of them carried a bill.
    fn add(
        &mut self,
        verdict: &str,
        certainty: Option<&str>,
        calls: u64,
        images: u64,
        billed: u64,
    ) {
        self.images_certain += images;
        self.images_at_most += images;
        let is_unknown = matches!(certainty, Some("unknown") | None);
        if is_unknown {
            self.unknown += calls;
            self.images_at_most += calls;
        }
        match verdict {
            "accepted" => self.accepted += calls,
            "box_mismatch" => self.box_mismatch += calls,
            // Without a bill that is known, these are among the unknown.
            _ if is_unknown => {}
            "rejected_remote" => {
                self.rejected_billed = self.rejected_billed.saturating_add(billed);
                self.refused = self.refused.saturating_add(calls.saturating_sub(billed));
            }
            _ => {
                self.failed_billed = self.failed_billed.saturating_add(billed);
                self.refused = self.refused.saturating_add(calls.saturating_sub(billed));
            }
        }
    }
}

/// The day in Beijing, counted from 1970-01-01, of a moment in microseconds since then.
#[cfg(feature = "cli")]
pub(crate) fn beijing_day(time_us: i64) -> i64 {
    time_us.saturating_add(BEIJING_US).div_euclid(DAY_US)
}

/// When a day in Beijing begins, in microseconds since 1970.
fn begin_of(day: i64) -> i64 {
    day.saturating_mul(DAY_US).saturating_sub(BEIJING_US)
}

const DAY_US: i64 = 86_400_000_000;

/// Beijing is eight hours ahead of UTC all year.
const BEIJING_US: i64 = 28_800_000_000;
