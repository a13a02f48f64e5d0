//! Questions and terms for the tests of the ledger.

use std::time::Duration;

use super::{Ask, Question, Reuse, Terms};
use crate::detect::EMO_DETECT;
use crate::probe::{Content, Sighting};
use crate::rules::AspectRatio;

/// A question about an image; each number is another's.
pub(super) fn question(number: usize) -> Question {
    let ask = Ask {
        service: "service".to_owned(),
        detector: &EMO_DETECT,
        model: "model".to_owned(),
        ratio: AspectRatio::Square,
    };
    let content = content(number);
    Question {
        identity: ask.identity(&content),
        ask,
        content,
        sighting: Some(Sighting(content.0)),
        source: format!("https://h/{number}.jpg"),
        image_id: None,
    }
}

fn content(number: usize) -> Content {
    let mut content = [0; 32];
    content[24..].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
    Content(content)
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
