//! The documented limits on a portrait, as data, and what breaks them.

use std::fmt;

use crate::header::{Format, Header, one_of};

/// What an image must satisfy before a call is worth its money.
///
/// Source: the vendor's API page of `emo-detect-v1`: JPG/JPEG, PNG, BMP or WebP, shortest side
/// at least 400 px, longest side at most 7,000 px. The service's own error text says "larger than
/// 400 … smaller than 7000", so whether 400 and 7,000 themselves pass is not certain. The default
/// follows the page (both inclusive); a pipeline that has seen otherwise changes the numbers:
///
/// ```
/// use emo_preflight::Limits;
/// let mut strict = Limits::default();
/// strict.shortest_side_min = 401;
/// strict.longest_side_max = 6_999;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The formats that may be paid for. Default: those the service takes.
    pub formats: Vec<Format>,
    /// The least length of the shorter side, in pixels, inclusive. Default 400.
    pub shortest_side_min: u32,
    /// The greatest length of the longer side, in pixels, inclusive. Default 7,000.
    pub longest_side_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Not all that can be read, should that ever be more.
            formats: vec![Format::Jpeg, Format::Png, Format::Bmp, Format::WebP],
            shortest_side_min: 400,
            longest_side_max: 7_000,
        }
    }
}

impl Limits {
    /// Every limit that `header` breaks, in a fixed order; empty when it may be sent.
    ///
    /// ```
    /// use emo_preflight::{Limits, Violation, header::{Format, Header}};
    /// let ribbon = Header::new(Format::Png, 300, 9_000, None);
    /// let broken = Limits::default().check(&ribbon);
    /// assert_eq!(broken[0], Violation::ShortestSideBelowMin { found: 300, required: 400 });
    /// assert_eq!(broken[1].to_string(), "longest side must be at most 7000 px, found 9000 px");
    /// ```
    #[must_use]
    pub fn check(&self, header: &Header) -> Vec<Violation> {
        let format = (!self.formats.contains(&header.format))
            .then(|| Violation::Format { found: header.format, required: self.formats.clone() });
        let shortest = (header.shortest_side() < self.shortest_side_min).then(|| {
            Violation::ShortestSideBelowMin {
                found: header.shortest_side(),
                required: self.shortest_side_min,
            }
        });
        let longest = (header.longest_side() > self.longest_side_max).then(|| {
            Violation::LongestSideAboveMax {
                found: header.longest_side(),
                required: self.longest_side_max,
            }
        });
        format.into_iter().chain(shortest).chain(longest).collect()
    }
}

/// A limit that an image breaks, with what was found and what was required.
///
/// For an example see [`Limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The format is none that the limits allow.
    Format {
        /// The image's format.
        found: Format,
        /// The formats allowed.
        required: Vec<Format>,
    },
    /// The shorter side is too short.
    ShortestSideBelowMin {
        /// The shorter side, in pixels.
        found: u32,
        /// The least length allowed, in pixels.
        required: u32,
    },
    /// The longer side is too long.
    LongestSideAboveMax {
        /// The longer side, in pixels.
        found: u32,
        /// The greatest length allowed, in pixels.
        required: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { found, required } => {
                write!(f, "format must be {}, found {found}", one_of(required))
            }
            Self::ShortestSideBelowMin { found, required } => {
                write!(f, "shortest side must be at least {required} px, found {found} px")
            }
            Self::LongestSideAboveMax { found, required } => {
                write!(f, "longest side must be at most {required} px, found {found} px")
            }
        }
    }
}
