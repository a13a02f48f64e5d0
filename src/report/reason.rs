//! Why a verdict is what it is: a code for programs, a text for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ReasonCode;
use crate::header::{Format, HeaderError, one_of};
use crate::rules::{AspectRatio, BoxProblem, Violation};

/// One reason for a verdict.
/// ```
/// use emo_preflight::{Reason, ReasonCode};
/// let reason = Reason::new(ReasonCode::NotFound, "server must have the image, found 404 Not Found");
/// assert_eq!(reason.to_string(), "not_found: server must have the image, found 404 Not Found");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reason {
    /// What programs read.
    pub code: ReasonCode,
    /// What people read: lower-case, no full stop.
    pub message: String,
    /// What was found, where that helps: a number of pixels, a format's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Value>,
    /// What was required, where that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<Value>,
}

impl Reason {
    /// A reason without `found` and `required`.
    #[must_use]
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), found: None, required: None }
    }

    pub(crate) fn found(mut self, found: impl Into<Value>) -> Self {
        self.found = Some(found.into());
        self
    }

    pub(crate) fn required(mut self, required: impl Into<Value>) -> Self {
        self.required = Some(required.into());
        self
    }
}

/// `code: message`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl From<&Violation> for Reason {
    fn from(violation: &Violation) -> Self {
        let message = violation.to_string();
        match violation {
            Violation::Format { found, required } => {
                Self::new(ReasonCode::UnsupportedFormat, message)
                    .found(found.to_string())
                    .required(one_of(required))
            }
            Violation::ShortestSideBelowMin { found, required } => {
                Self::new(ReasonCode::ShortestSideBelowMin, message)
                    .found(*found)
                    .required(*required)
            }
            Violation::LongestSideAboveMax { found, required } => {
                Self::new(ReasonCode::LongestSideAboveMax, message)
                    .found(*found)
                    .required(*required)
            }
        }
    }
}

impl From<&BoxProblem> for Reason {
    fn from(problem: &BoxProblem) -> Self {
        let message = problem.to_string();
        let sides = |width: &f64, height: &f64| format!("{width}×{height}");
        match problem {
            BoxProblem::Degenerate { found, .. } => {
                Self::new(ReasonCode::BoxDegenerate, message).found(found.to_string())
            }
            BoxProblem::RatioMismatch { width, height, required } => {
                Self::new(ReasonCode::RatioMismatch, message)
                    .found(sides(width, height))
                    .required(required.as_str())
            }
            BoxProblem::Ratio8To11 { width, height } => Self::new(ReasonCode::Ratio8To11, message)
                .found(sides(width, height))
                .required(AspectRatio::Portrait.as_str()),
            BoxProblem::OutOfImage { found, width, height } => {
                Self::new(ReasonCode::BoxOutOfImage, message)
                    .found(found.to_string())
                    .required(format!("within {width}×{height}"))
            }
            BoxProblem::FaceOutsideExt { face, ext } => {
                Self::new(ReasonCode::FaceOutsideExt, message)
                    .found(face.to_string())
                    .required(format!("within {ext}"))
            }
        }
    }
}

impl From<&HeaderError> for Reason {
    fn from(error: &HeaderError) -> Self {
        let message = error.to_string();
        let take = || one_of(Format::ALL);
        match error {
            HeaderError::Unsupported { found } => {
                Self::new(ReasonCode::UnsupportedFormat, message).found(*found).required(take())
            }
            HeaderError::NotAnImage { found } => {
                Self::new(ReasonCode::NotAnImage, message).found(found.to_string()).required(take())
            }
            HeaderError::SizeDeferred { .. } => Self::new(ReasonCode::SizeDeferred, message),
            HeaderError::Corrupt { .. } | HeaderError::Truncated { .. } => {
                Self::new(ReasonCode::CorruptHeader, message)
            }
        }
    }
}
