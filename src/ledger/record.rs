//! One call as the ledger keeps it: how it ended, and what that means for its question.

use std::time::Duration;

use bytes::Bytes;

use crate::detect::Disposition;
use crate::report::{Billing, Reason, ReasonCode};
#[cfg(feature = "ledger")]
use crate::rules::AspectRatio;

/// What came of an attempt, as the ledger keeps it.
#[derive(Clone, Debug)]
pub(crate) struct AttemptOutcome {
    /// Absent where the attempt was given up before its request was made.
    pub(crate) record: Option<CallRecord>,
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
    /// What is surely or maybe billed.
    pub(crate) fn billing(&self) -> Billing {
        self.record.as_ref().map_or(Billing::NONE, |record| record.billing)
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.record.as_ref()?.request_id.as_deref()
    }

    /// Nothing was sent after all.
    pub(crate) fn not_sent() -> Self {
        Self {
            record: None,
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
    pub(crate) disposition: Disposition,
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

impl CallRecord {
    pub(crate) fn new(disposition: Disposition, billing: Billing) -> Self {
        Self {
            disposition,
            billing,
            request_id: None,
            answer: None,
            recalled: false,
            source: None,
            note: None,
        }
    }

    /// An attempt that went out of its holder's hands.
    pub(crate) fn lost() -> Self {
        let reason = Reason::new(
            ReasonCode::BillingUnknown,
            "a call for this image may have been billed and its answer is not known; it is not \
             repeated unless asked for (retry unknown)",
        );
        Self { recalled: true, ..Self::new(Disposition::Unknown(reason), Billing::UNKNOWN) }
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
}
