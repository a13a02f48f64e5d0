//! The result of one source, and its JSON: one object a line, version 1.
//!
//! People script against this JSON, so fields and codes are added, never renamed. Fields with
//! nothing to say are left out; `reasons` and `billing` never are.

mod advice;
mod emo;
mod fields;
mod meaning;
#[cfg(feature = "html")]
mod price;
mod reason;
mod reason_code;
mod screen;

use std::fmt;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

pub use emo::{EmoInput, EmoParameters, EmoRequest, HandOffError, Mismatch, StyleLevel};
pub use fields::Fields;
#[cfg(feature = "html")]
pub(crate) use price::Price;
pub use reason::Reason;
pub use reason_code::ReasonCode;
pub use screen::{Advice, Screen, ScreenFace};

use crate::header::Header;
use crate::rules::{AspectRatio, BBox};

/// What came of one source.
///
/// Serialises to the documented JSON object and reads it back, so a results file is a list of
/// these.
/// ```
/// use emo_preflight::{Report, Verdict};
/// let line = r#"{"v":1,"index":0,"source":"https://example.org/a.jpg","ratio":"1:1",
///     "verdict":"rejected_local","reasons":[{"code":"not_found","message":"…"}],
///     "billing":{"images":0,"certainty":"none"}}"#;
/// let report: Report = serde_json::from_str(line)?;
/// assert_eq!(report.verdict, Verdict::RejectedLocal);
/// assert_eq!(report.billing.images, 0);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Holds what is read to the version.
    pub(crate) v: Version,
    /// Position in the input, from 0.
    pub index: u64,
    /// The source, verbatim.
    pub source: String,
    /// The caller's own identity for the image, when one was given.
    pub image_id: Option<String>,
    /// The aspect ratio asked for.
    pub ratio: AspectRatio,
    /// The verdict, with the boxes where it has any.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What the header says; absent when it was not read.
    pub image: Option<Header>,
    /// What the face screen saw; absent when it did not look.
    pub screen: Option<Screen>,
    /// Why the verdict is what it is; empty when there is nothing to say.
    pub reasons: Vec<Reason>,
    /// What the local stage took from the network; absent when it took nothing.
    pub fetch: Option<Fetch>,
    /// What this image's call cost.
    pub billing: Billing,
    /// The service's id of the answer.
    pub request_id: Option<String>,
    /// The verdict was known: `billing` repeats the original bill and nothing was paid now.
    #[serde(default)]
    pub from_ledger: bool,
    /// The model that was asked; absent where no call was asked for.
    pub model: Option<String>,
    /// The source whose verdict this is, where it is another than this one: the same bytes at another
    /// URL. Without userinfo and query values.
    pub same_as: Option<String>,
    /// The input's other fields, untouched.
    pub input: Option<Fields>,
}

impl Report {
    /// A report that nothing is known of yet but its source and verdict.
    #[must_use]
    pub fn new(source: impl Into<String>, ratio: AspectRatio, verdict: Verdict) -> Self {
        Self {
            v: Version,
            index: 0,
            source: source.into(),
            image_id: None,
            ratio,
            verdict,
            image: None,
            screen: None,
            reasons: Vec::new(),
            fetch: None,
            billing: Billing::NONE,
            request_id: None,
            from_ledger: false,
            model: None,
            same_as: None,
            input: None,
        }
    }
}

impl Serialize for Report {
    // By hand for the documented order of the fields, which a flattened enum would break up.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("v", &VERSION)?;
        map.serialize_entry("index", &self.index)?;
        map.serialize_entry("source", &self.source)?;
        if let Some(image_id) = &self.image_id {
            map.serialize_entry("image_id", image_id)?;
        }
        map.serialize_entry("ratio", &self.ratio)?;
        map.serialize_entry("verdict", self.verdict.as_str())?;
        if let Some(image) = &self.image {
            map.serialize_entry("image", image)?;
        }
        map.serialize_entry("reasons", &self.reasons)?;
        if let Some(screen) = &self.screen {
            map.serialize_entry("screen", screen)?;
        }
        if let Some(fetch) = &self.fetch {
            map.serialize_entry("fetch", fetch)?;
        }
        if let Some((face, ext)) = self.verdict.boxes() {
            map.serialize_entry("face_bbox", &face)?;
            map.serialize_entry("ext_bbox", &ext)?;
        }
        map.serialize_entry("billing", &self.billing)?;
        if let Some(request_id) = &self.request_id {
            map.serialize_entry("request_id", request_id)?;
        }
        map.serialize_entry("from_ledger", &self.from_ledger)?;
        if let Some(model) = &self.model {
            map.serialize_entry("model", model)?;
        }
        if let Some(same_as) = &self.same_as {
            map.serialize_entry("same_as", same_as)?;
        }
        if let Some(input) = &self.input {
            map.serialize_entry("input", input)?;
        }
        map.end()
    }
}

/// The version of the JSON, as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct Version;

impl TryFrom<u64> for Version {
    type Error = String;

    fn try_from(found: u64) -> Result<Self, String> {
        match found {
            VERSION => Ok(Self),
            _ => Err(format!("result version must be {VERSION}, found {found}")),
        }
    }
}

/// What is said of an image.
///
/// For an example see [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The local stage passed and no call was asked for.
    Eligible,
    /// The service can animate it, and the boxes hold.
    Accepted {
        /// The face's box, in pixels.
        #[serde(rename = "face_bbox")]
        face: BBox,
        /// The dynamic area's box, in pixels.
        #[serde(rename = "ext_bbox")]
        ext: BBox,
    },
    /// Refused here; no call was made.
    RejectedLocal,
    /// The service judged the image and refused it.
    RejectedRemote,
    /// The service passed it, but the boxes do not hold: see the reasons.
    BoxMismatch {
        /// The face's box as answered, in pixels.
        #[serde(rename = "face_bbox")]
        face: BBox,
        /// The dynamic area's box as answered, in pixels.
        #[serde(rename = "ext_bbox")]
        ext: BBox,
    },
    /// The local stage could not tell; no call was made.
    Undetermined,
    /// The call gave no usable verdict.
    Failed,
    /// The run had stopped before this source's call.
    Skipped,
}

impl Verdict {
    /// The verdict's name in the JSON.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::Accepted { .. } => "accepted",
            Self::RejectedLocal => "rejected_local",
            Self::RejectedRemote => "rejected_remote",
            Self::BoxMismatch { .. } => "box_mismatch",
            Self::Undetermined => "undetermined",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The face box and the dynamic-area box, where the service gave them.
    #[must_use]
    pub fn boxes(&self) -> Option<(BBox, BBox)> {
        match *self {
            Self::Accepted { face, ext } | Self::BoxMismatch { face, ext } => Some((face, ext)),
            Self::Eligible
            | Self::RejectedLocal
            | Self::RejectedRemote
            | Self::Undetermined
            | Self::Failed
            | Self::Skipped => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the local stage took from the network for one source.
///
/// For an example see [`Report`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fetch {
    /// Body bytes of images received; those of redirects and errors are not counted.
    pub bytes: u64,
    /// Requests sent, redirects and retries included.
    pub requests: u32,
    /// Redirects followed.
    pub redirects: u32,
    /// Time taken, in milliseconds; waiting for one's turn at a host does not count.
    pub elapsed_ms: u64,
}

/// What one image's call cost.
///
/// For an example see [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Billing {
    /// Images that are surely billed.
    pub images: u64,
    /// How sure that number is.
    pub certainty: Certainty,
}

impl Billing {
    /// Nothing was billed.
    pub const NONE: Self = Self { images: 0, certainty: Certainty::None };
    /// A call may have been billed.
    pub const UNKNOWN: Self = Self { images: 0, certainty: Certainty::Unknown };

    /// The service said how many images it bills (`usage.image_count`).
    #[must_use]
    pub fn certain(images: u64) -> Self {
        Self { images, certainty: Certainty::Certain }
    }
}

/// How sure a bill is.
///
/// For an example see [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Certainty {
    /// No call, or an error answer that carries no bill.
    None,
    /// The answer carries the bill.
    Certain,
    /// A call may have been billed and nobody knows.
    Unknown,
}

const VERSION: u64 = 1;
