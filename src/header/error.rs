//! What can be wrong with a file's first bytes.

use std::fmt;
use std::io;

use super::{Format, one_of};

/// Why a file has no [`Header`](super::Header).
///
/// Offsets count bytes from the file's start.
///
/// For an example see [`HeaderReader`](super::HeaderReader).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// An image, of a format that is not read.
    #[error("file must be a {} image, found {found}", one_of(Format::ALL))]
    Unsupported {
        /// The format's usual name: `HEIC`, `GIF`, `AVIF`, …
        found: &'static str,
    },
    /// No image.
    #[error("file must be a {} image, found {found}", one_of(Format::ALL))]
    NotAnImage {
        /// What it is instead, where that can be told.
        found: Found,
    },
    /// The header breaks its format's rules.
    #[error("corrupt {format} header at byte {at}: {problem}")]
    Corrupt {
        /// The format its signature announces.
        format: Format,
        /// Offset of what is wrong.
        at: u64,
        /// What is wrong.
        problem: Problem,
    },
    /// The file ends inside its header.
    #[error(
        "truncated {} header: it must go on at byte {at}, found the end after {total} bytes",
        .format.map_or("image", Format::name)
    )]
    Truncated {
        /// The format its signature announces; `None` when the signature itself is cut.
        format: Option<Format>,
        /// Offset of the first byte that was wanted and is not there.
        at: u64,
        /// Length of the file in bytes.
        total: u64,
    },
    /// A JPEG that gives its height only after the first scan, in a DNL segment
    /// (ITU T.81, B.2.5).
    #[error("height must be at byte {at}, found 0: a DNL marker holds it")]
    SizeDeferred {
        /// Offset of the height.
        at: u64,
    },
}

impl HeaderError {
    /// Whether the file is an image, of a format the service does not take.
    ///
    /// ```
    /// use emo_preflight::header;
    ///
    /// assert!(header::from_slice(b"GIF89a\x01\0\x01\0\0\0\0;").unwrap_err().is_unsupported());
    /// ```
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }

    /// Whether the file is no image at all.
    ///
    /// ```
    /// use emo_preflight::header;
    ///
    /// assert!(header::from_slice(b"<html>Not found</html>").unwrap_err().is_not_an_image());
    /// ```
    pub fn is_not_an_image(&self) -> bool {
        matches!(self, Self::NotAnImage { .. })
    }

    /// Whether the file ends inside its header. A caller that knows the transfer to be cut
    /// short can tell the two apart; the reader cannot.
    ///
    /// ```
    /// use emo_preflight::header;
    ///
    /// assert!(header::from_slice(b"\xff\xd8\xff\xe0").unwrap_err().is_truncated());
    /// ```
    pub fn is_truncated(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }
}

/// What a file that is no image is instead.
///
/// For an example see [`HeaderReader`](super::HeaderReader).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// A file of no bytes.
    Empty,
    /// A known kind of file, with its article: `an HTML page`.
    Known(&'static str),
    /// Something else.
    Unknown(FirstBytes),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty file"),
            Self::Known(name) => f.write_str(name),
            Self::Unknown(first) => write!(f, "bytes {first}"),
        }
    }
}

/// Up to 8 bytes from a file's start, shown in hexadecimal.
///
/// For an example see [`HeaderReader`](super::HeaderReader).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FirstBytes {
    bytes: [u8; 8],
    len: usize,
}

impl FirstBytes {
    pub(super) fn of(file: &[u8]) -> Self {
        let mut bytes = [0; 8];
        for (byte, from) in bytes.iter_mut().zip(file) {
            *byte = *from;
        }
        Self { bytes, len: file.len().min(bytes.len()) }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Display for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.as_slice().iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FirstBytes({self})")
    }
}

/// The rule a header breaks.
///
/// For an example see [`HeaderReader`](super::HeaderReader).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A side in pixels out of its format's range.
    #[error("side must be 1 to {max} px, found {found}")]
    Side {
        /// The side as written.
        found: i64,
        /// The format's greatest.
        max: u32,
    },
    /// A WebP canvas of more pixels than RFC 9649, 2.7.1 allows.
    #[error("canvas must be at most 4294967295 pixels, found {width} x {height}")]
    CanvasArea {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// A JPEG segment shorter than its own length field (ITU T.81, B.1.1.4).
    #[error("segment length must be at least 2, found {found}")]
    SegmentLength {
        /// The length as written, in bytes.
        found: u16,
    },
    /// A JPEG frame header whose length does not fit its components (ITU T.81, B.2.2).
    #[error("frame header must be {expected} bytes, found {found}")]
    FrameLength {
        /// 8 + 3 for each component.
        expected: u16,
        /// The length as written, in bytes.
        found: u16,
    },
    /// A JPEG frame header without components (ITU T.81, B.2.2).
    #[error("there must be at least 1 component, found 0")]
    NoComponents,
    /// A JPEG that goes on to its data or ends without a frame header.
    #[error("a frame header (SOF) must come first, found {found}")]
    NoFrame {
        /// The marker: `SOS` or `EOI`.
        found: &'static str,
    },
    /// A first chunk of another type.
    #[error("first chunk must be {expected}, found \"{}\"", .found.escape_ascii())]
    FirstChunk {
        /// The types allowed.
        expected: &'static str,
        /// The type as written.
        found: [u8; 4],
    },
    /// A PNG header chunk of another length.
    #[error("chunk length must be {expected}, found {found}")]
    ChunkLength {
        /// Bytes.
        expected: u32,
        /// The length as written, in bytes.
        found: u32,
    },
    /// A WebP chunk too short for what it must hold.
    #[error("chunk length must be at least {least}, found {found}")]
    ShortChunk {
        /// Bytes.
        least: u32,
        /// The length as written, in bytes.
        found: u32,
    },
    /// A checksum that does not fit what it covers.
    #[error("checksum must be {expected:08x}, found {found:08x}")]
    Checksum {
        /// CRC-32 of the chunk's type and data.
        expected: u32,
        /// The checksum as written.
        found: u32,
    },
    /// A WebP image that is not a VP8 key frame (RFC 6386, 9.1).
    #[error("first frame must be a key frame, found an interframe")]
    Interframe,
    /// A VP8 key frame without its start code (RFC 6386, 9.1).
    #[error("start code must be 9d012a, found {:02x}{:02x}{:02x}", .found[0], .found[1], .found[2])]
    StartCode {
        /// The code as written.
        found: [u8; 3],
    },
    /// A lossless WebP image without its signature (RFC 9649, 3.4).
    #[error("signature must be 2f, found {found:02x}")]
    LosslessSignature {
        /// The signature as written.
        found: u8,
    },
    /// A JPEG frame header with a sample precision that its process does not have (ITU-T T.81,
    /// table B.2).
    #[error(
        "sample precision must be 8, or 12 or up to 16 where the process allows, found {found}"
    )]
    Precision {
        /// Bits a sample.
        found: u8,
    },
    /// A progressive JPEG of more components than there can be (ITU-T T.81, table B.2).
    #[error("there must be at most {most} components, found {found}")]
    Components {
        /// The most of its process.
        most: u8,
        /// The number as written.
        found: u8,
    },
    /// A JPEG component with a sampling factor out of range (ITU-T T.81, B.2.2).
    #[error("sampling factors must be 1 to 4, found {} x {}", .found >> 4, .found & 15)]
    Sampling {
        /// Horizontal factor in the high four bits, vertical in the low.
        found: u8,
    },
    /// A PNG of an unknown colour type (ISO/IEC 15948, 11.2.2).
    #[error("colour type must be 0, 2, 3, 4 or 6, found {found}")]
    ColorType {
        /// The type as written.
        found: u8,
    },
    /// A PNG with a bit depth that its colour type does not have (ISO/IEC 15948, 11.2.2).
    #[error("bit depth must be one of colour type {color}'s, found {found}")]
    BitDepth {
        /// The colour type.
        color: u8,
        /// Bits a sample or palette index.
        found: u8,
    },
    /// A PNG with a method that is not defined (ISO/IEC 15948, 11.2.2).
    #[error("{name} must be at most {most}, found {found}")]
    Method {
        /// Which method.
        name: &'static str,
        /// The greatest defined.
        most: u8,
        /// The method as written.
        found: u8,
    },
    /// A BMP whose bits a pixel do not fit its compression.
    #[error(
        "bits a pixel must be one of {expected:?} with compression {compression}, found {found}"
    )]
    BitCount {
        /// biCompression.
        compression: u32,
        /// Those allowed.
        expected: &'static [u16],
        /// biBitCount as written.
        found: u16,
    },
    /// A file too short for what its header announces.
    #[error("file must have at least {least} bytes to hold its pixels, found {found}")]
    FileLength {
        /// Bytes.
        least: u64,
        /// Bytes.
        found: u64,
        /// Pixels, as the header says.
        width: u32,
        /// Pixels, as the header says.
        height: u32,
    },
    /// A lossy WebP image of an undefined version (RFC 6386, 9.1).
    #[error("version must be at most 3, found {found}")]
    LossyVersion {
        /// The version as written, 4 to 7.
        found: u8,
    },
    /// A lossless WebP image of a later version (RFC 9649, 3.4).
    #[error("version must be 0, found {found}")]
    LosslessVersion {
        /// The version as written, 1 to 7.
        found: u8,
    },
}

/// What keeps [`from_reader`](super::from_reader) from a header.
///
/// For an example see [`HeaderReader`](super::HeaderReader).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The source was read and has no header.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// A number that is no EXIF orientation.
///
/// For an example see [`Orientation`](super::Orientation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("EXIF orientation must be 1 to 8, found {0}")]
pub struct InvalidOrientation(pub(super) u8);
