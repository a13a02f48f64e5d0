//! JPEG: from marker to marker until the frame header (ITU T.81, Annex B).

use super::chain::Chain;
use super::cursor::{Carry, Cursor};
use super::exif::Exif;
use super::{Format, Header, HeaderError, Look, Orientation, Problem, Shortcut, Step};

/// Most files: whole segments without anything odd between them, up to the frame header. Reads
/// them where they lie, in a third of the walker's time, and leaves all others, the wrong ones
/// among them, to it.
#[inline]
pub(super) fn look(head: &[u8]) -> Look {
    plain(head).map_or(Look::Jpeg, Look::Header)
}

#[inline]
fn plain(head: &[u8]) -> Option<Header> {
    let mut segments = head.get(SOI_LEN..)?;
    let mut exif = Exif::Unseen;
    loop {
        let &[0xff, code, length_0, length_1] = segments.first_chunk()? else {
            return None;
        };
        match Marker::of(code) {
            Marker::Fill => segments = segments.get(1..)?,
            Marker::Frame => {
                let frame = segments.get(MARKER_LEN..)?.first_chunk()?;
                return frame_header(0, *frame, exif.orientation()).ok();
            }
            Marker::Segment => {
                let length = usize::from(u16::from_be_bytes([length_0, length_1]));
                let end = length.checked_add(MARKER_LEN)?;
                let (segment, behind) = segments.split_at_checked(end)?;
                if code == APP1 {
                    exif.whole(segment.get(MARKER_LEN + LENGTH_LEN..)?);
                } else if length < LENGTH_LEN {
                    return None;
                }
                segments = behind;
            }
            Marker::Alone | Marker::End(_) => return None,
        }
    }
}

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
            at: SOI_LEN as u64,
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
                    self.part = match Marker::of(code) {
                        Marker::Fill => Part::Code,
                        Marker::Alone => Part::Marker,
                        Marker::Segment => Part::Length(code),
                        Marker::Frame => Part::Frame,
                        Marker::End(found) => return Err(no_frame(cursor, found)),
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
                    return frame_header(at, frame, self.exif.orientation()).map(Some);
                }
            }
        }
    }
}

/// T.81 B.2.2: Lf, P, Y, X, Nf, all big-endian; `at` is where they lie.
#[inline]
fn frame_header(
    at: u64,
    frame: [u8; FRAME_LEN],
    orientation: Option<Orientation>,
) -> Result<Header, HeaderError> {
    let [length_0, length_1, _precision, y_0, y_1, x_0, x_1, components] = frame;
    let length = u16::from_be_bytes([length_0, length_1]);
    let (height, width) = (u16::from_be_bytes([y_0, y_1]), u16::from_be_bytes([x_0, x_1]));

    if components == 0 {
        return Err(corrupt(at.saturating_add(7), Problem::NoComponents));
    }
    let expected = u16::from(components).saturating_mul(3).saturating_add(8);
    if length != expected {
        return Err(corrupt(at, Problem::FrameLength { expected, found: length }));
    }
    if width == 0 {
        let problem = Problem::Side { found: 0, max: u16::MAX.into() };
        return Err(corrupt(at.saturating_add(5), problem));
    }
    if height == 0 {
        return Err(HeaderError::SizeDeferred { at: at.saturating_add(3) });
    }
    Ok(Header::new(Format::Jpeg, width.into(), height.into(), orientation))
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

/// What follows a marker's second byte (T.81, table B.1).
enum Marker {
    /// The marker's second byte is still to come (B.1.1.2).
    Fill,
    /// A stuffed zero, TEM, RST0 to RST7 and a nested SOI stand alone.
    Alone,
    Segment,
    Frame,
    /// Behind it there can be no frame header.
    End(&'static str),
}

impl Marker {
    #[inline]
    fn of(code: u8) -> Self {
        match code {
            0xff => Self::Fill,
            0x00 | 0x01 | 0xd0..=0xd8 => Self::Alone,
            0xd9 => Self::End("EOI"),
            0xda => Self::End("SOS"),
            // DHT, JPG and DAC lie among the SOFs.
            0xc4 | 0xc8 | 0xcc => Self::Segment,
            0xc0..=0xcf => Self::Frame,
            _ => Self::Segment,
        }
    }
}

fn no_frame(behind: &Cursor<'_>, found: &'static str) -> HeaderError {
    corrupt(behind.at().saturating_sub(2), Problem::NoFrame { found })
}

#[cold]
fn corrupt(at: u64, problem: Problem) -> HeaderError {
    HeaderError::Corrupt { format: Format::Jpeg, at, problem }
}

const SOI_LEN: usize = 2;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const MARKER_LEN: usize = 2;
const LENGTH_LEN: usize = 2;
/// A frame header without its component parameters.
const FRAME_LEN: usize = 8;
