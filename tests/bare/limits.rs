//! The documented limits, at their edges.

use emo_preflight::header::{Format, Header, Orientation};
use emo_preflight::{Limits, Reason, ReasonCode, Violation};
use serde_json::json;

#[test]
fn sides_at_the_documented_edges() {
    for (width, height, broken) in [
        (400, 400, vec![]),
        (401, 401, vec![]),
        (399, 399, vec![too_short(399)]),
        (399, 400, vec![too_short(399)]),
        (400, 399, vec![too_short(399)]),
        (1, 1, vec![too_short(1)]),
        (6_999, 400, vec![]),
        (7_000, 400, vec![]),
        (400, 7_000, vec![]),
        (7_000, 7_000, vec![]),
        (7_001, 400, vec![too_long(7_001)]),
        (400, 7_001, vec![too_long(7_001)]),
        (7_001, 7_001, vec![too_long(7_001)]),
        (u32::MAX, u32::MAX, vec![too_long(u32::MAX)]),
        (399, 7_001, vec![too_short(399), too_long(7_001)]),
        (7_001, 399, vec![too_short(399), too_long(7_001)]),
    ] {
        for &format in Format::ALL {
            let header = Header::new(format, width, height, None);
            assert_eq!(Limits::default().check(&header), broken, "{format} {width}×{height}");
        }
    }
}

#[test]
fn orientation_changes_nothing_because_both_sides_count() {
    for value in 1..=8 {
        let header = Header::new(Format::Jpeg, 399, 7_001, Orientation::new(value));
        assert_eq!(
            Limits::default().check(&header),
            [too_short(399), too_long(7_001)],
            "orientation {value}"
        );
    }
}

#[test]
fn a_format_that_is_not_allowed_is_named() {
    for (allowed, said) in [
        (
            vec![Format::Jpeg, Format::Png, Format::Bmp],
            "format must be JPEG, PNG or BMP, found WebP",
        ),
        (vec![Format::Jpeg], "format must be JPEG, found WebP"),
        (vec![], "format must be none (the limits allow no format), found WebP"),
    ] {
        let mut limits = Limits::default();
        limits.formats = allowed.clone();
        let header = Header::new(Format::WebP, 399, 7_001, None);
        let broken = limits.check(&header);
        let format = Violation::Format { found: Format::WebP, required: allowed };
        assert_eq!(broken, [format, too_short(399), too_long(7_001)]);
        assert_eq!(broken[0].to_string(), said);
    }
}

#[test]
fn changed_limits_are_the_ones_that_hold() {
    // The service's own error text, read strictly: larger than 400, smaller than 7000.
    let strict = sides(401, 6_999);
    for (width, height, broken) in [
        (401, 6_999, vec![]),
        (400, 6_999, vec![Violation::ShortestSideBelowMin { found: 400, required: 401 }]),
        (401, 7_000, vec![Violation::LongestSideAboveMax { found: 7_000, required: 6_999 }]),
    ] {
        let header = Header::new(Format::Png, width, height, None);
        assert_eq!(strict.check(&header), broken, "{width}×{height}");
    }
    let none = sides(0, u32::MAX);
    assert!(none.check(&Header::new(Format::Png, 1, u32::MAX, None)).is_empty());
}

#[test]
fn every_violation_becomes_a_reason_with_numbers() {
    for (violation, code, found, required, message) in [
        (
            too_short(399),
            ReasonCode::ShortestSideBelowMin,
            json!(399),
            json!(400),
            "shortest side must be at least 400 px, found 399 px",
        ),
        (
            too_long(7_001),
            ReasonCode::LongestSideAboveMax,
            json!(7_001),
            json!(7_000),
            "longest side must be at most 7000 px, found 7001 px",
        ),
        (
            Violation::Format { found: Format::Bmp, required: vec![Format::Jpeg, Format::Png] },
            ReasonCode::UnsupportedFormat,
            json!("BMP"),
            json!("JPEG or PNG"),
            "format must be JPEG or PNG, found BMP",
        ),
    ] {
        let reason = Reason::from(&violation);
        assert_eq!(reason.code, code);
        assert_eq!((reason.found, reason.required), (Some(found), Some(required)));
        assert_eq!(reason.message, message);
        assert_eq!(violation.to_string(), message);
    }
}

fn too_short(found: u32) -> Violation {
    Violation::ShortestSideBelowMin { found, required: 400 }
}

fn too_long(found: u32) -> Violation {
    Violation::LongestSideAboveMax { found, required: 7_000 }
}

fn sides(shortest_side_min: u32, longest_side_max: u32) -> Limits {
    let mut limits = Limits::default();
    (limits.shortest_side_min, limits.longest_side_max) = (shortest_side_min, longest_side_max);
    limits
}
