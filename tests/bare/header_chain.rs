//! Jumps over chains of JPEG segments that announce their own end: where an announcement is
//! wrong, a jump costs time, never truth.

use emo_preflight::header::{Header, HeaderError, HeaderReader, Shortcut, Step, from_slice};
use proptest::prelude::*;

const ICC: &[u8] = b"ICC_PROFILE\0";
const XMP: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";

fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    [&[0xff, code], length.as_slice(), payload].concat()
}

fn icc(number: u8, count: u8, profile: &[u8]) -> Vec<u8> {
    segment(0xe2, &[ICC, &[number, count], profile].concat())
}

fn xmp(total: u32, offset: u32, part: &[u8]) -> Vec<u8> {
    let guid = [b'G'; 32];
    let head = [XMP, &guid, &total.to_be_bytes(), &offset.to_be_bytes()].concat();
    segment(0xe1, &[&head, part].concat())
}

/// A frame header of these sides, and what a file needs around it.
fn frame(width: u16, height: u16) -> Vec<u8> {
    let [w, h] = [width.to_be_bytes(), height.to_be_bytes()];
    segment(0xc0, &[8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0])
}

fn jpeg(segments: &[Vec<u8>]) -> Vec<u8> {
    [b"\xff\xd8".as_slice(), &segments.concat(), &frame(640, 480), &[0; 64]].concat()
}

/// An ICC chain of `count` segments of `each` bytes, the last one of `last`.
fn icc_chain(count: u8, each: usize, last: usize) -> Vec<Vec<u8>> {
    (1..=count).map(|k| icc(k, count, &vec![k; if k == count { last } else { each }])).collect()
}

fn xmp_chain(total: usize, each: usize) -> Vec<Vec<u8>> {
    (0..total)
        .step_by(each)
        .map(|at| xmp(total as u32, at as u32, &vec![b'x'; each.min(total - at)]))
        .collect()
}

/// Reads as a fetcher does: a first piece, then jumps and wishes, `piece` bytes each. Says what
/// came, how many requests it took and how many landings were good.
fn fetch(file: &[u8], piece: usize) -> (Result<Header, HeaderError>, usize, usize) {
    let mut reader = HeaderReader::new();
    let part = |at: u64| {
        let at = usize::try_from(at).unwrap().min(file.len());
        &file[at..(at + piece).min(file.len())]
    };
    let (mut requests, mut landed) = (0, 0);
    loop {
        let (at, jump) = match (reader.step(), reader.shortcut()) {
            (Ok(Step::Done(header)), _) => return (Ok(header), requests, landed),
            (Err(error), _) => return (Err(error), requests, landed),
            (Ok(Step::Need { at, .. }), shortcut) => {
                let inside = |s: &Shortcut| s.at + s.len as u64 <= file.len() as u64;
                match shortcut.filter(inside) {
                    Some(shortcut) => {
                        assert!(shortcut.at > at, "a jump leads forward");
                        (shortcut.at, true)
                    }
                    None => (at, false),
                }
            }
        };
        requests += 1;
        assert!(requests <= file.len() + 2, "no end");
        if at >= file.len() as u64 {
            return (reader.eof(file.len() as u64), requests, landed);
        }
        if jump {
            let before = reader.step();
            if !reader.land(at, part(at)) {
                assert_eq!(reader.step(), before, "a bad landing changes nothing");
                assert_eq!(reader.shortcut(), None, "it is not offered again");
                continue;
            }
            landed += 1;
            continue;
        }
        let _ = reader.feed(at, part(at));
    }
}

fn sides(answer: Result<Header, HeaderError>) -> Result<(u32, u32), HeaderError> {
    answer.map(|header| (header.width, header.height))
}

#[test]
fn an_announced_chain_takes_three_requests_at_the_most() {
    for (name, segments) in [
        ("full segments", icc_chain(20, 65_000, 65_000)),
        ("a short last one", icc_chain(20, 65_000, 17)),
        ("three small ones", icc_chain(3, 5_000, 100)),
        ("255", icc_chain(255, 1_000, 9)),
        ("XMP", xmp_chain(1_000_000, 65_400)),
        ("XMP, even", xmp_chain(130_800, 65_400)),
    ] {
        let file = jpeg(&segments);
        let (answer, requests, landed) = fetch(&file, 600);
        assert_eq!(sides(answer), Ok((640, 480)), "{name}");
        // Two segments are walked as fast as jumped.
        let worth_it = segments.len() > 2;
        assert_eq!(landed, usize::from(worth_it), "{name}");
        assert!(requests <= 3, "{name}: {requests}");
    }
}

#[test]
fn metadata_before_and_between_does_not_matter() {
    let exif =
        segment(0xe1, b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0");
    let app0 = segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    let both = [
        vec![app0, exif],
        icc_chain(9, 30_000, 4),
        xmp_chain(300_000, 65_000),
        vec![segment(0xdb, &[0; 65])],
    ]
    .concat();
    let (answer, requests, landed) = fetch(&jpeg(&both), 700);
    let header = answer.unwrap();
    assert_eq!((header.width, header.orientation.map(|o| o.get())), (640, Some(6)));
    assert_eq!((requests, landed), (4, 2));
}

#[test]
fn what_a_jump_did_not_see_is_not_known() {
    // An EXIF segment within the chain: the walk meets it, the jump does not.
    let exif =
        segment(0xe1, b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0");
    let mut segments = icc_chain(5, 5_000, 5_000);
    let filler = segment(0xe5, &vec![0; 5_014 - 4 - exif.len()]);
    segments[2] = [exif, filler].concat();
    segments[2].resize(5_018, 0);
    let file = jpeg(&segments);
    let whole = from_slice(&file).unwrap();
    assert_eq!(whole.orientation.map(|o| o.get()), Some(6));
    let (jumped, _, landed) = fetch(&file, 600);
    assert_eq!((jumped.unwrap().orientation, landed), (None, 1));
}

/// Every lie an announcement can tell: the answer is that of the whole file.
#[test]
fn a_lie_costs_time_and_no_truth() {
    let each = 3_000;
    let chain = |count| icc_chain(count, each, each);
    let mut uneven = chain(6);
    uneven[3] = icc(4, 6, &[4; 2_000]);
    let mut fewer = chain(6);
    fewer.truncate(4);
    let mut filled = chain(6);
    filled[2].insert(0, 0xff);
    let renumbered: Vec<_> = (0..6).map(|_| icc(1, 6, &vec![1; each])).collect();
    let beyond: Vec<_> = (1..=6).map(|k| icc(k, 200, &vec![k; each])).collect();
    let other = [chain(4), vec![segment(0xe2, &vec![7; each + 14]); 4]].concat();
    let zero: Vec<_> = (0..6).map(|k| icc(k, 0, &vec![k; each])).collect();
    let mut xmp_short = xmp_chain(50_000, 9_000);
    xmp_short.truncate(3);
    let xmp_none = vec![xmp(0, 0, &[0; 900]), xmp(u32::MAX, u32::MAX, &[0; 900])];
    let xmp_empty = vec![xmp(9_000, 0, &[])];
    for (name, segments) in [
        ("uneven", uneven),
        ("fewer than said", fewer),
        ("a fill byte", filled),
        ("the first again and again", renumbered),
        ("more than the file holds", beyond),
        ("something else at the end", other),
        ("of none", zero),
        ("XMP broken off", xmp_short),
        ("XMP of nothing and of everything", xmp_none),
        ("XMP without a share", xmp_empty),
    ] {
        let file = jpeg(&segments);
        let (answer, ..) = fetch(&file, 600);
        assert_eq!(sides(answer), sides(from_slice(&file)), "{name}");
    }
}

/// A chain that is cut off, or whose frame stands inside its announced stretch where a walk finds
/// it first, is walked when its end is not what was announced.
#[test]
fn a_frame_before_the_announced_end_is_found() {
    let mut segments = icc_chain(8, 2_000, 2_000);
    segments.truncate(3);
    segments.push(frame(111, 222));
    segments.extend(vec![segment(0xe3, &[3; 2_014]); 9]);
    let file = jpeg(&segments);
    let (answer, _, landed) = fetch(&file, 600);
    assert_eq!((sides(answer), landed), (Ok((111, 222)), 0));
}

fn any_segment() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (any::<u8>(), 0_u8..9, payload.clone()).prop_map(|(k, n, p)| icc(k % 9, n, &p)),
        (0_u32..400, 0_u32..400, payload.clone()).prop_map(|(t, o, p)| xmp(t, o, &p)),
        (0xe0_u8..0xf0, payload).prop_map(|(code, p)| segment(code, &p)),
        (2_u8..9, 0_usize..60, 0_usize..60).prop_map(|(n, e, l)| icc_chain(n, e, l).concat()),
        (1_usize..500, 20_usize..90).prop_map(|(t, e)| xmp_chain(t, e).concat()),
        Just(vec![0xff]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Without a frame inside a chain there is nothing a jump could miss, whatever is announced.
    #[test]
    fn jumps_and_walks_agree(
        segments in prop::collection::vec(any_segment(), 0..12),
        piece in 1_usize..200,
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = jpeg(&segments);
        for file in [whole.as_slice(), &whole[..cut.index(whole.len())]] {
            let (answer, ..) = fetch(file, piece);
            let direct = from_slice(file);
            // A cut inside a stretch that was jumped shows at another byte.
            match (&answer, &direct) {
                (Err(HeaderError::Truncated { .. }), Err(HeaderError::Truncated { .. })) => {}
                _ => prop_assert_eq!(sides(answer), sides(direct)),
            }
        }
    }

    /// Bytes of any kind at any landing: no panic, no end to the steps, no way back.
    #[test]
    fn landing_anywhere_is_harmless(
        chain in 3_u8..9,
        at in any::<u64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let file = jpeg(&icc_chain(chain, 900, 900));
        let mut reader = HeaderReader::new();
        let _ = reader.feed(0, &file[..100]);
        let before = reader.step();
        let good = reader.shortcut().unwrap().at;
        prop_assert!(at == good || !reader.land(at, &bytes));
        prop_assert_eq!(reader.step(), before);
    }
}
