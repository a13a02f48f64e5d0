//! What the rows of books on disk say, and how an ending is put into them: the same for every
//! database.

use std::time::{Duration, SystemTime};

use sqlx::{ColumnIndex, Decode, FromRow, Type};

use super::quota::micros;
use super::{Disposition, Elsewhere, Ending, Look, Question, Reuse, Settlement};
use crate::detect::{Answer, Detector, End, Outcome, Repeats, RetryState, decide};
use crate::probe::{Sameness, Version};
use crate::report::{Billing, Certainty};

/// A question's row with its deciding attempt's, by the names in `sql::READ_QUESTION`.
pub(super) struct Row {
    state: String,
    standing: Option<i64>,
    attempt: i64,
    source: String,
    version: Option<Version>,
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
        let digest = |name: &'static str| -> sqlx::Result<Option<[u8; 32]>> {
            let bytes: Option<Vec<u8>> = row.try_get(name)?;
            Ok(bytes.and_then(|bytes| bytes.try_into().ok()))
        };
        let length: Option<i64> = row.try_get("image_length")?;
        let (end, etag) = (digest("image_end")?, row.try_get("image_etag")?);
        Ok(Self {
            state: row.try_get("state")?,
            standing: row.try_get("standing")?,
            attempt: row.try_get("attempt")?,
            source: row.try_get("source")?,
            version: digest("image_start")?.map(|start| Version {
                length: length.and_then(|length| u64::try_from(length).ok()),
                start,
                end,
                etag,
            }),
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

impl Row {
    /// The attempt whose verdict still stands, where the one that decides is unknown.
    pub(super) fn standing(&self) -> Option<i64> {
        self.standing.filter(|_| self.state == "unknown")
    }

    /// What it says of its question, now.
    pub(super) fn judge(self, question: &Question, reuse: &Reuse, now: i64) -> Look {
        match self.state.as_str() {
            "booked" | "sending" => {
                let leaves_in = u64::try_from(self.slot.saturating_sub(now)).unwrap_or(0);
                let leaves_in = Duration::from_micros(leaves_in);
                Look::Sending(Elsewhere { attempt: self.attempt, owner: self.owner, leaves_in })
            }
            "settled" => match reuse.max_age {
                Some(most) if now.saturating_sub(self.ended.unwrap_or(now)) > micros(most) => {
                    Look::Free
                }
                _ => self.judge_verdict(question),
            },
            "unknown" => match reuse.retry_unknown {
                Some(moment) if moment.is_after(self.attempt, self.ended) => Look::Free,
                // However whole its answer looks: what was lost on the way is not believed later.
                _ => Look::Known(match self.recall(question.detector) {
                    known @ Settlement { disposition: Disposition::Unknown(_), .. } => known,
                    known => Settlement { disposition: Settlement::lost().disposition, ..known },
                }),
            },
            // A free question has no row to judge. Nobody writes anything else; if somebody did,
            // it may have been paid for.
            _ => Look::Known(Settlement::lost()),
        }
    }

    /// As [`judge`](Self::judge), of a verdict of any age.
    pub(super) fn judge_verdict(self, question: &Question) -> Look {
        match Version::compare(self.version.as_ref(), question.version.as_ref()) {
            Sameness::Same => Look::Known(self.recall(question.detector)),
            Sameness::NeedsEnd if !question.version_is_final => Look::NeedsEnd,
            Sameness::NeedsEnd | Sameness::Another => Look::Free,
        }
    }

    /// What it says of a question about the same content under another URL, now.
    pub(super) fn judge_content(self, question: &Question, reuse: &Reuse, now: i64) -> Look {
        let source = self.source.as_str().into();
        // That it is the same is known already, and by more than ETags of two URLs could tell.
        let question = Question { version: None, ..question.clone() };
        match self.judge(&question, reuse, now) {
            Look::Known(known) => Look::Known(Settlement { same_as: Some(source), ..known }),
            look => look,
        }
    }

    fn recall(self, detector: &'static Detector) -> Settlement {
        let answer = self.answer.as_deref();
        let answer = answer.and_then(|answer| Answer::parse(answer, detector));
        recall(self.status, self.request_id, self.images, self.certainty.as_deref(), answer)
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
    Settlement { disposition, billing, request_id, ..Settlement::lost() }
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
