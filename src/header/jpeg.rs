//! JPEG: from marker to marker until the frame header (ITU T.81, Annex B).

use super::chain::Chain;
use super::cursor::{Carry, Cursor};
use super::exif::Exif;
use super::{Format, Header, HeaderError, Problem, Shortcut, Step};

/// Walks the segments after SOI. Only the outermost level is seen: pictures inside APPn
/// segments are skipped with them.
#[derive(Clone, Debug)]
pub(super) struct Walker {
    /// Offset of the next byte to take.
    at: u64,
    part: Part,
    carry: Carry<FRAME_LEN>,
    exif: Exif,
    chain: Option<Chain>,
}

impl Walker {
    #[inline]
    pub(super) const fn new() -> Self {
        Self {
            at: SOI_LEN,
            part: Part::Marker,
            carry: Carry::new(),
            exif: Exif::Unseen,
            chain: None,
        }
    }

    /// A jump that the last chain met announces, if it still leads forward.
    pub(super) fn shortcut(&self) -> Option<Shortcut> {
        let shortcut = self.chain.as_ref()?.shortcut();
        (shortcut.at > self.at).then_some(shortcut)
    }

    /// Goes on at the end of a chain, if `bytes` are its last segment.
    pub(super) fn land(&mut self, bytes: &[u8]) -> bool {
        let Some(shortcut) = self.shortcut() else { return false };
        if !self.chain.take().is_some_and(|chain| chain.ends_with(bytes)) {
            return false;
        }
        self.at = shortcut.at;
        self.part = Part::Marker;
        self.carry = Carry::new();
        self.exif.jump();
        true
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn need(&self) -> Step {
        let item = match self.part {
            Part::Marker => 2,
            Part::Code => 1,
            Part::Length(_) => LENGTH_LEN,
            Part::Frame => FRAME_LEN,
        };
        Step::Need { at: self.at, len: item.saturating_sub(self.carry.len()) }
    }

    #[inline]
    pub(super) fn feed(&mut self, fed: Cursor<'_>) -> Result<Option<Header>, HeaderError> {
        self.exif.feed(fed);
        let Some(mut cursor) = fed.from(self.at) else {
            return Ok(None);
        };
        let found = self.walk(fed, &mut cursor);
        self.at = cursor.at();
        found
    }

    /// `fed` is all that came, `cursor` what is left of it.
    #[inline]
    fn walk(
        &mut self,
        fed: Cursor<'_>,
        cursor: &mut Cursor<'_>,
    ) -> Result<Option<Header>, HeaderError> {
        loop {
            match self.part {
                // libjpeg (jdmarker.c, next_marker) skips junk, fill bytes and stuffed zeros
                // before a marker; T.81 B.1.1.2 allows only the fill bytes.
                Part::Marker => {
                    skip_plain(cursor);
                    let bytes = cursor.bytes();
                    let Some(junk) = bytes.iter().position(|&byte| byte == 0xff) else {
                        cursor.skip(bytes.len());
                        return Ok(None);
                    };
                    cursor.skip(junk.saturating_add(1));
                    self.part = Part::Code;
                }
                Part::Code => {
                    let Some(code) = cursor.byte() else {
                        return Ok(None);
                    };
                    self.part = match code {
                        0xff => Part::Code,
                        // A stuffed zero, TEM, RST0 to RST7 and a nested SOI stand alone.
                        0x00 | 0x01 | 0xd0..=0xd8 => Part::Marker,
                        0xd9 => return Err(no_frame(cursor, "EOI")),
                        0xda => return Err(no_frame(cursor, "SOS")),
                        // DHT, JPG and DAC lie among the SOFs (T.81, table B.1).
                        0xc4 | 0xc8 | 0xcc => Part::Length(code),
                        0xc0..=0xcf => Part::Frame,
                        _ => Part::Length(code),
                    };
                }
                Part::Length(code) => {
                    let at = cursor.at().saturating_sub(self.carry.len() as u64);
                    let Some(length) = self.carry.take(cursor).map(u16::from_be_bytes) else {
                        return Ok(None);
                    };
                    let Some(rest) = usize::from(length).checked_sub(LENGTH_LEN) else {
                        return Err(corrupt(at, Problem::SegmentLength { found: length }));
                    };
                    if code == APP1 {
                        self.exif.segment(cursor.at(), rest);
                        self.exif.feed(fed);
                    }
                    // What is at hand to its end needs no jump.
                    if matches!(code, APP1 | APP2) && cursor.bytes().len() < rest {
                        let begin = at.saturating_sub(2);
                        let segment = fed.from(begin).map_or(&[][..], |c| c.bytes());
                        self.chain = Chain::announced(begin, segment);
                    }
                    cursor.skip(rest);
                    self.part = Part::Marker;
                }
                Part::Frame => {
                    let at = cursor.at().saturating_sub(self.carry.len() as u64);
                    let Some(frame) = self.carry.take(cursor) else {
                        return Ok(None);
                    };
                    return self.frame(at, frame).map(Some);
                }
            }
        }
    }

    /// T.81 B.2.2: Lf, P, Y, X, Nf, all big-endian.
    #[inline]
    fn frame(&self, at: u64, frame: [u8; FRAME_LEN]) -> Result<Header, HeaderError> {
        let [length_0, length_1, _precision, y_0, y_1, x_0, x_1, components] = frame;
        let length = u16::from_be_bytes([length_0, length_1]);
        let (height, width) = (u16::from_be_bytes([y_0, y_1]), u16::from_be_bytes([x_0, x_1]));
        let [height_at, width_at, components_at] = [3, 5, 7].map(|i| at.saturating_add(i));

        if components == 0 {
            return Err(corrupt(components_at, Problem::NoComponents));
        }
        let expected = u16::from(components).saturating_mul(3).saturating_add(8);
        if length != expected {
            return Err(corrupt(at, Problem::FrameLength { expected, found: length }));
        }
        if width == 0 {
            return Err(corrupt(width_at, Problem::Side { found: 0, max: u16::MAX.into() }));
        }
        if height == 0 {
            return Err(HeaderError::SizeDeferred { at: height_at });
        }
        Ok(Header::new(Format::Jpeg, width.into(), height.into(), self.exif.orientation()))
    }
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// Looking for the 0xFF of the next marker.
    Marker,
    /// Behind a 0xFF.
    Code,
    /// Behind the marker of a segment that is skipped.
    Length(u8),
    /// Behind an SOF marker.
    Frame,
}

/// Goes over segments that need no second look, as most do: a fifth off the time of a file.
#[inline]
fn skip_plain(cursor: &mut Cursor<'_>) {
    while let Some(&[0xff, DQT | DHT | APP0 | APP3..=APP15, length_0, length_1]) =
        cursor.bytes().first_chunk()
    {
        let length = usize::from(u16::from_be_bytes([length_0, length_1]));
        if length < LENGTH_LEN {
            return;
        }
        cursor.skip(length.saturating_add(2));
    }
}

fn no_frame(behind: &Cursor<'_>, found: &'static str) -> HeaderError {
    corrupt(behind.at().saturating_sub(2), Problem::NoFrame { found })
}

fn corrupt(at: u64, problem: Problem) -> HeaderError {
    HeaderError::Corrupt { format: Format::Jpeg, at, problem }
}

const SOI_LEN: u64 = 2;
const DHT: u8 = 0xc4;
const DQT: u8 = 0xdb;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const APP3: u8 = 0xe3;
const APP15: u8 = 0xef;
const LENGTH_LEN: usize = 2;
/// A frame header without its component parameters.
const FRAME_LEN: usize = 8;
