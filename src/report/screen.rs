//! What the face screen saw, as a result has it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rules::BBox;

/// What the face screen saw in an image.
///
/// ```
/// use emo_preflight::{Advice, Screen};
/// let json = r#"{"faces":[{"box":[210,140,390,320],"score":61.5}]}"#;
/// let screen: Screen = serde_json::from_str(json)?;
/// assert_eq!(screen.faces[0].bbox.width(), 180.0);
/// assert_eq!(screen.advice, None);
/// assert_eq!(Advice::NoFace.as_str(), "no_face");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Screen {
    /// The faces, the surest first.
    pub faces: Vec<ScreenFace>,
    /// What speaks against the image; absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<Advice>,
}

/// A face that the screen saw.
///
/// For an example see [`Screen`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScreenFace {
    /// Where it is, in pixels of the image as it is stored: an EXIF orientation is not applied to it.
    #[serde(rename = "box")]
    pub bbox: BBox,
    /// How sure the detector is: above 0, of a clear frontal face 10 to 100.
    pub score: f64,
}

#[cfg(feature = "faces")]
impl ScreenFace {
    pub(crate) fn new(bbox: BBox, score: f64) -> Self {
        Self { bbox, score }
    }
}

/// What the face screen has against an image.
///
/// For an example see [`Screen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Advice {
    /// There is no frontal face.
    NoFace,
    /// There is a second face of nearly the size of the first.
    SeveralFaces,
    /// The largest face is too small.
    FaceTooSmall,
    /// No decoder takes the bytes.
    Undecodable,
    /// The face leaves the image. Said only where the service passed no verdict but false.
    FaceCutOff,
    /// A face is there once the image is turned. Said only where the service passed no verdict but
    /// false.
    FaceTurned,
}

impl Advice {
    /// The advice's name in the JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoFace => "no_face",
            Self::SeveralFaces => "several_faces",
            Self::FaceTooSmall => "face_too_small",
            Self::Undecodable => "undecodable",
            Self::FaceCutOff => "face_cut_off",
            Self::FaceTurned => "face_turned",
        }
    }

    /// The advice in words for people.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::NoFace => "no frontal face was found",
            Self::SeveralFaces => "a second face is nearly as large as the first",
            Self::FaceTooSmall => "the face is too small",
            Self::Undecodable => "the image cannot be decoded",
            Self::FaceCutOff => "the face leaves the image",
            Self::FaceTurned => {
                "a face was found only once the image was turned by a quarter or half"
            }
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
