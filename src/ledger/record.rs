//! One call as the ledger keeps it: how it ended, and what that means for its question.

use std::time::Duration;

use bytes::Bytes;

use crate::detect::Judgement;
use crate::report::{Billing, Reason, ReasonCode};
#[cfg(feature = "ledger")]
use crate::rules::AspectRatio;

/// What came of an attempt, as the ledger keeps it.
#[derive(Clone, Debug)]
pub(crate) struct AttemptOutcome {
    pub(crate) record: CallRecord,
    /// Whether the request may have left.
    pub(crate) was_sent: bool,
    pub(crate) status: Option<u16>,
    /// The verdict's or error's name, for the sums.
    pub(crate) verdict: &'static str,
    /// The body as it came.
    pub(crate) raw: Option<Bytes>,
    /// How long everyone was asked to hold back.
    pub(crate) push_back: Option<Duration>,
}

impl AttemptOutcome {
    /// Nothing was sent after all.
    pub(crate) fn not_sent() -> Self {
        Self {
            record: CallRecord::not_sent(),
            was_sent: false,
            status: None,
            verdict: "not_sent",
            raw: None,
            push_back: None,
        }
    }
}

/// One call for a question, as the ledger keeps it and gives it again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallRecord {
    pub(crate) end: CallEnd,
    pub(crate) billing: Billing,
    pub(crate) request_id: Option<String>,
    /// What the service answered, as it came; absent where its bill is unknown.
    pub(crate) answer: Option<ServiceAnswer>,
    /// Read from the ledger: nothing was paid for it now.
    pub(crate) recalled: bool,
    /// The source that was asked about, safe to print.
    pub(crate) source: Option<Box<str>>,
    /// Said beside the verdict: a later call for the image was lost.
    pub(crate) note: Option<Box<Reason>>,
}

/// A verdict of the service, with what was asked about.
#[cfg(feature = "ledger")]
#[derive(Clone, Debug)]
pub(crate) struct KeptVerdict {
    pub(crate) attempt: i64,
    /// Safe to print.
    pub(crate) source: String,
    /// The caller's label.
    pub(crate) image_id: Option<String>,
    pub(crate) ratio: AspectRatio,
    pub(crate) model: String,
    /// The verdict's name when it was given.
    pub(crate) verdict: String,
    pub(crate) record: CallRecord,
}

/// An answer of the service's own, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServiceAnswer {
    /// The HTTP status.
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// How a call ended, by what may happen to its question next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CallEnd {
    /// The service answered; it is not asked again.
    Settled(Judgement),
    /// No verdict and no bill: the question is free again.
    Refused(Reason),
    /// May have been billed: not asked again.
    Unknown(Reason),
    /// Nothing was sent: the run or the gate ended first, or nobody waited any more.
    NotSent,
}

impl CallRecord {
    /// Nothing was sent, nothing is to pay.
    pub(crate) fn not_sent() -> Self {
        Self {
            end: CallEnd::NotSent,
            billing: Billing::NONE,
            request_id: None,
            answer: None,
            recalled: false,
            source: None,
            note: None,
        }
    }

    /// An attempt that went out of its holder's hands.
    pub(crate) fn lost() -> Self {
        Self {
            end: CallEnd::Unknown(Reason::new(
                ReasonCode::BillingUnknown,
                "a call for this image may have been billed and its answer is not known; it is not \
                 repeated unless asked for (retry unknown)",
            )),
            billing: Billing::UNKNOWN,
            recalled: true,
            ..Self::not_sent()
        }
    }

    /// As it is given where a later call for the same image was lost.
    pub(crate) fn before_a_lost_call(self) -> Self {
        let note = Reason::new(
            ReasonCode::BillingUnknown,
            "this is an earlier verdict: a later call for this image may have been billed and its \
             answer is not known; it is not repeated unless asked for (retry unknown)",
        );
        Self { note: Some(Box::new(note)), ..self }
    }

    /// Why, where there is anything to say.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        match &self.end {
            CallEnd::Settled(Judgement::Rejected(reason) | Judgement::Unusable(reason))
            | CallEnd::Refused(reason)
            | CallEnd::Unknown(reason) => Some(reason),
            CallEnd::Settled(Judgement::Passed { .. }) | CallEnd::NotSent => None,
        }
    }
}
