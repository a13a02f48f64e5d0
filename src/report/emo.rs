//! The hand-off the vendor asks for: from an accepted report the body of the `emo-v1` request.
//!
//! Source: the vendor's API page of `emo-v1` (`POST …/image2video/video-synthesis` with
//! `X-DashScope-Async: enable`). Nothing is submitted here: the caller posts the body.

use serde::{Deserialize, Serialize};

use crate::net::url_text::without_fragment;
use crate::report::{Report, Verdict};
use crate::rules::BBox;

/// The body of an `emo-v1` request.
///
/// ```
/// use emo_preflight::{EmoRequest, Mismatch, Report, StyleLevel};
/// # let line = r#"{"v":1,"index":0,"source":"https://example.org/a.jpg","ratio":"1:1","verdict":"accepted","reasons":[],"face_bbox":[302,286,610,593],"ext_bbox":[71,9,840,778],"billing":{"images":1,"certainty":"certain"}}"#;
/// let report: Report = serde_json::from_str(line)?;
/// let audio = "https://example.org/speech.wav";
/// let body = EmoRequest::new(&report, audio, StyleLevel::Normal, Mismatch::Refuse)?;
/// assert_eq!(
///     serde_json::to_string(&body)?,
///     r#"{"model":"emo-v1","input":{"image_url":"https://example.org/a.jpg","audio_url":"https://example.org/speech.wav","face_bbox":[302,286,610,593],"ext_bbox":[71,9,840,778]},"parameters":{"style_level":"normal"}}"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmoRequest {
    /// `emo-v1`.
    pub model: String,
    /// What to animate, and to what sound.
    pub input: EmoInput,
    /// How lively.
    pub parameters: EmoParameters,
}

/// `input` of an `emo-v1` request.
///
/// For an example see [`EmoRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmoInput {
    /// The image that was checked: the very URL the boxes belong to.
    pub image_url: String,
    /// The sound: wav or mp3, less than 15 MB, less than 60 s (vendor page).
    pub audio_url: String,
    /// The face's box as the detector gave it, in pixels.
    pub face_bbox: BBox,
    /// The dynamic area's box as the detector gave it, in pixels.
    pub ext_bbox: BBox,
}

/// `parameters` of an `emo-v1` request.
///
/// For an example see [`EmoRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmoParameters {
    /// How lively the head moves.
    pub style_level: StyleLevel,
}

/// How lively the head moves.
///
/// For an example see [`EmoRequest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StyleLevel {
    /// `normal`, the vendor's default.
    #[default]
    Normal,
    /// `calm`.
    Calm,
    /// `active`.
    Active,
}

/// What to do with a report whose boxes did not hold.
///
/// For an example see [`EmoRequest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// Make no request of it.
    #[default]
    Refuse,
    /// Hand the boxes on all the same.
    Accept,
}

impl EmoRequest {
    /// The request for a report.
    ///
    /// # Errors
    /// [`HandOffError`] when the report has no boxes, or when they did not hold and `mismatch` is
    /// not [`Mismatch::Accept`].
    pub fn new(
        report: &Report,
        audio_url: impl Into<String>,
        style_level: StyleLevel,
        mismatch: Mismatch,
    ) -> Result<Self, HandOffError> {
        let (face_bbox, ext_bbox) = match report.verdict {
            Verdict::Accepted { face, ext } => (face, ext),
            Verdict::BoxMismatch { face, ext } if mismatch == Mismatch::Accept => (face, ext),
            Verdict::BoxMismatch { .. } => {
                let codes: Vec<&str> = report.reasons.iter().map(|r| r.code.as_str()).collect();
                return Err(HandOffError::Mismatch(codes.join(", ")));
            }
            other => return Err(HandOffError::NotAccepted(other.as_str())),
        };
        Ok(Self {
            model: MODEL.to_owned(),
            input: EmoInput {
                image_url: without_fragment(&report.source).to_owned(),
                audio_url: audio_url.into(),
                face_bbox,
                ext_bbox,
            },
            parameters: EmoParameters { style_level },
        })
    }
}

/// Why a report gives no `emo-v1` request.
///
/// For an example see [`EmoRequest`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandOffError {
    /// The service did not pass the image.
    #[error("verdict must be accepted, found {0}")]
    NotAccepted(&'static str),
    /// The boxes did not hold; the codes say how.
    #[error("boxes must hold, found {0}; accept the mismatch explicitly to hand them on")]
    Mismatch(String),
}

const MODEL: &str = "emo-v1";
