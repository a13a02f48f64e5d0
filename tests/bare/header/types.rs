//! The types that a header is told in.

use emo_preflight::header::Format::{self, Jpeg, Png, WebP};
use emo_preflight::header::{Header, Orientation};

#[test]
fn a_header_as_json() {
    for (header, json) in [
        (
            Header::new(WebP, 640, 480, Orientation::new(6)),
            r#"{"format":"webp","width":640,"height":480,"orientation":6}"#,
        ),
        (Header::new(Png, 640, 480, None), r#"{"format":"png","width":640,"height":480}"#),
    ] {
        assert_eq!(serde_json::to_string(&header).unwrap(), json);
        assert_eq!(serde_json::from_str::<Header>(json).unwrap(), header);
    }
    let error = serde_json::from_str::<Orientation>("9").unwrap_err();
    assert_eq!(error.to_string(), "EXIF orientation must be 1 to 8, found 9");
    let names = Format::ALL.iter().map(ToString::to_string);
    assert_eq!(names.collect::<Vec<_>>(), ["JPEG", "PNG", "BMP", "WebP"]);
}

#[test]
fn orientations() {
    let valid: Vec<u8> = (0..=255).filter(|&n| Orientation::new(n).is_some()).collect();
    assert_eq!(valid, [1, 2, 3, 4, 5, 6, 7, 8]);
    let swaps = (1..=8).filter(|&n| Orientation::new(n).unwrap().swaps_sides());
    assert_eq!(swaps.collect::<Vec<_>>(), [5, 6, 7, 8]);
    assert_eq!(Orientation::NORMAL.get(), 1);
}

#[test]
fn sides() {
    for (width, height) in [(640, 480), (480, 640)] {
        let header = Header::new(Jpeg, width, height, None);
        assert_eq!((header.shortest_side(), header.longest_side()), (480, 640));
    }
}
