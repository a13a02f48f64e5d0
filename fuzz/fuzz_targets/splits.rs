//! The reader against itself: fed whole, in pieces, skipping to its wish, and with its shortcuts
//! taken. Splits and skips must agree; a shortcut may say less, never something else, but where the
//! file hides a chain's last segment inside another segment: then nobody can tell who jumps.

#![no_main]

use std::collections::HashSet;

use emo_preflight::header::{self, Header, HeaderError, HeaderReader, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // At the end, so that an image's file is a good input as it is.
    let (file, choices) = input.split_at(input.len() - input.len().min(CHOICES));
    let whole = header::from_slice(file);
    assert_eq!(in_pieces(file, choices), whole);
    agree(&skipping(file, choices, None), &whole);
    let mut landings = Vec::new();
    let jumped = skipping(file, choices, Some(&mut landings));
    if landings.is_empty() || landings.iter().all(|at| markers(file).contains(at)) {
        agree(&jumped, &whole);
    }
});

const CHOICES: usize = 16;

type Outcome = Result<Header, HeaderError>;

fn in_pieces(file: &[u8], choices: &[u8]) -> Outcome {
    let mut reader = HeaderReader::new();
    let mut choices = choices.iter().cycle();
    let mut at = 0;
    while at < file.len() {
        let choice = usize::from(*choices.next().unwrap_or(&0));
        // Mostly small pieces, some large.
        let len = if choice < 200 { choice % 23 + 1 } else { choice * 8 };
        let end = file.len().min(at + len);
        let before = reader.step();
        let after = reader.feed(at as u64, &file[at..end]);
        never_back(&before, &after);
        at = end;
    }
    reader.eof(file.len() as u64)
}

/// Where the markers lie that a reader meets who goes through all segments, fill bytes included.
fn markers(file: &[u8]) -> HashSet<u64> {
    let mut seen = HashSet::new();
    let mut at = 2;
    while let Some(&byte) = file.get(at) {
        at += 1;
        if byte != 0xff {
            continue;
        }
        seen.insert(at as u64 - 1);
        match file.get(at) {
            // The next one may be the marker's first byte as well.
            Some(0xff) => {}
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(0xc4 | 0xc8 | 0xcc | 0xdb..=0xfe | 0x02..=0xbf) => {
                let Some(&[high, low]) = file.get(at + 1..at + 3) else { break };
                let length = usize::from(u16::from_be_bytes([high, low]));
                // The length counts itself; who goes through them all ends here.
                if length < 2 {
                    break;
                }
                at += 1 + length;
            }
            _ => break,
        }
    }
    seen
}

/// As one does who can seek: what is wanted and a bit more, and the shortcuts if there is room for
/// where they landed.
fn skipping(file: &[u8], choices: &[u8], mut landings: Option<&mut Vec<u64>>) -> Outcome {
    let mut reader = HeaderReader::new();
    let mut choices = choices.iter().cycle();
    for _ in 0..=4 * file.len() {
        let more = usize::from(*choices.next().unwrap_or(&0)) * 4;
        if let (Some(landings), Some(jump)) = (&mut landings, reader.shortcut()) {
            let landing = part(file, jump.at, jump.len + more);
            let before = reader.step();
            if reader.land(jump.at, landing) {
                landings.push(jump.at);
            } else {
                assert_eq!(reader.step(), before);
                assert_eq!(reader.shortcut(), None);
            }
            continue;
        }
        let step = reader.step();
        let (at, len) = match step {
            Ok(Step::Done(header)) => return Ok(header),
            Ok(Step::Need { at, len }) => (at, len),
            Err(error) => return Err(error),
        };
        let bytes = part(file, at, len + more);
        if bytes.is_empty() {
            return reader.eof(file.len() as u64);
        }
        never_back(&step, &reader.feed(at, bytes));
    }
    panic!("more feeds than bytes");
}

fn part(file: &[u8], at: u64, len: usize) -> &[u8] {
    let rest = usize::try_from(at).ok().and_then(|at| file.get(at..)).unwrap_or_default();
    &rest[..rest.len().min(len)]
}

/// Neither end of a wish moves back, and an answer stays.
fn never_back(before: &Result<Step, HeaderError>, after: &Result<Step, HeaderError>) {
    match (before, after) {
        (Ok(Step::Need { at: from, len: old }), Ok(Step::Need { at, len })) => {
            assert!(at >= from && *len > 0);
            assert!(at.saturating_add(*len as u64) >= from.saturating_add(*old as u64));
        }
        (Ok(Step::Need { .. }), _) => {}
        (before, after) => assert_eq!(before, after),
    }
}

fn agree(skipped: &Outcome, whole: &Outcome) {
    match (skipped, whole) {
        (Ok(skipped), Ok(whole)) => {
            let known = skipped.orientation.or(whole.orientation);
            assert_eq!(Header::new(skipped.format, skipped.width, skipped.height, known), *whole);
        }
        _ => assert_eq!(skipped, whole),
    }
}
