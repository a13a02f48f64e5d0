//! What the rows of books on disk say, and how an ending is put into them: the same for every
//! database.

use std::time::{Duration, SystemTime};

use sqlx::{ColumnIndex, Decode, FromRow, Type};

use super::quota::micros;
use super::{Booked, Disposition, Elsewhere, Ending, Look, Question, Reuse, Settlement};
use crate::detect::{Answer, End, Outcome, Repeats, RetryState, decide};
use crate::probe::Version;
use crate::report::{Billing, Certainty};

/// A question's row with its deciding attempt's, by the names in `sql::READ_QUESTION`.
pub(super) struct Row {
    state: String,
    picture_length: Option<i64>,
    picture_start: Option<String>,
    picture_etag: Option<String>,
    attempt: i64,
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
            state: row.try_get("state")?,
            picture_length: row.try_get("picture_length")?,
            picture_start: row.try_get("picture_start")?,
            picture_etag: row.try_get("picture_etag")?,
            attempt: row.try_get("attempt")?,
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

/// What a question's row says, now.
pub(super) fn judge(row: Row, question: &Question, reuse: &Reuse, now: i64) -> Look {
    let Row { attempt, ended, .. } = row;
    let recalled = || {
        let answer = row.answer.as_deref();
        let answer = answer.and_then(|answer| Answer::parse(answer, question.detector));
        let certainty = row.certainty.as_deref();
        recall(row.status, row.request_id.clone(), row.images, certainty, answer)
    };
    // However whole its answer looks: what was lost on the way is not believed later.
    let unknown = |settlement: Settlement| match settlement.disposition {
        Disposition::Unknown(_) => settlement,
        _ => Settlement { disposition: Settlement::lost().disposition, ..settlement },
    };
    match row.state.as_str() {
        "sending" => {
            let attempt = Booked { identity: question.identity, id: attempt };
            let leaves_in = u64::try_from(row.slot.saturating_sub(now)).unwrap_or(0);
            let leaves_in = Duration::from_micros(leaves_in);
            Look::Sending(Elsewhere { attempt, owner: row.owner, leaves_in })
        }
        "settled" => {
            let asked = row.picture_start.as_deref().and_then(unhex).map(|start| Version {
                length: row.picture_length.and_then(|length| u64::try_from(length).ok()),
                start,
                etag: row.picture_etag.clone(),
            });
            let age = now.saturating_sub(ended.unwrap_or(now));
            let stale = Version::is_another(asked.as_ref(), question.version.as_ref())
                || reuse.max_age.is_some_and(|most| age > micros(most));
            if stale { Look::Free } else { Look::Known(recalled()) }
        }
        "unknown" => match reuse.retry_unknown {
            Some(moment) if moment.is_after(attempt, ended) => Look::Free,
            _ => Look::Known(unknown(recalled())),
        },
        // A free question has no row to judge. Nobody writes anything else; if somebody did, it may
        // have been paid for.
        _ => Look::Known(Settlement::lost()),
    }
}

/// The settlement that an attempt's row holds: decided anew from the answer as it came, so that
/// the books need no second form of a verdict.
fn recall(
    status: Option<i64>,
    request_id: Option<String>,
    images: i64,
    certainty: Option<&str>,
    answer: Option<Answer>,
) -> Settlement {
    let billing = Billing {
        images: u64::try_from(images).unwrap_or(0),
        certainty: match certainty {
            Some("certain") => Certainty::Certain,
            Some("none") => Certainty::None,
            _ => Certainty::Unknown,
        },
    };
    let status = status.and_then(|status| u16::try_from(status).ok());
    let (Some(status), Some(answer)) = (status, answer) else {
        return Settlement { billing, request_id, ..Settlement::lost() };
    };
    let outcome = Outcome::Answered { status, retry_after: None, answer };
    let decision =
        decide(&outcome, RetryState { repeats: Repeats::SPENT, seed: 0 }, SystemTime::UNIX_EPOCH);
    let disposition = match decision.end {
        End::Settled(judgement) => Disposition::Settled(judgement),
        End::Unknown(reason) => Disposition::Unknown(reason),
        End::Refused(reason) | End::Repeat { reason, .. } => Disposition::Refused(reason),
    };
    Settlement { disposition, billing, request_id, recalled: true }
}

/// The state that an attempt ends in.
pub(super) fn state_of(ending: &Ending) -> &'static str {
    if !ending.was_sent {
        return "not_sent";
    }
    match ending.settlement.disposition {
        Disposition::Settled(_) => "settled",
        Disposition::Refused(_) | Disposition::NotSent => "refused",
        // Callers are told of the last two, and no attempt ends in them; should one, then so that
        // it is not repeated.
        Disposition::Unknown(_) | Disposition::NoBooks(_) | Disposition::Unbooked(_) => "unknown",
    }
}

/// A certainty's name in the books.
pub(super) fn name_of(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::None => "none",
        Certainty::Certain => "certain",
        Certainty::Unknown => "unknown",
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    bytes?.try_into().ok()
}
