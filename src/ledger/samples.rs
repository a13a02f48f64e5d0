//! Questions and terms for the tests of the ledger.

use std::time::Duration;

#[cfg(feature = "ledger")]
use super::Content;
use super::{Identity, Question, Reuse, Terms};
use crate::detect::EMO_DETECT;
#[cfg(feature = "ledger")]
use crate::header::{Format, Header};
#[cfg(feature = "ledger")]
use crate::probe::Version;
use crate::rules::AspectRatio;
use crate::run::Source;

pub(super) fn question(number: usize) -> Question {
    let source = Source::url(format!("https://h/{number}.jpg"));
    Question {
        identity: Identity::of(&source, "endpoint", "model"),
        version: None,
        version_is_final: true,
        content: None,
        source: source.text,
        ratio: AspectRatio::Square,
        detector: &EMO_DETECT,
        model: "model".to_owned(),
    }
}

/// An image's content; each number is another's.
#[cfg(feature = "ledger")]
pub(super) fn content(number: u8) -> Content {
    let header = Header::new(Format::Png, 400, 400, None);
    let (start, end) = ([number; 32], Some([2; 32]));
    let version = Version { length: Some(9), start, end, whole: None, etag: None };
    Content::of(&header, &version, "endpoint", "model", AspectRatio::Square).unwrap()
}

pub(super) fn terms(spacing: Duration, max_calls: Option<u64>) -> Terms {
    Terms {
        account: "account".to_owned(),
        spacing,
        run: "run".to_owned(),
        max_calls,
        answer_within: Duration::from_secs(70),
        reuse: Reuse::default(),
    }
}
