//! Why a verdict is what it is: codes for programs, texts for people.
//!
//! The codes' texts are part of the results' JSON: they are added, never renamed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

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

/// Declares the codes once: the variant, its documentation and its text.
macro_rules! reason_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What programs read of a reason. The texts are part of the contract.
        ///
        /// For an example see [`Reason`].
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ReasonCode {
            $($(#[$doc])* $variant,)*
            /// The service's own code, verbatim.
            Service(String),
        }

        impl ReasonCode {
            /// Every code of this crate, in the order of the stages they come from.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code's text in the JSON.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Service(code) => code,
                }
            }
        }

        impl From<String> for ReasonCode {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)*
                    _ => Self::Service(text),
                }
            }
        }
    };
}

reason_codes! {
    /// An image, but of a format the service does not take; `found` names it.
    UnsupportedFormat = "unsupported_format",
    /// No image at all; `found` names what it is, where that can be told.
    NotAnImage = "not_an_image",
    /// The header contradicts its format, or the file ends inside it.
    CorruptHeader = "corrupt_header",
    /// The shorter side is too short, in pixels.
    ShortestSideBelowMin = "shortest_side_below_min",
    /// The longer side is too long, in pixels.
    LongestSideAboveMax = "longest_side_above_max",
    /// The source is no http or https URL.
    NotHttpUrl = "not_http_url",
    /// The URL, or a redirect of it, leads to an address that is not public.
    PrivateAddress = "private_address",
    /// The origin answered 404 or 410, or the file does not exist.
    NotFound = "not_found",
    /// The line of the input could not be understood.
    BadInput = "bad_input",
    /// A local file could not be read.
    UnreadableFile = "unreadable_file",
    /// The origin answered with a status, or a partial answer, that tells nothing.
    HttpStatus = "http_status",
    /// The origin could not be reached, or the transfer broke off.
    Network = "network",
    /// The local stage took longer than it may.
    Timeout = "timeout",
    /// More than five redirects.
    TooManyRedirects = "too_many_redirects",
    /// A redirect without a usable target.
    BadRedirect = "bad_redirect",
    /// The header was not over after as many bytes as may be taken.
    HeaderTooLong = "header_too_long",
    /// A JPEG that gives its height only after its pixels (DNL).
    SizeDeferred = "size_deferred",
    /// The origin compressed the body although identity was asked for.
    EncodedBody = "encoded_body",
    /// The face screen found no frontal face; `found` is the best score.
    NoFace = "no_face",
    /// The face screen found a second face of nearly the size of the first; `found` is their number.
    SeveralFaces = "several_faces",
    /// The largest face that the face screen found is too small; `found` is its width in pixels.
    FaceTooSmall = "face_too_small",
    /// No decoder takes the image's bytes.
    Undecodable = "undecodable",
    /// The service answered `check_pass: false` and gave no code.
    CheckPassFalse = "check_pass_false",
    /// `ext_bbox` has another ratio than the one requested.
    RatioMismatch = "ratio_mismatch",
    /// 3:4 was requested and `ext_bbox` is 8:11.
    Ratio8To11 = "ratio_8_11",
    /// `ext_bbox` leaves the image.
    BoxOutOfImage = "box_out_of_image",
    /// `face_bbox` is not within `ext_bbox`.
    FaceOutsideExt = "face_outside_ext",
    /// A box without area.
    BoxDegenerate = "box_degenerate",
    /// The service answered, and neither a verdict with its boxes nor a code can be read from it.
    MalformedAnswer = "malformed_answer",
    /// The call may have been billed and its answer is lost; it is not repeated.
    BillingUnknown = "billing_unknown",
    /// The ledger could not be written or read.
    LedgerError = "ledger_error",
    /// The run's cap on paid calls is used up.
    CapReached = "cap_reached",
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ReasonCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}
