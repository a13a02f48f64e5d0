//! What a detector has of its own. The endpoint's envelope, codes and bills are the same for all.

use serde_json::value::RawValue;

use crate::rules::{AspectRatio, BBox};

/// One of the service's detectors: how it is asked, and how its answers are read.
#[derive(Debug)]
pub(crate) struct Detector {
    /// Its name, unless a dedicated deployment has another.
    pub(crate) model: &'static str,
    /// Where it is, below the service's base URL.
    pub(super) path: &'static [&'static str],
    /// The account's quota.
    pub(crate) calls_per_second: f64,
    /// The request's body.
    pub(super) body: fn(&Ask<'_>) -> serde_json::Result<Vec<u8>>,
    /// What an answer's `output`, an object, says of the image; `None` when it says one thing
    /// twice.
    pub(super) read: fn(&RawValue) -> Option<Finding>,
}

/// What is asked of a detector.
pub(super) struct Ask<'a> {
    pub(super) model: &'a str,
    pub(super) image_url: &'a str,
    pub(super) ratio: AspectRatio,
}

/// What an answer says of the image.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Finding {
    /// Nothing.
    #[default]
    Absent,
    /// It passed.
    Passed {
        /// The face's box.
        face: BBox,
        /// The dynamic area's box.
        ext: BBox,
    },
    /// It passed, and what has to come with that did not; the text says what.
    Incomplete(&'static str),
    /// It did not pass.
    Failed,
    /// There was a verdict, who knows which.
    Unreadable,
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde::Deserialize;

    use super::super::wire::{Answer, bounding_box, read};
    use super::super::{Disposition, Judgement, Outcome, Repeats, RetryState, decide};
    use super::*;

    /// By the documented differences of `emoji-detect-v1`: whatever has boxes has passed.
    static EMOJI_DETECT: Detector = Detector {
        model: "emoji-detect-v1",
        path: &["services", "aigc", "image2video", "face-detect"],
        calls_per_second: 1.0,
        body: |&Ask { model, image_url, .. }| {
            serde_json::to_vec(&serde_json::json!({
                "model": model,
                "input": { "image_url": image_url },
                "parameters": { "ratio": "1:1" },
            }))
        },
        read: |output| {
            let EmojiOutput { bbox_face, ext_bbox_face } = read(output)?;
            if bbox_face.is_none() && ext_bbox_face.is_none() {
                return Some(Finding::Absent);
            }
            Some(match (bbox_face.and_then(bounding_box), ext_bbox_face.and_then(bounding_box)) {
                (Some(face), Some(ext)) => Finding::Passed { face, ext },
                _ => Finding::Incomplete("an image that passed has two boxes"),
            })
        },
    };

    #[derive(Deserialize)]
    struct EmojiOutput<'a> {
        #[serde(borrow)]
        bbox_face: Option<&'a RawValue>,
        #[serde(borrow)]
        ext_bbox_face: Option<&'a RawValue>,
    }

    /// Nothing but the detector knows its answers: bills and codes are decided on as ever.
    #[test]
    fn a_sister_is_read_by_its_own_row() {
        let bill = r#""usage":{"image_count":1}"#;
        for (output, expected) in [
            (r#"{"bbox_face":[212,194,460,441],"ext_bbox_face":[63,30,609,575]}"#, "passed"),
            (r#"{"code":"InvalidFile.NoHuman","message":"m"}"#, "rejected"),
            (r#"{"bbox_face":[212,194,460,441]}"#, "unusable"),
            (r#"{"bbox_face":"a","ext_bbox_face":"b"}"#, "unusable"),
            (r#"{"check_pass":true,"face_bbox":[1,1,2,2],"ext_bbox":[0,0,3,3]}"#, "unusable"),
        ] {
            let body = format!(r#"{{"output":{output},{bill}}}"#);
            let answer = Answer::parse(body.as_bytes(), &EMOJI_DETECT).expect("the service's JSON");
            let outcome = Outcome::Answered { status: 200, retry_after: None, answer };
            let attempt = RetryState {
                repeats: Repeats::default(),
                seed: 7,
                longest_pause: Duration::from_secs(60),
            };
            let decision = decide(&outcome, attempt, SystemTime::UNIX_EPOCH);
            let found = match decision.disposition {
                Disposition::Settled(Judgement::Passed { .. }) => "passed",
                Disposition::Settled(Judgement::Rejected(_)) => "rejected",
                Disposition::Settled(Judgement::Unusable(_)) => "unusable",
                other => panic!("{output}: {other:?}"),
            };
            assert_eq!(found, expected, "{output}");
            assert_eq!(decision.billing.images, 1, "{output}");
        }
    }
}
