//! Format and sides of an image from its first bytes, without I/O.
//!
//! [`HeaderReader`] is fed bytes in any split and answers with a [`Header`], with the bytes it
//! wants next, or with a [`HeaderError`]. [`from_slice`] and [`from_reader`] drive it.
//!
//! It reads no pixels: a file whose header is right and whose pixels are damaged passes. It
//! allocates nothing, whatever a header claims.

mod bmp;
mod chain;
mod cursor;
mod error;
mod exif;
mod jpeg;
mod png;
mod sniff;
mod types;
mod webp;

use std::io::{self, Read, Seek, SeekFrom};

use arrayvec::ArrayVec;

use cursor::Cursor;
pub use error::{FirstBytes, Found, HeaderError, InvalidOrientation, Problem, ReadError};
pub(crate) use types::one_of;
pub use types::{Format, Header, Orientation};

/// Where a [`HeaderReader`] stands.
///
/// For an example see [`HeaderReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The header is known; no more bytes are wanted.
    Done(Header),
    /// More bytes are wanted.
    Need {
        /// Offset in the file of the first byte wanted.
        at: u64,
        /// How many bytes bring the reader on, at least 1. More are welcome.
        len: usize,
    },
}

/// A jump over a chain of segments, to the end that it announces.
///
/// For an example see [`HeaderReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortcut {
    /// Offset in the file of the first byte wanted at the landing.
    pub at: u64,
    /// How many bytes tell whether the landing is good.
    pub len: usize,
}

/// Reads a header from bytes fed in any split.
///
/// The answer does not depend on the split. Neither the first nor the last byte of a
/// [wish](Step::Need) ever moves back, so a caller that can seek may skip to it; then the sides
/// are the same and the orientation the same or unknown. Once an answer or an error is given it
/// stays.
///
/// ```
/// use emo_preflight::header::{Format, HeaderReader, Step};
///
/// let file = b"BM\x1e\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0\x80\x02\xe0\x01\x01\0\x18\0";
/// let mut reader = HeaderReader::new();
/// assert_eq!(reader.step()?, Step::Need { at: 0, len: 12 });
/// assert_eq!(reader.feed(0, &file[..15])?, Step::Need { at: 15, len: 3 });
///
/// let Step::Done(header) = reader.feed(15, &file[15..])? else { panic!("the header is whole") };
/// assert_eq!((header.format, header.width, header.height), (Format::Bmp, 640, 480));
/// # Ok::<(), emo_preflight::header::HeaderError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeaderReader {
    /// The file's first bytes as far as they had to be kept.
    head: ArrayVec<u8, { sniff::WINDOW }>,
    state: State,
    /// How long the file must be for its header to hold, and how long it is, where that is known.
    least: u64,
    total: Option<u64>,
}

impl HeaderReader {
    /// A reader that has seen nothing.
    pub const fn new() -> Self {
        let state = State::Head { wanted: SIGNATURE_LEN };
        Self { head: ArrayVec::new_const(), state, least: 0, total: None }
    }

    /// Where the reader stands, without feeding it.
    ///
    /// # Errors
    /// The error that an earlier call has answered.
    pub fn step(&self) -> Result<Step, HeaderError> {
        Ok(match &self.state {
            State::Head { wanted } => Step::Need {
                at: self.head.len() as u64,
                len: wanted.saturating_sub(self.head.len()),
            },
            State::Jpeg(walker) => walker.need(),
            State::End(end) => {
                let header = end.clone()?;
                self.hold_against_total(header)?;
                Step::Done(header)
            }
        })
    }

    /// Says how long the file is, where that is known: an uncompressed BMP must be as long as its
    /// header says. Without it any length will do, for whoever has a file's first bytes only.
    pub fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    fn hold_against_total(&self, header: Header) -> Result<(), HeaderError> {
        match self.total {
            Some(found) if found < self.least => Err(HeaderError::Corrupt {
                format: header.format,
                at: found,
                problem: Problem::FileLength {
                    least: self.least,
                    found,
                    width: header.width,
                    height: header.height,
                },
            }),
            _ => Ok(()),
        }
    }

    /// A jump ahead of the [wish](Step::Need), for a caller that can seek: a JPEG's ICC profile of
    /// many segments, its extended XMP and its Content Credentials (JUMBF) say where their last segment
    /// must begin. To take the jump, read `len` bytes at `at` and [land](Self::land); otherwise go on
    /// with the wish. Offered only where the segment's first bytes came in one feed.
    ///
    /// What lies between is not looked at. A file made to mislead could hide another frame header
    /// there, and then shows other sides to a caller that jumps than to one that reads on.
    #[must_use]
    pub fn shortcut(&self) -> Option<Shortcut> {
        match &self.state {
            State::Jpeg(walker) => walker.shortcut(),
            State::Head { .. } | State::End(_) => None,
        }
    }

    /// Offers the bytes at a [shortcut](Self::shortcut)'s landing. True when they are the segment
    /// that must be there: they have been [fed](Self::feed), and the wish goes on from there. False when
    /// the announcement was wrong: nothing has changed, and the shortcut is not offered again.
    #[must_use]
    pub fn land(&mut self, at: u64, bytes: &[u8]) -> bool {
        let landed = match &mut self.state {
            State::Jpeg(walker) if walker.shortcut().is_some_and(|s| s.at == at) => {
                walker.land(bytes)
            }
            _ => false,
        };
        if landed {
            // An error stays: the next step answers it.
            let _ = self.feed(at, bytes);
        }
        landed
    }

    /// Takes `bytes`, the first of which lies at offset `at` of the file.
    ///
    /// Bytes before the wish pass by (the orientation may be read from them), bytes from the
    /// wish on are taken. Bytes that begin past the wish are of no use: the same wish is
    /// answered.
    ///
    /// # Errors
    /// Any [`HeaderError`] but an end of file, which only [`eof`](Self::eof) can know of.
    pub fn feed(&mut self, at: u64, bytes: &[u8]) -> Result<Step, HeaderError> {
        let fed = Cursor::new(at, bytes);
        let advanced = match &mut self.state {
            State::Head { .. } => self.feed_head(fed),
            State::Jpeg(walker) => walker.feed(fed),
            State::End(_) => return self.step(),
        };
        match advanced {
            Ok(None) => {}
            Ok(Some(header)) => self.state = State::End(Ok(header)),
            Err(error) => self.state = State::End(Err(error)),
        }
        self.step()
    }

    /// Says that the file ends after `total` bytes, so that a pending wish cannot be met.
    ///
    /// # Errors
    /// [`HeaderError::Truncated`] when the file ends inside its header; what the bytes are
    /// instead when they are no header at all; the error that an earlier call has answered.
    pub fn eof(&mut self, total: u64) -> Result<Header, HeaderError> {
        let truncated = |format, at| HeaderError::Truncated { format, at, total };
        let seen = self.head.len() as u64;
        let error = match &self.state {
            State::End(end) => {
                let header = end.clone()?;
                self.hold_against_total(header)?;
                return Ok(header);
            }
            State::Jpeg(walker) => truncated(Some(Format::Jpeg), walker.at()),
            State::Head { wanted } if *wanted < sniff::WINDOW && !self.head.is_empty() => {
                match format_of(&self.head) {
                    Some(format) => truncated(Some(format), seen),
                    None if is_part(&self.head) || total > seen => truncated(None, seen),
                    None => sniff::name(&self.head),
                }
            }
            State::Head { .. } if total > seen => truncated(None, seen),
            State::Head { .. } => sniff::name(&self.head),
        };
        self.state = State::End(Err(error.clone()));
        Err(error)
    }

    fn feed_head(&mut self, fed: Cursor<'_>) -> Result<Option<Header>, HeaderError> {
        let Some(fresh) = fed.from(self.head.len() as u64) else {
            return Ok(None);
        };
        // A whole head in one feed is looked at where it lies.
        let kept = !self.head.is_empty();
        if kept {
            keep(&mut self.head, fresh.bytes());
        }
        let head = if kept { self.head.as_slice() } else { fresh.bytes() };
        match start_of(head)? {
            Start::Header(header) => {
                if header.format == Format::Bmp {
                    self.least = bmp::least_length(head, &header);
                }
                Ok(Some(header))
            }
            Start::More(wanted) => {
                if !kept {
                    keep(&mut self.head, fresh.bytes());
                }
                self.state = State::Head { wanted };
                Ok(None)
            }
            Start::Jpeg => {
                let mut walker = jpeg::Walker::new();
                let mut found = None;
                if kept {
                    found = walker.feed(Cursor::new(0, head))?;
                }
                if found.is_none() {
                    found = walker.feed(fed)?;
                }
                self.state = State::Jpeg(walker);
                Ok(found)
            }
            Start::Other => Err(sniff::name(head)),
        }
    }
}

impl Default for HeaderReader {
    fn default() -> Self {
        Self::new()
    }
}

/// The header of a file that is wholly in memory.
///
/// ```
/// use emo_preflight::header;
///
/// let error = header::from_slice(b"GIF89a\x01\0\x01\0\0\0\0;").unwrap_err();
/// assert!(error.is_unsupported());
/// assert_eq!(error.to_string(), "file must be a JPEG, PNG, BMP or WebP image, found GIF");
/// ```
///
/// # Errors
/// Any [`HeaderError`].
pub fn from_slice(bytes: &[u8]) -> Result<Header, HeaderError> {
    match start_of(bytes) {
        Ok(Start::Header(header)) => Ok(header),
        _ => step_by_step(bytes),
    }
}

/// The header of a file that begins at the current position of `source`.
///
/// Reads at most 1 KiB at a time and seeks over what it does not need, so the orientation is
/// unknown where EXIF keeps it far from its start. Where `source` stands afterwards is not
/// defined.
///
/// # Errors
/// [`ReadError::Io`] when reading or seeking fails, else [`ReadError::Header`].
pub fn from_reader<R: Read + Seek>(source: R) -> Result<Header, ReadError> {
    read_with(HeaderReader::new(), source)
}

/// The same for a whole file of `total` bytes, which must be as long as its header says.
#[cfg(feature = "client")]
pub(crate) fn from_file<R: Read + Seek>(source: R, total: u64) -> Result<Header, ReadError> {
    let mut reader = HeaderReader::new();
    reader.set_total(total);
    read_with(reader, source)
}

fn read_with<R: Read + Seek>(mut reader: HeaderReader, mut source: R) -> Result<Header, ReadError> {
    let base = source.stream_position()?;
    let mut buffer = [0; READ_LEN];
    let mut position = 0_u64;
    loop {
        let at = match reader.step()? {
            Step::Done(header) => return Ok(header),
            Step::Need { at, .. } => at,
        };
        if at != position {
            source.seek(SeekFrom::Start(base.saturating_add(at)))?;
            position = at;
        }
        let read = match source.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if read == 0 {
            let end = source.seek(SeekFrom::End(0))?;
            return Ok(reader.eof(end.saturating_sub(base))?);
        }
        reader.feed(position, buffer.get(..read).unwrap_or_default())?;
        position = position.saturating_add(read as u64);
    }
}

#[cold]
fn step_by_step(bytes: &[u8]) -> Result<Header, HeaderError> {
    let mut reader = HeaderReader::new();
    match reader.feed(0, bytes)? {
        Step::Done(header) => Ok(header),
        Step::Need { .. } => reader.eof(bytes.len() as u64),
    }
}

#[derive(Clone, Debug)]
enum State {
    /// Looking at the file's first bytes; `wanted` of them are needed to go on.
    Head {
        wanted: usize,
    },
    Jpeg(jpeg::Walker),
    End(Result<Header, HeaderError>),
}

/// What a file's first bytes tell. Never taken back when more of them are known.
enum Start {
    Header(Header),
    /// So many bytes, counted from the file's start, are needed to tell.
    More(usize),
    /// A JPEG, to be walked through.
    Jpeg,
    /// No format that is read.
    Other,
}

#[inline(always)]
fn start_of(head: &[u8]) -> Result<Start, HeaderError> {
    if head.len() < SIGNATURE_LEN {
        return Ok(Start::More(SIGNATURE_LEN));
    }
    let look = match format_of(head) {
        Some(Format::Jpeg) => Start::Jpeg,
        Some(Format::Png) => png::start_of(head)?,
        Some(Format::Bmp) => bmp::start_of(head)?,
        Some(Format::WebP) => webp::start_of(head)?,
        None => Start::Other,
    };
    Ok(match look {
        // A name must not depend on how many bytes came at once.
        Start::Other if head.len() < sniff::WINDOW => Start::More(sniff::WINDOW),
        look => look,
    })
}

/// The format whose signature a head begins with.
#[inline]
fn format_of(head: &[u8]) -> Option<Format> {
    match head {
        [0xff, ..] if head.starts_with(JPEG) => Some(Format::Jpeg),
        [0x89, ..] if head.starts_with(PNG) => Some(Format::Png),
        [b'B', ..] if head.starts_with(BMP) => Some(Format::Bmp),
        [b'R', ..] if head.starts_with(RIFF) && has_form(head) => Some(Format::WebP),
        _ => None,
    }
}

fn has_form(head: &[u8]) -> bool {
    head.get(FORM_AT..).is_some_and(|form| form.starts_with(WEBP))
}

/// Whether a head is too short to tell, being the start of a signature.
fn is_part(head: &[u8]) -> bool {
    let form = head.get(FORM_AT..).unwrap_or_default();
    [JPEG, PNG, BMP, RIFF].iter().any(|whole| whole.starts_with(head))
        || (head.starts_with(RIFF) && WEBP.starts_with(form))
}

fn keep(head: &mut ArrayVec<u8, { sniff::WINDOW }>, bytes: &[u8]) {
    head.extend(bytes.iter().copied().take(head.remaining_capacity()));
}

/// ITU T.81, B.2.1: SOI.
const JPEG: &[u8] = b"\xff\xd8";
/// PNG, Third Edition, 5.2.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// BITMAPFILEHEADER, bfType.
const BMP: &[u8] = b"BM";
/// RFC 9649, 2.4, with the file's size between the two.
const RIFF: &[u8] = b"RIFF";
const WEBP: &[u8] = b"WEBP";
const FORM_AT: usize = 8;

/// The longest signature.
const SIGNATURE_LEN: usize = 12;

const READ_LEN: usize = 1024;
