//! Bodies that come compressed although nobody asked for it: gzip (RFC 1952) and deflate, which is
//! zlib (RFC 1950) by the book and raw (RFC 1951) by the habit of some servers.

use std::io::{self, Write};

use flate2::Decompress;
use flate2::write::{MultiGzDecoder, ZlibDecoder};

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
    Deflate(ZlibDecoder<Vec<u8>>),
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
        if self.packed.len() < if self.decoder.is_some() { 1 } else { 2 } {
            return Ok(None);
        }
        let decoder = self.decoder.get_or_insert_with(|| match self.coding {
            Coding::Gzip => Decoder::Gzip(MultiGzDecoder::new(Vec::new())),
            Coding::Deflate => {
                let how = Decompress::new(is_zlib(&self.packed));
                Decoder::Deflate(ZlibDecoder::new_with_decompress(Vec::new(), how))
            }
        });
        let part: Vec<u8> = self.packed.drain(..self.packed.len().min(PART)).collect();
        let mut rest = &*part;
        while !rest.is_empty() {
            match decoder.writer().write(rest)? {
                // Behind the end of the stream: nothing is meant by it.
                0 => break,
                taken => rest = rest.get(taken..).unwrap_or_default(),
            }
        }
        decoder.writer().flush()?;
        Ok(Some(decoder.take()))
    }

    /// The body is over: what is left of it. An error where it was cut short or its checksum is
    /// wrong.
    pub(crate) fn finish(&mut self) -> io::Result<Vec<u8>> {
        match &mut self.decoder {
            Some(decoder) if self.packed.is_empty() => {
                match decoder {
                    Decoder::Gzip(decoder) => decoder.try_finish()?,
                    Decoder::Deflate(decoder) => decoder.try_finish()?,
                }
                Ok(decoder.take())
            }
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Decoder {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(decoder) => decoder,
            Self::Deflate(decoder) => decoder,
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
        })
    }
}

/// Whether two bytes begin a zlib stream (RFC 1950, section 2.2).
fn is_zlib(packed: &[u8]) -> bool {
    packed.first_chunk().is_some_and(|start: &[u8; 2]| {
        start[0] & 0x0F == 8 && u16::from_be_bytes(*start).is_multiple_of(31)
    })
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
