//! What the fuzz targets ask of policy code that has no public door. Only built by the fuzzer.

use std::time::{Duration, UNIX_EPOCH};

use crate::detect::{
    Answer, Disposition, EMO_DETECT, Judgement, Outcome, Repeats, RetryState, decide,
};
use crate::probe::{ByteRange, ContentRange};
use crate::report::Certainty;

/// The part and total that a Content-Range stands for, where it answers a request for `length`
/// bytes from `first`: first byte, last byte, length of the whole.
pub fn content_range(value: &str, first: u64, length: u64) -> Option<(u64, u64, Option<u64>)> {
    let range = ContentRange::parse(value)?;
    let part = range.answers(ByteRange::new(first, length))?;
    Some((part.first, part.last, range.total))
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Whether the body was taken for the service's JSON.
    pub is_the_services_json: bool,
    /// How it ended.
    pub ending: Ending,
    /// What was billed; `None` when unknown.
    pub images: Option<u64>,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With both boxes.
    Passed,
    /// With a verdict, or a bill and no verdict.
    Settled,
    /// For free.
    Refused,
    /// For free, to be asked again.
    Repeated,
    /// Perhaps with a bill.
    Unknown,
}

/// What is decided on a complete answer, the same having come so many times before.
pub fn answered(status: u16, retry_after: Option<&str>, body: &[u8], before: usize) -> Decided {
    let answer = Answer::parse(body, &EMO_DETECT);
    let is_the_services_json = answer.is_some();
    let outcome = match answer {
        Some(answer) => {
            Outcome::Answered { status, retry_after: retry_after.map(str::to_owned), answer }
        }
        None => Outcome::Foreign {
            status,
            retry_after: retry_after.map(str::to_owned),
            what: String::new(),
        },
    };
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let longest_pause = Duration::from_secs(60);
    let mut decision =
        decide(&outcome, RetryState { repeats: Repeats::default(), seed: 7, longest_pause }, now);
    for _ in 0..before {
        let Some(repeat) = decision.repeat else { break };
        let attempt = RetryState { repeats: repeat.repeats, seed: 7, longest_pause };
        decision = decide(&outcome, attempt, now);
    }
    Decided {
        is_the_services_json,
        ending: match decision.disposition {
            Disposition::Settled(Judgement::Passed { .. }) => Ending::Passed,
            Disposition::Settled(_) => Ending::Settled,
            Disposition::Refused(_) if decision.repeat.is_some() => Ending::Repeated,
            Disposition::Refused(_) => Ending::Refused,
            Disposition::Unknown(_) => Ending::Unknown,
        },
        images: (decision.billing.certainty != Certainty::Unknown)
            .then_some(decision.billing.images),
    }
}
