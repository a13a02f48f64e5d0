//! `header` on files nobody wrote: any split, any damage, any bytes.

use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

use emo_preflight::header::{self, Header, HeaderError, HeaderReader, ReadError, Step};
use proptest::prelude::*;
use proptest::sample::{Index, select};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn every_split_agrees(file in file(), cuts in prop::collection::vec(any::<Index>(), 0..12)) {
        let whole = header::from_slice(&file);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(file.len() + 1)).collect();
        cuts.extend([0, file.len()]);
        cuts.sort_unstable();

        let mut reader = HeaderReader::new();
        let mut watch = Watch::default();
        for cut in cuts.windows(2) {
            let step = reader.feed(cut[0] as u64, &file[cut[0]..cut[1]]);
            watch.step(&step)?;
            prop_assert_eq!(reader.step(), step);
        }
        prop_assert_eq!(reader.eof(file.len() as u64), whole);
    }

    #[test]
    fn byte_by_byte_agrees(file in file()) {
        let mut reader = HeaderReader::new();
        for (at, byte) in file.iter().enumerate() {
            let _ = reader.feed(at as u64, std::slice::from_ref(byte));
        }
        prop_assert_eq!(reader.eof(file.len() as u64), header::from_slice(&file));
    }

    /// As a fetcher does: a first piece, then what is wanted and a bit more.
    #[test]
    fn skipping_to_the_wish_agrees(file in file(), first in 0..600_usize, more in 0..40_usize) {
        let mut reader = HeaderReader::new();
        let mut watch = Watch::default();
        let mut step = reader.feed(0, &file[..first.min(file.len())]);
        let mut feeds = 0;
        let skipped = loop {
            watch.step(&step)?;
            let (at, len) = match step {
                Ok(Step::Done(header)) => break Ok(header),
                Ok(Step::Need { at, len }) => (at, len),
                Err(error) => break Err(error),
            };
            prop_assert!(len > 0);
            let rest = file.get(at as usize..).unwrap_or_default();
            if rest.is_empty() {
                break reader.eof(file.len() as u64);
            }
            step = reader.feed(at, &rest[..rest.len().min(len + more)]);
            feeds += 1;
            prop_assert!(feeds <= file.len(), "no more feeds than bytes");
        };
        agrees(&skipped, &header::from_slice(&file))?;
    }

    #[test]
    fn from_reader_agrees(file in file()) {
        let read = match header::from_reader(Cursor::new(&file)) {
            Ok(header) => Ok(header),
            Err(ReadError::Header(error)) => Err(error),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        agrees(&read, &header::from_slice(&file))?;
    }

    #[test]
    fn a_cut_file_has_the_same_answer_or_an_error(file in file(), cut in any::<Index>()) {
        let cut = &file[..cut.index(file.len() + 1)];
        if let Ok(header) = header::from_slice(cut) {
            prop_assert_eq!(Ok(header), header::from_slice(&file));
        }
    }

    /// Overlapping, repeated, skipped and misplaced bytes: some answer, and it stays.
    #[test]
    fn any_order_of_feeds_is_answered(
        file in file(),
        feeds in prop::collection::vec((any::<Index>(), 0..80_usize, offset()), 0..30),
        total in any::<u64>(),
    ) {
        let mut reader = HeaderReader::new();
        let mut watch = Watch::default();
        for (start, len, off) in feeds {
            let start = start.index(file.len() + 1);
            let bytes = &file[start..(start + len).min(file.len())];
            watch.step(&reader.feed((start as u64).wrapping_add(off), bytes))?;
        }
        let before = reader.step();
        let end = reader.eof(total);
        match before {
            Ok(Step::Done(header)) => prop_assert_eq!(&end, &Ok(header)),
            Ok(Step::Need { .. }) => prop_assert!(end.is_err()),
            Err(error) => prop_assert_eq!(&end, &Err(error)),
        }
        prop_assert_eq!(reader.step(), end.map(Step::Done));
    }

    #[test]
    fn sides_are_never_zero(file in file()) {
        if let Ok(header) = header::from_slice(&file) {
            prop_assert!(header.width > 0 && header.height > 0);
        }
    }
}

/// That a wish never moves back and moves on when it was fed; that an answer stays.
#[derive(Default)]
struct Watch(Option<Result<Step, HeaderError>>);

impl Watch {
    fn step(&mut self, step: &Result<Step, HeaderError>) -> Result<(), TestCaseError> {
        match (&self.0, step) {
            (Some(Ok(Step::Need { at: old, len: old_len })), Ok(Step::Need { at, len })) => {
                prop_assert!(*len > 0);
                prop_assert!(at >= old);
                let (end, old_end) =
                    (at.saturating_add(*len as u64), old.saturating_add(*old_len as u64));
                prop_assert!(end >= old_end);
            }
            (Some(Ok(Step::Need { .. })) | None, _) => {}
            (Some(last), step) => prop_assert_eq!(last, step),
        }
        self.0 = Some(step.clone());
        Ok(())
    }
}

fn agrees(
    skipped: &Result<Header, HeaderError>,
    whole: &Result<Header, HeaderError>,
) -> Result<(), TestCaseError> {
    match (skipped, whole) {
        (Ok(skipped), Ok(whole)) => {
            let known = skipped.orientation.or(whole.orientation);
            let sides = Header::new(skipped.format, skipped.width, skipped.height, known);
            prop_assert_eq!(sides, *whole);
        }
        _ => prop_assert_eq!(skipped, whole),
    }
    Ok(())
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (select(&FIXTURES[..]), prop::collection::vec(damage(), 0..6)).prop_map(damaged),
        2 => jpeg(),
        1 => started(),
        1 => prop::collection::vec(any::<u8>(), 0..700),
        1 => "[ \n]{0,3}(<[?!]?-{0,2}[a-zA-Z:]{0,9}[^a]{0,9}>?|\\{|\\[|[a-z]){0,9}".prop_map(String::into_bytes),
    ]
}

#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let byte = prop_oneof![any::<u8>(), select(&[0, 1, 2, 0x7f, 0x80, 0xd8, 0xda, 0xe1, 0xff][..])];
    prop_oneof![
        (at(), byte).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at(), 1..20_usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        (at(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, b)| Damage::Insert(at, b)),
        at().prop_map(Damage::Cut),
    ]
}

fn damaged((mut file, damage): (Vec<u8>, Vec<Damage>)) -> Vec<u8> {
    for damage in damage {
        if file.is_empty() {
            break;
        }
        let len = file.len();
        // Headers lie at the front: most damage should too.
        let near = |at: Index| at.index(len.min(120));
        match damage {
            Damage::Set(at, byte) => file[near(at)] = byte,
            Damage::Flip(at, bit) => file[near(at)] ^= 1 << bit,
            Damage::Remove(at, count) => {
                let at = near(at);
                file.drain(at..len.min(at + count));
            }
            Damage::Insert(at, bytes) => {
                let at = near(at);
                file.splice(at..at, bytes);
            }
            Damage::Cut(at) => file.truncate(at.index(len)),
        }
    }
    file
}

/// JPEGs of segments in any order, EXIF among them.
fn jpeg() -> impl Strategy<Value = Vec<u8>> {
    let payload = || prop::collection::vec(any::<u8>(), 0..60);
    let part = prop_oneof![
        (0xe0..=0xef_u8, payload()).prop_map(|(code, payload)| segment(code, &payload)),
        (
            any::<bool>(),
            0..12_u32,
            prop::collection::vec((0x0110..0x0114_u16, 2..5_u16, 0..10_u8), 0..6)
        )
            .prop_map(|(little, gap, entries)| segment(0xe1, &exif(little, gap, &entries))),
        prop::collection::vec(select(&[0x00, 0x01, 0x55, 0xd0, 0xd8, 0xff][..]), 0..9),
        (any::<u8>(), payload()).prop_map(|(code, payload)| segment(code, &payload)),
    ];
    let sof = prop::array::uniform4(0..4_u8)
        .prop_map(|[a, b, c, d]| segment(0xc0, &[8, a, b, c, d, 1, 1, 0x11, 0]));
    (prop::collection::vec(part, 0..8), sof)
        .prop_map(|(parts, sof)| [b"\xff\xd8", &parts.concat()[..], &sof].concat())
}

fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
    [&[0xff, code], &(payload.len() as u16 + 2).to_be_bytes()[..], payload].concat()
}

fn exif(little: bool, gap: u32, entries: &[(u16, u16, u8)]) -> Vec<u8> {
    let u16 = |n: u16| {
        if little { n.to_le_bytes() } else { n.to_be_bytes() }
    };
    let u32 = |n: u32| {
        if little { n.to_le_bytes() } else { n.to_be_bytes() }
    };
    let order = if little { b"II" } else { b"MM" };
    let mut exif = [b"Exif\0\0", &order[..], &u16(42), &u32(8 + gap)].concat();
    exif.resize(14 + gap as usize, 0);
    exif.extend(u16(entries.len() as u16));
    for &(tag, kind, value) in entries {
        exif.extend([&u16(tag)[..], &u16(kind), &u32(1), &u16(value.into()), &[0; 2]].concat());
    }
    exif
}

/// Any bytes behind a start that some format has.
fn started() -> impl Strategy<Value = Vec<u8>> {
    let start = select(STARTS).prop_map(<[u8]>::to_vec);
    (start, prop::collection::vec(any::<u8>(), 0..600))
        .prop_map(|(start, rest)| [start, rest].concat())
}

/// Places that a careless caller might name.
fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => Just(0_u64),
        1 => 0..100_u64,
        1 => any::<u64>(),
        1 => Just(u64::MAX - 20),
    ]
}

static FIXTURES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    paths.retain(|path| !path.extension().is_some_and(|ext| ext == "md" || ext == "py"));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
});

const STARTS: &[&[u8]] = &[
    b"\xff\xd8",
    b"\xff\xd8\xff\xe1",
    b"\x89PNG\r\n\x1a\n",
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
    b"BM",
    b"RIFF\0\0\0\0WEBP",
    b"RIFF\0\0\0\0WEBPVP8 \x0a\0\0\0",
    b"RIFF\0\0\0\0WEBPVP8L\x0a\0\0\0\x2f",
    b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0",
    b"PK\x03\x04",
    b"\x50\x2a\x4d\x18",
    b"\x04\x22\x4d\x18",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"\0\0\0\x18ftyp",
    b"\0\0\0\x18ftypmif1",
    b"\x1aE\xdf\xa3",
    b"II*\0",
    b"<?xml ",
    b"<!DOCTYPE ",
    b"<!-- ",
    b"{\"",
];
