//! Bodies that come compressed although nobody asked for it: gzip (RFC 1952) and deflate, which is
//! zlib (RFC 1950) by the book and raw (RFC 1951) by the habit of some servers.

use std::io::{self, Write as _};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// How a body is compressed (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// By its name in Content-Encoding.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("deflate") => Some(Self::Deflate),
            () => None,
        }
    }
}

/// Unpacks a body as it arrives, in bounded memory: at most half a MiB comes of each call of
/// [`next`](Self::next).
pub(crate) struct Inflater {
    coding: Coding,
    /// What has arrived and not been unpacked.
    packed: Vec<u8>,
    decoder: Option<Decoder>,
}

enum Decoder {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Raw(DeflateDecoder<Vec<u8>>),
}

impl Inflater {
    pub(crate) fn new(coding: Coding) -> Self {
        Self { coding, packed: Vec::new(), decoder: None }
    }

    /// Takes what arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.packed.extend_from_slice(bytes);
    }

    /// What comes of the next part of it; `None` when more has to arrive first.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        // Two bytes tell zlib from raw.
        if self.packed.is_empty() || (self.decoder.is_none() && self.packed.len() < 2) {
            return Ok(None);
        }
        let part = self.packed.len().min(PART);
        let decoder = self.decoder.get_or_insert_with(|| match (self.coding, &*self.packed) {
            (Coding::Gzip, _) => Decoder::Gzip(MultiGzDecoder::new(Vec::new())),
            (Coding::Deflate, [first, second, ..]) if is_zlib(*first, *second) => {
                Decoder::Zlib(ZlibDecoder::new(Vec::new()))
            }
            (Coding::Deflate, _) => Decoder::Raw(DeflateDecoder::new(Vec::new())),
        });
        let unpacked = decoder.unpack(self.packed.get(..part).unwrap_or_default())?;
        self.packed.drain(..part);
        Ok(Some(unpacked))
    }

    /// The body is over: what is left of it. An error where it was cut short or its checksum is
    /// wrong.
    pub(crate) fn finish(&mut self) -> io::Result<Vec<u8>> {
        match &mut self.decoder {
            Some(decoder) if self.packed.is_empty() => decoder.finish(),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Decoder {
    fn unpack(&mut self, mut packed: &[u8]) -> io::Result<Vec<u8>> {
        while !packed.is_empty() {
            let taken = match self {
                Self::Gzip(decoder) => decoder.write(packed)?,
                Self::Zlib(decoder) => decoder.write(packed)?,
                Self::Raw(decoder) => decoder.write(packed)?,
            };
            if taken == 0 {
                // Behind the end of the stream: nothing is meant by it.
                break;
            }
            packed = packed.get(taken..).unwrap_or_default();
        }
        match self {
            Self::Gzip(decoder) => decoder.flush()?,
            Self::Zlib(decoder) => decoder.flush()?,
            Self::Raw(decoder) => decoder.flush()?,
        }
        Ok(std::mem::take(self.unpacked()))
    }

    fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish()?,
            Self::Zlib(decoder) => decoder.try_finish()?,
            Self::Raw(decoder) => decoder.try_finish()?,
        }
        Ok(std::mem::take(self.unpacked()))
    }

    fn unpacked(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Raw(decoder) => decoder.get_mut(),
        }
    }
}

/// Whether two bytes begin a zlib stream (RFC 1950, section 2.2).
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0F == 8 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0
}

/// Deflate makes at most 1,032 bytes of one.
const PART: usize = 512;

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn pack(how: usize, bytes: &[u8]) -> (Coding, Vec<u8>) {
        let level = Compression::default();
        match how {
            0 => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                (Coding::Gzip, encoder.finish().unwrap())
            }
            1 => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                (Coding::Deflate, encoder.finish().unwrap())
            }
            _ => {
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                (Coding::Deflate, encoder.finish().unwrap())
            }
        }
    }

    fn unpack(coding: Coding, packed: &[u8], pieces: usize) -> io::Result<Vec<u8>> {
        let mut inflater = Inflater::new(coding);
        let mut unpacked = Vec::new();
        for piece in packed.chunks(pieces) {
            inflater.push(piece);
            while let Some(part) = inflater.next()? {
                assert!(part.len() <= 640 * 1_024, "{}", part.len());
                unpacked.extend(part);
            }
        }
        unpacked.extend(inflater.finish()?);
        Ok(unpacked)
    }

    #[test]
    fn a_bomb_comes_in_bounded_parts() {
        for how in 0..3 {
            let (coding, packed) = pack(how, &vec![0; 20_000_000]);
            assert_eq!(unpack(coding, &packed, usize::MAX).unwrap().len(), 20_000_000);
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out_whatever_the_pieces(
            bytes in prop::collection::vec(any::<u8>(), 0..3_000),
            how in 0_usize..3,
            pieces in 1_usize..700,
        ) {
            let (coding, packed) = pack(how, &bytes);
            prop_assert_eq!(unpack(coding, &packed, pieces).unwrap(), bytes);
        }

        #[test]
        fn what_is_cut_short_never_counts_as_whole(
            bytes in prop::collection::vec(any::<u8>(), 1..500),
            how in 0_usize..3,
            cut in 1_usize..9,
        ) {
            let (coding, packed) = pack(how, &bytes);
            let kept = packed.len().saturating_sub(cut);
            if let Ok(unpacked) = unpack(coding, &packed[..kept], 100) {
                prop_assert_eq!(how, 1, "only gzip's and raw's end is certain");
                prop_assert_eq!(unpacked, bytes, "all but the checksum was there");
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), gzip in any::<bool>()) {
            let coding = if gzip { Coding::Gzip } else { Coding::Deflate };
            let _ = unpack(coding, &bytes, 7);
        }
    }
}
