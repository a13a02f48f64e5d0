//! JPEG: from marker to marker until the frame header (ITU T.81, Annex B).

use super::chain::Chain;
use super::cursor::{Carry, Cursor};
use super::exif::Exif;
use super::{Format, Header, HeaderError, Orientation, Problem, Shortcut, Step};

/// Walks the segments after SOI. Only the outermost level is seen: images inside APPn
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
            Part::Frame(_) => FRAME_LEN,
            Part::Component { .. } => COMPONENT_LEN,
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
                        Marker::Frame => Part::Frame(code),
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
                    if cursor.bytes().len() < rest {
                        let begin = at.saturating_sub(2);
                        let segment = fed.from(begin).map_or(&[][..], |c| c.bytes());
                        self.chain = Chain::announced(begin, segment);
                    }
                    cursor.skip(rest);
                    self.part = Part::Marker;
                }
                Part::Frame(code) => {
                    let at = cursor.at().saturating_sub(self.carry.len() as u64);
                    let Some(frame) = self.carry.take(cursor) else {
                        return Ok(None);
                    };
                    let frame = Frame::read(code, at, frame)?;
                    self.part = Part::Component { frame, left: frame.looked_at() };
                }
                Part::Component { frame, left: 0 } => {
                    return frame.header(self.exif.orientation()).map(Some);
                }
                Part::Component { frame, left } => {
                    let at = cursor.at().saturating_sub(self.carry.len() as u64);
                    let Some(component) = self.carry.take(cursor) else {
                        return Ok(None);
                    };
                    component_holds(at, component)?;
                    self.part = Part::Component { frame, left: left.saturating_sub(1) };
                }
            }
        }
    }
}

/// A frame header without its components' parameters.
#[derive(Clone, Copy, Debug)]
struct Frame {
    at: u64,
    width: u16,
    height: u16,
    components: u8,
}

impl Frame {
    /// T.81 B.2.2: Lf, P, Y, X, Nf, all big-endian; `at` is where they lie, `code` which SOF it is.
    #[inline]
    fn read(code: u8, at: u64, frame: [u8; FRAME_LEN]) -> Result<Self, HeaderError> {
        let [length_0, length_1, precision, y_0, y_1, x_0, x_1, components] = frame;
        let length = u16::from_be_bytes([length_0, length_1]);
        let (height, width) = (u16::from_be_bytes([y_0, y_1]), u16::from_be_bytes([x_0, x_1]));

        // T.81, table B.2: sample precision and number of components by process.
        let (precisions, most): (&'static [u8], u8) = match code {
            0xc0 => (&[8], u8::MAX),
            0xc2 | 0xc6 | 0xca | 0xce => (&[8, 12], 4),
            0xc1 | 0xc5 | 0xc9 | 0xcd => (&[8, 12], u8::MAX),
            _ => (&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], u8::MAX),
        };
        if !precisions.contains(&precision) {
            return Err(corrupt(at.saturating_add(2), Problem::Precision { found: precision }));
        }
        if components == 0 {
            return Err(corrupt(at.saturating_add(7), Problem::NoComponents));
        }
        if components > most {
            let problem = Problem::Components { most, found: components };
            return Err(corrupt(at.saturating_add(7), problem));
        }
        let expected = u16::from(components).saturating_mul(3).saturating_add(8);
        if length != expected {
            return Err(corrupt(at, Problem::FrameLength { expected, found: length }));
        }
        if width == 0 {
            let problem = Problem::Side { found: 0, max: u16::MAX.into() };
            return Err(corrupt(at.saturating_add(5), problem));
        }
        Ok(Self { at, width, height, components })
    }

    /// How many components' parameters are looked at: those of any image in use.
    #[inline]
    fn looked_at(self) -> usize {
        usize::from(self.components.min(4))
    }

    #[inline]
    fn header(self, orientation: Option<Orientation>) -> Result<Header, HeaderError> {
        if self.height == 0 {
            return Err(HeaderError::SizeDeferred { at: self.at.saturating_add(3) });
        }
        Ok(Header::new(Format::Jpeg, self.width.into(), self.height.into(), orientation))
    }
}

/// T.81 B.2.2: Ci, Hi and Vi, Tqi.
#[inline]
fn component_holds(at: u64, [_, sampling, _]: [u8; COMPONENT_LEN]) -> Result<(), HeaderError> {
    let holds = |factor: u8| (1..=4).contains(&factor);
    match holds(sampling >> 4) && holds(sampling & 0x0f) {
        true => Ok(()),
        false => Err(corrupt(at.saturating_add(1), Problem::Sampling { found: sampling })),
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
    /// Behind the marker of this SOF.
    Frame(u8),
    /// Behind a frame header's fixed part, or a component's parameters.
    Component { frame: Frame, left: usize },
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
const LENGTH_LEN: usize = 2;
/// A frame header without its component parameters.
const FRAME_LEN: usize = 8;
/// A component's parameters in a frame header.
const COMPONENT_LEN: usize = 3;
