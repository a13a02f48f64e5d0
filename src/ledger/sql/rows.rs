//! What the rows of a ledger on disk say, and how an outcome is put into them: the same for every
//! database.

use std::time::{Duration, SystemTime};

use sqlx::{ColumnIndex, Decode, FromRow, Type};

use crate::detect::{Answer, Detector, Disposition, Outcome, Repeats, RetryState, decide};
use crate::ledger::identity::digest_of;
use crate::ledger::quota::micros;
use crate::ledger::{AttemptOutcome, CallRecord, Lookup, OtherAttempt, Query, ServiceAnswer};
use crate::probe::Content;
use crate::report::{Billing, Certainty};

/// A question's row with its deciding attempt's, by the names in `sql::READ_QUESTIONS`.
pub(in crate::ledger) struct Row {
    state: State,
    standing: Option<i64>,
    attempt: i64,
    source: String,
    owner: String,
    slot: i64,
    ended: Option<i64>,
    status: Option<i64>,
    request_id: Option<String>,
    images: i64,
    certainty: Option<String>,
    answer: Option<Vec<u8>>,
}

impl<'r, R: sqlx::Row> FromRow<'r, R> for Row
where
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        Ok(Self {
            state: State::named(&row.try_get::<String, _>("state")?),
            standing: row.try_get("standing")?,
            attempt: row.try_get("attempt")?,
            source: row.try_get("source")?,
            owner: row.try_get("owner")?,
            slot: row.try_get("slot_us")?,
            ended: row.try_get("ended_us")?,
            status: row.try_get("http_status")?,
            request_id: row.try_get("request_id")?,
            images: row.try_get("images")?,
            certainty: row.try_get("certainty")?,
            answer: row.try_get("answer")?,
        })
    }
}

/// A row that one of a list was found by, and that one's place in the list, from 1 on.
pub(in crate::ledger) struct Placed<T> {
    pub(in crate::ledger) place: i64,
    pub(in crate::ledger) row: T,
}

impl<'r, R: sqlx::Row, T: FromRow<'r, R>> FromRow<'r, R> for Placed<T>
where
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        Ok(Self { place: row.try_get("place")?, row: T::from_row(row)? })
    }
}

/// The content that a sighting stands for.
pub(in crate::ledger) struct Sighted(pub(in crate::ledger) Option<Content>);

impl<'r, R: sqlx::Row> FromRow<'r, R> for Sighted
where
    &'static str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        let content: String = row.try_get("content")?;
        Ok(Self(digest_of(&content).map(Content)))
    }
}

impl Row {
    /// The attempt whose verdict still stands, where the one that decides is unknown.
    pub(in crate::ledger) fn standing(&self) -> Option<i64> {
        self.standing.filter(|_| self.state == State::Unknown)
    }

    /// What it says of its question, now.
    pub(in crate::ledger) fn judge(self, query: Query<'_>, now: i64) -> Lookup {
        let Query { ask, reuse, .. } = query;
        match self.state {
            State::Booked | State::Sending => {
                let leaves_in = u64::try_from(self.slot.saturating_sub(now)).unwrap_or(0);
                let leaves_in = Duration::from_micros(leaves_in);
                Lookup::InFlight(OtherAttempt {
                    attempt: self.attempt,
                    owner: self.owner,
                    leaves_in,
                })
            }
            State::Settled => match reuse.max_age {
                Some(most) if now.saturating_sub(self.ended.unwrap_or(now)) > micros(most) => {
                    Lookup::Free
                }
                _ => Lookup::Known(self.recall(ask.detector)),
            },
            State::Unknown => match &reuse.retry_unknown {
                Some(moment) if moment.is_after(self.attempt) => Lookup::Free,
                // However whole its answer looks: what was lost on the way is not believed later.
                _ => Lookup::Known(match self.recall(ask.detector) {
                    known @ CallRecord { disposition: Disposition::Unknown(_), .. } => known,
                    known => CallRecord { disposition: CallRecord::lost().disposition, ..known },
                }),
            },
            // Such a question is free and has no row to judge.
            State::Refused | State::NotSent => Lookup::Known(CallRecord::lost()),
        }
    }

    /// The record that it holds: decided again from the answer as it came, so that the ledger needs no
    /// second form of a verdict.
    pub(in crate::ledger) fn recall(self, detector: &'static Detector) -> CallRecord {
        let billing = Billing {
            images: u64::try_from(self.images).unwrap_or(0),
            certainty: certainty_named(self.certainty.as_deref()),
        };
        let lost = CallRecord {
            billing,
            request_id: self.request_id,
            source: Some(self.source.into()),
            ..CallRecord::lost()
        };
        let status = self.status.and_then(|status| u16::try_from(status).ok());
        let answer = self.answer.and_then(|raw| Some((Answer::parse(&raw, detector)?, raw)));
        let (Some(status), Some((answer, raw))) = (status, answer) else { return lost };
        let outcome = Outcome::Answered { status, retry_after: None, answer };
        let spent = RetryState { repeats: Repeats::SPENT, seed: 0, longest_pause: Duration::ZERO };
        let disposition = decide(&outcome, spent, SystemTime::UNIX_EPOCH).disposition;
        let answer = ServiceAnswer { status, body: raw.into() };
        let answer = Some(answer).filter(|_| !matches!(disposition, Disposition::Unknown(_)));
        CallRecord { disposition, answer, ..lost }
    }
}

/// What has become of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum State {
    /// It has a slot and a place under the cap, and has not left.
    Booked,
    /// It may have left.
    Sending,
    /// The service judged the image.
    Settled,
    /// The service gave no verdict and no bill.
    Refused,
    /// It may have been billed.
    Unknown,
    NotSent,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Booked, Self::Sending, Self::Settled, Self::Refused, Self::Unknown, Self::NotSent];

    /// Its name in the database.
    pub(in crate::ledger) fn as_str(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Sending => "sending",
            Self::Settled => "settled",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::NotSent => "not_sent",
        }
    }

    /// Nobody writes another name; if somebody did, it may have been paid for.
    pub(in crate::ledger) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == name).unwrap_or(Self::Unknown)
    }

    /// The state that an attempt ends in.
    pub(in crate::ledger) fn of(outcome: &AttemptOutcome) -> Self {
        match outcome.record.as_ref().map(|record| &record.disposition) {
            Some(_) if !outcome.was_sent => Self::NotSent,
            None => Self::NotSent,
            Some(Disposition::Settled(_)) => Self::Settled,
            Some(Disposition::Refused(_)) => Self::Refused,
            Some(Disposition::Unknown(_)) => Self::Unknown,
        }
    }
}

/// A certainty's name in the database.
pub(in crate::ledger) fn name_of(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::None => "none",
        Certainty::Certain => "certain",
        Certainty::Unknown => "unknown",
    }
}

fn certainty_named(name: Option<&str>) -> Certainty {
    [Certainty::None, Certainty::Certain]
        .into_iter()
        .find(|certainty| Some(name_of(*certainty)) == name)
        .unwrap_or(Certainty::Unknown)
}
