//! What must hold between the service's two boxes, the image and the requested aspect ratio.
//!
//! A box is `[x1, y1, x2, y2]`: upper-left and lower-right corner in pixels (vendor page of
//! `emo-detect-v1`). Each side of a box is a rounded pixel, so an exact comparison would reject
//! real answers (the vendor's own emoji sample is 546×545 for 1:1): a side may be off by one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::header::{Header, Orientation};

/// A bounding box: upper-left and lower-right corner, in pixels of the image.
///
/// Any four numbers make one: whether it is well-formed is [`check_boxes`]'s to say.
///
/// For an example see [`check_boxes`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BBox {
    /// Left edge.
    pub x1: f64,
    /// Upper edge.
    pub y1: f64,
    /// Right edge.
    pub x2: f64,
    /// Lower edge.
    pub y2: f64,
}

impl BBox {
    /// Right edge less left edge, in pixels.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.x2 - self.x1
    }

    /// Lower edge less upper edge, in pixels.
    #[must_use]
    pub fn height(&self) -> f64 {
        self.y2 - self.y1
    }

    fn is_degenerate(&self) -> bool {
        // Written so that a NaN counts as degenerate.
        !(self.width() > 0.0 && self.height() > 0.0)
    }

    fn contains(&self, other: &Self) -> bool {
        self.x1 <= other.x1 && self.y1 <= other.y1 && self.x2 >= other.x2 && self.y2 >= other.y2
    }

    fn has_ratio(&self, (a, b): (f64, f64)) -> bool {
        (self.width() * b - self.height() * a).abs() <= a + b
    }
}

impl From<[f64; 4]> for BBox {
    fn from([x1, y1, x2, y2]: [f64; 4]) -> Self {
        Self { x1, y1, x2, y2 }
    }
}

impl From<BBox> for [f64; 4] {
    fn from(b: BBox) -> Self {
        [b.x1, b.y1, b.x2, b.y2]
    }
}

impl fmt::Display for BBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}, {}, {}]", self.x1, self.y1, self.x2, self.y2)
    }
}

impl Serialize for BBox {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The service sends whole pixels; emo-v1 gets back what it sent, not `302.0`.
        let whole = |v: f64| v.fract() == 0.0 && v.abs() <= MAX_EXACT_INTEGER;
        let sides = <[f64; 4]>::from(*self);
        if sides.iter().all(|v| whole(*v)) {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            sides.map(|v| v as i64).serialize(serializer)
        } else {
            sides.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for BBox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[f64; 4]>::deserialize(deserializer).map(Self::from)
    }
}

/// The aspect ratio asked for, `parameters.ratio` of the call (vendor page).
/// ```
/// use emo_preflight::AspectRatio;
/// assert_eq!("3:4".parse(), Ok(AspectRatio::Portrait));
/// assert_eq!(AspectRatio::default().to_string(), "1:1");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AspectRatio {
    /// `1:1`, a profile image; EMO's video is 512×512.
    #[default]
    #[serde(rename = "1:1")]
    Square,
    /// `3:4`, a half-body portrait; EMO's video is 512×704.
    #[serde(rename = "3:4")]
    Portrait,
}

impl AspectRatio {
    /// The ratio as the service writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Square => "1:1",
            Self::Portrait => "3:4",
        }
    }

    fn terms(self) -> (f64, f64) {
        match self {
            Self::Square => (1.0, 1.0),
            Self::Portrait => (3.0, 4.0),
        }
    }
}

impl fmt::Display for AspectRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AspectRatio {
    type Err = UnknownRatio;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        [Self::Square, Self::Portrait]
            .into_iter()
            .find(|ratio| ratio.as_str() == s)
            .ok_or_else(|| UnknownRatio(s.to_owned()))
    }
}

/// A text that is no ratio the service knows.
///
/// For an example see [`check_boxes`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("aspect ratio must be 1:1 or 3:4, found {0:?}")]
pub struct UnknownRatio(String);

/// Something that does not hold between the boxes, the image and the ratio.
///
/// For an example see [`check_boxes`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BoxProblem {
    /// A box without area: its right edge is not right of its left, or its lower not below its upper.
    Degenerate {
        /// `face_bbox` or `ext_bbox`.
        name: &'static str,
        /// The box as answered.
        found: BBox,
    },
    /// `ext_bbox` has another aspect ratio than the one requested, by more than a pixel a side.
    RatioMismatch {
        /// Width of the box, in pixels.
        width: f64,
        /// Height of the box, in pixels.
        height: f64,
        /// The ratio requested.
        required: AspectRatio,
    },
    /// 3:4 was requested and `ext_bbox` is 8:11, the shape of EMO's 512×704 video.
    Ratio8To11 {
        /// Width of the box, in pixels.
        width: f64,
        /// Height of the box, in pixels.
        height: f64,
    },
    /// `ext_bbox` leaves the image.
    OutOfImage {
        /// The box as answered.
        found: BBox,
        /// Width of the image as stored, in pixels.
        width: u32,
        /// Height of the image as stored, in pixels.
        height: u32,
    },
    /// `face_bbox` is not within `ext_bbox`.
    FaceOutsideExt {
        /// The face box.
        face: BBox,
        /// The dynamic-area box.
        ext: BBox,
    },
}

impl fmt::Display for BoxProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Degenerate { name, found } => {
                write!(f, "{name} must have an area, found {found}")
            }
            Self::RatioMismatch { width, height, required } => {
                write!(
                    f,
                    "ext_bbox must be {required} within one pixel a side, found {width}×{height}"
                )
            }
            Self::Ratio8To11 { width, height } => write!(
                f,
                "ext_bbox must be 3:4 within one pixel a side, found {width}×{height}, which is 8:11, \
                 the shape of EMO's 512×704 video"
            ),
            Self::OutOfImage { found, width, height } => {
                write!(f, "ext_bbox must lie within the {width}×{height} image, found {found}")
            }
            Self::FaceOutsideExt { face, ext } => {
                write!(f, "face_bbox must lie within ext_bbox {ext}, found {face}")
            }
        }
    }
}

/// Everything that does not hold of an answer's boxes, in a fixed order; empty when all does.
///
/// `image` is what the local stage found; without it the bounds are not checked. Whether the
/// service counts pixels in the stored or in the EXIF-rotated image is not documented, so where
/// the orientation swaps the sides, or is unknown, a box that fits either way passes.
///
/// ```
/// use emo_preflight::{AspectRatio, BBox, check_boxes};
/// let face = BBox::from([302.0, 286.0, 610.0, 593.0]); // the vendor page's sample
/// let ext = BBox::from([71.0, 9.0, 840.0, 778.0]);
/// assert!(check_boxes(&face, &ext, AspectRatio::Square, None).is_empty());
/// assert_eq!(check_boxes(&face, &ext, AspectRatio::Portrait, None).len(), 1);
/// ```
#[must_use]
pub fn check_boxes(
    face: &BBox,
    ext: &BBox,
    ratio: AspectRatio,
    image: Option<&Header>,
) -> Vec<BoxProblem> {
    let mut problems = Vec::new();
    for (name, found) in [("face_bbox", face), ("ext_bbox", ext)] {
        if found.is_degenerate() {
            problems.push(BoxProblem::Degenerate { name, found: *found });
        }
    }
    if !ext.is_degenerate() && !ext.has_ratio(ratio.terms()) {
        let (width, height) = (ext.width(), ext.height());
        problems.push(if ratio == AspectRatio::Portrait && ext.has_ratio(EMO_PORTRAIT_VIDEO) {
            BoxProblem::Ratio8To11 { width, height }
        } else {
            BoxProblem::RatioMismatch { width, height, required: ratio }
        });
    }
    if let Some(image) = image
        && !lies_in(ext, image)
    {
        problems.push(BoxProblem::OutOfImage {
            found: *ext,
            width: image.width,
            height: image.height,
        });
    }
    if !ext.contains(face) {
        problems.push(BoxProblem::FaceOutsideExt { face: *face, ext: *ext });
    }
    problems
}

fn lies_in(ext: &BBox, image: &Header) -> bool {
    let within = |width: u32, height: u32| {
        BBox { x1: 0.0, y1: 0.0, x2: f64::from(width), y2: f64::from(height) }.contains(ext)
    };
    let may_be_swapped = image.orientation.is_none_or(Orientation::swaps_sides);
    within(image.width, image.height) || (may_be_swapped && within(image.height, image.width))
}

/// 512×704 in lowest terms.
const EMO_PORTRAIT_VIDEO: (f64, f64) = (8.0, 11.0);

/// 2^53: beyond it an `f64` no longer tells neighbouring integers apart.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;
