//! Questions and terms for the tests of the ledger.

use std::time::Duration;

use super::{Identity, Question, Reuse, Terms};
use crate::detect::EMO_DETECT;
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

pub(super) fn terms(spacing: Duration, max_calls: Option<u64>) -> Terms {
    Terms {
        account: "account".to_owned(),
        spacing,
        run: "run".to_owned(),
        max_calls,
        reuse: Reuse::default(),
    }
}
