//! What a header tells.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::InvalidOrientation;

/// A format that is read; the service takes all of these today.
///
/// For an example see [`from_slice`](super::from_slice).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// JPEG, ITU T.81: any coding process.
    Jpeg,
    /// PNG, animated or not.
    Png,
    /// Windows or OS/2 bitmap.
    Bmp,
    /// WebP, RFC 9649: lossy, lossless or extended.
    WebP,
}

impl Format {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Jpeg, Self::Png, Self::Bmp, Self::WebP];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Bmp => "BMP",
            Self::WebP => "WebP",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// "JPEG, PNG, BMP or WebP".
pub(crate) fn one_of(formats: &[Format]) -> String {
    let names: Vec<String> = formats.iter().map(ToString::to_string).collect();
    match names.split_last() {
        None => "none (the limits allow no format)".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// How an image is to be turned or mirrored for display: the EXIF orientation, 1 to 8.
///
/// CIPA DC-008 (EXIF 2.32), 4.6.4, tag 0x0112. Serialized as the number.
///
/// ```
/// use emo_preflight::header::Orientation;
///
/// assert_eq!(Orientation::new(6).map(Orientation::swaps_sides), Some(true));
/// assert_eq!(Orientation::new(9), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Orientation(u8);

impl Orientation {
    /// 1: shown as stored.
    pub const NORMAL: Self = Self(1);

    /// The orientation `value` stands for; `None` unless it is 1 to 8.
    pub const fn new(value: u8) -> Option<Self> {
        match value {
            1..=8 => Some(Self(value)),
            _ => None,
        }
    }

    /// The EXIF value, 1 to 8.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether the shown image is as wide as the stored one is high: 5 to 8.
    pub const fn swaps_sides(self) -> bool {
        self.0 >= 5
    }
}

impl TryFrom<u8> for Orientation {
    type Error = InvalidOrientation;

    fn try_from(value: u8) -> Result<Self, InvalidOrientation> {
        Self::new(value).ok_or(InvalidOrientation(value))
    }
}

impl From<Orientation> for u8 {
    fn from(orientation: Orientation) -> Self {
        orientation.get()
    }
}

/// What a file's header says.
///
/// For an example see [`from_slice`](super::from_slice).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Header {
    /// What the bytes are, whatever the file's name or Content-Type says.
    pub format: Format,
    /// Pixels as stored, before any EXIF rotation; at least 1.
    pub width: u32,
    /// Pixels as stored, before any EXIF rotation; at least 1.
    pub height: u32,
    /// `None` when unknown: the bytes that would tell were not seen, or make no sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<Orientation>,
}

impl Header {
    /// A header known from elsewhere. The sides are pixels as stored, at least 1.
    pub const fn new(
        format: Format,
        width: u32,
        height: u32,
        orientation: Option<Orientation>,
    ) -> Self {
        Self { format, width, height, orientation }
    }

    /// The smaller of width and height, in pixels.
    pub const fn shortest_side(&self) -> u32 {
        if self.width < self.height { self.width } else { self.height }
    }

    /// The greater of width and height, in pixels.
    pub const fn longest_side(&self) -> u32 {
        if self.width > self.height { self.width } else { self.height }
    }
}
