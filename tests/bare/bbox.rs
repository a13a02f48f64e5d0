//! What must hold between the two boxes, the image and the ratio.

use emo_preflight::header::{Format, Header, Orientation};
use emo_preflight::{AspectRatio, BBox, BoxProblem, Reason, check_boxes};
use proptest::prelude::*;

use AspectRatio::{Portrait, Square};

#[test]
fn the_vendors_samples_pass() {
    for (name, face, ext) in [
        ("emo page", [302, 286, 610, 593], [71, 9, 840, 778]),
        ("field, touches the top edge", [387, 188, 769, 570], [225, 0, 931, 706]),
        // 546×545: equality of ratios would reject a real answer.
        ("emoji page", [212, 194, 460, 441], [63, 30, 609, 575]),
    ] {
        let (face, ext) = (bbox(face), bbox(ext));
        assert_eq!(check_boxes(&face, &ext, Square, None), [], "{name}");
        // As small an image as holds the box: edges equal to its sides pass.
        let tight = Header::new(Format::Jpeg, ext.x2 as u32, ext.y2 as u32, None);
        assert_eq!(check_boxes(&face, &ext, Square, Some(&tight)), [], "{name}");
        assert_eq!(codes(face, ext, Portrait, None), ["ratio_mismatch"], "{name}");
    }
}

#[test]
fn each_problem_has_its_name() {
    let image = Some(image(1_000, 1_000, Some(Orientation::NORMAL)));
    let inside = bbox([200, 200, 300, 300]);
    for (name, face, ext, ratio, expected) in [
        ("all holds", inside, bbox([100, 100, 500, 500]), Square, &[][..]),
        ("all of the image", inside, bbox([0, 0, 1_000, 1_000]), Square, &[]),
        ("face is ext", inside, inside, Square, &[]),
        ("one pixel off", inside, bbox([100, 100, 500, 501]), Square, &[]),
        ("a pixel off on each side", inside, bbox([99, 100, 500, 499]), Square, &[]),
        ("three off", inside, bbox([100, 100, 500, 503]), Square, &["ratio_mismatch"]),
        ("3:4", inside, bbox([100, 100, 400, 500]), Portrait, &[]),
        ("3:4 asked as 1:1", inside, bbox([100, 100, 400, 500]), Square, &["ratio_mismatch"]),
        ("4:3", inside, bbox([100, 100, 500, 400]), Portrait, &["ratio_mismatch"]),
        ("8:11", inside, bbox([100, 100, 500, 650]), Portrait, &["ratio_8_11"]),
        ("8:11 of 1:1", inside, bbox([100, 100, 500, 650]), Square, &["ratio_mismatch"]),
        ("right", inside, bbox([601, 100, 1_001, 500]), Square, &["box_out_of_image", FACE]),
        ("below", inside, bbox([100, 601, 500, 1_001]), Square, &["box_out_of_image", FACE]),
        ("left", inside, bbox([-1, 100, 399, 500]), Square, &["box_out_of_image"]),
        ("above", inside, bbox([100, -1, 500, 399]), Square, &["box_out_of_image"]),
        ("face left", bbox([99, 200, 300, 300]), bbox([100, 100, 500, 500]), Square, &[FACE]),
        ("face above", bbox([200, 99, 300, 300]), bbox([100, 100, 500, 500]), Square, &[FACE]),
        ("face right", bbox([200, 200, 501, 300]), bbox([100, 100, 500, 500]), Square, &[FACE]),
        ("face below", bbox([200, 200, 300, 501]), bbox([100, 100, 500, 500]), Square, &[FACE]),
        ("face elsewhere", bbox([600, 600, 700, 700]), bbox([100, 100, 500, 500]), Square, &[FACE]),
        ("no face", bbox([200, 200, 200, 300]), bbox([100, 100, 500, 500]), Square, &[NO_AREA]),
        ("flat face", bbox([200, 200, 300, 200]), bbox([100, 100, 500, 500]), Square, &[NO_AREA]),
        // A box without area has no ratio to speak of; the rest is still said.
        ("no ext", inside, bbox([100, 100, 100, 500]), Square, &[NO_AREA, FACE]),
        ("all zero", bbox([0; 4]), bbox([0; 4]), Square, &[NO_AREA, NO_AREA]),
        (
            "swapped",
            bbox([300, 300, 200, 200]),
            bbox([500, 500, 100, 100]),
            Square,
            &[NO_AREA, NO_AREA, FACE],
        ),
        ("swapped across", inside, bbox([500, 100, 100, 500]), Square, &[NO_AREA, FACE]),
        ("swapped upright", inside, bbox([100, 500, 500, 100]), Square, &[NO_AREA, FACE]),
        (
            "all of it",
            bbox([-9, 0, 2_000, 0]),
            bbox([-5, 0, 2_000, 9]),
            Square,
            &[NO_AREA, "ratio_mismatch", "box_out_of_image", FACE],
        ),
    ] {
        assert_eq!(codes(face, ext, ratio, image), expected, "{name}");
    }
}

#[test]
fn numbers_that_are_none_never_pass() {
    let (face, ext) = ([200.0, 200.0, 300.0, 300.0], [100.0, 100.0, 500.0, 500.0]);
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for side in 0..4 {
            let mut bad = ext;
            bad[side] = odd;
            assert_ne!(codes(face.into(), bad.into(), Square, None), [""; 0], "ext {side} {odd}");
            let mut bad = face;
            bad[side] = odd;
            assert_ne!(codes(bad.into(), ext.into(), Square, None), [""; 0], "face {side} {odd}");
        }
    }
    let nan = [f64::NAN; 4].into();
    assert_eq!(codes(nan, nan, Square, None), [NO_AREA, NO_AREA, FACE]);
}

#[test]
fn a_problem_says_what_was_found_and_required() {
    let image = Some(image(400, 300, Some(Orientation::NORMAL)));
    for (face, ext, ratio, found, required, message) in [
        (
            [10, 10, 20, 20],
            [0, 0, 200, 250],
            Square,
            "200×250",
            "1:1",
            "ext_bbox must be 1:1 within one pixel a side, found 200×250",
        ),
        (
            [10, 10, 20, 20],
            [0, 0, 80, 110],
            Portrait,
            "80×110",
            "3:4",
            "ext_bbox must be 3:4 within one pixel a side, found 80×110, which is 8:11, the shape of \
             EMO's 512×704 video",
        ),
        (
            [10, 10, 20, 20],
            [0, 0, 301, 301],
            Square,
            "[0, 0, 301, 301]",
            "within 400×300",
            "ext_bbox must lie within the 400×300 image, found [0, 0, 301, 301]",
        ),
        (
            [10, 10, 20, 20],
            [11, 0, 211, 200],
            Square,
            "[10, 10, 20, 20]",
            "within [11, 0, 211, 200]",
            "face_bbox must lie within ext_bbox [11, 0, 211, 200], found [10, 10, 20, 20]",
        ),
    ] {
        let problems = check_boxes(&bbox(face), &bbox(ext), ratio, image.as_ref());
        assert_eq!(problems.len(), 1, "{message}");
        let reason = Reason::from(&problems[0]);
        assert_eq!(reason.message, message);
        assert_eq!(reason.found, Some(found.into()), "{message}");
        assert_eq!(reason.required, Some(required.into()), "{message}");
    }
    let flat = BoxProblem::Degenerate { name: "face_bbox", found: bbox([1, 2, 1, 4]) };
    let reason = Reason::from(&flat);
    assert_eq!(reason.message, "face_bbox must have an area, found [1, 2, 1, 4]");
    assert_eq!((reason.found, reason.required), (Some("[1, 2, 1, 4]".into()), None));
}

#[test]
fn bounds_hold_for_either_orientation_where_it_may_be_either() {
    let across = bbox([500, 0, 900, 400]);
    let upright = bbox([0, 500, 400, 900]);
    let neither = bbox([500, 500, 900, 900]);
    let out = ["box_out_of_image"];
    for value in 0..=8 {
        let orientation = Orientation::new(value);
        let image = Some(image(900, 400, orientation));
        // As stored it always passes: which of the two the service means is not documented.
        assert_eq!(codes(across, across, Square, image), [""; 0], "{orientation:?}");
        assert_eq!(codes(neither, neither, Square, image), out, "{orientation:?}");
        let found = codes(upright, upright, Square, image);
        match value {
            0 | 5..=8 => assert_eq!(found, [""; 0], "{orientation:?}"),
            _ => assert_eq!(found, out, "{orientation:?}"),
        }
    }
    assert_eq!(codes(neither, neither, Square, None), [""; 0], "without a header, no bounds");
}

#[test]
fn a_box_in_json() {
    for (numbers, json) in [
        ([302.0, 286.0, 610.0, 593.0], "[302,286,610,593]"),
        ([-1.0, 0.0, 1e3, 2.0], "[-1,0,1000,2]"),
        // One side with a fraction: nothing is rounded.
        ([0.5, 1.0, 2.25, 3.0], "[0.5,1.0,2.25,3.0]"),
        ([0.0, 0.0, 9_007_199_254_740_992.0, 1.0], "[0,0,9007199254740992,1]"),
        ([0.0, 0.0, 1e300, 1.0], "[0.0,0.0,1e+300,1.0]"),
    ] {
        let bbox = BBox::from(numbers);
        assert_eq!(serde_json::to_string(&bbox).unwrap(), json);
        assert_eq!(serde_json::from_str::<BBox>(json).unwrap(), bbox);
        assert_eq!(<[f64; 4]>::from(bbox), numbers);
    }
    for bad in ["[1,2,3]", "[1,2,3,4,5]", "[1,2,3,\"4\"]", "[1,2,3,null]", "{}", "null", "7"] {
        assert!(serde_json::from_str::<BBox>(bad).is_err(), "{bad}");
    }
    assert_eq!(bbox([1, 2, 3, 4]).to_string(), "[1, 2, 3, 4]");
}

#[test]
fn a_ratio_in_text() {
    for (text, ratio) in [("1:1", Square), ("3:4", Portrait)] {
        assert_eq!(text.parse(), Ok(ratio));
        assert_eq!(ratio.to_string(), text);
        assert_eq!(serde_json::to_string(&ratio).unwrap(), format!("{text:?}"));
        assert_eq!(serde_json::from_str::<AspectRatio>(&format!("{text:?}")).unwrap(), ratio);
    }
    for bad in ["", "1:2", "4:3", " 1:1", "1:1 ", "1", "１:１"] {
        let error = bad.parse::<AspectRatio>().unwrap_err();
        assert_eq!(error.to_string(), format!("aspect ratio must be 1:1 or 3:4, found {bad:?}"));
        assert!(serde_json::from_str::<AspectRatio>(&format!("{bad:?}")).is_err(), "{bad:?}");
    }
    assert_eq!(AspectRatio::default(), Square);
}

proptest! {
    /// The rule's reason: the service computes in real numbers and rounds each corner.
    #[test]
    fn an_exact_box_rounded_at_its_corners_passes(
        x in 0.0..7_000.0,
        y in 0.0..7_000.0,
        unit in 1.0..2_000.0,
        portrait: bool,
    ) {
        let (ratio, a, b) = if portrait { (Portrait, 3.0, 4.0) } else { (Square, 1.0, 1.0) };
        let corners: [f64; 4] = [x, y, x + unit * a, y + unit * b];
        for rounded in [corners.map(f64::round), corners.map(f64::round_ties_even)] {
            let ext = BBox::from(rounded);
            prop_assert_eq!(check_boxes(&ext, &ext, ratio, None), [], "{}", ext);
        }
    }

    /// Judged by the documented inequality in whole numbers, written down here a second time.
    #[test]
    fn the_tolerance_is_exactly_a_pixel_a_side(
        x in 0_i64..7_000,
        y in 0_i64..7_000,
        (w, h) in sides(),
        portrait: bool,
    ) {
        let (ratio, a, b) = if portrait { (Portrait, 3, 4) } else { (Square, 1, 1) };
        let ext = bbox([x, y, x + w, y + h]);
        let near = |a: i64, b: i64| (w * b - h * a).abs() <= a + b;
        let expected = match (near(a, b), portrait && near(8, 11)) {
            (true, _) => vec![],
            (false, true) => vec!["ratio_8_11"],
            (false, false) => vec!["ratio_mismatch"],
        };
        prop_assert_eq!(codes(ext, ext, ratio, None), expected, "{}x{}", w, h);
    }

    #[test]
    fn bounds_are_those_of_the_image(
        width in 1_u32..3_000,
        height in 1_u32..3_000,
        value in 0_u8..=8,
        x in -3_i64..3_000,
        y in -3_i64..3_000,
        side in 1_i64..3_000,
    ) {
        let ext = bbox([x, y, x + side, y + side]);
        let fits = |w: u32, h: u32| {
            x >= 0 && y >= 0 && x + side <= i64::from(w) && y + side <= i64::from(h)
        };
        let turned = matches!(value, 0 | 5..=8) && fits(height, width);
        let image = image(width, height, Orientation::new(value));
        let passes = codes(ext, ext, Square, Some(image)).is_empty();
        prop_assert_eq!(passes, fits(width, height) || turned);
    }

    #[test]
    fn a_face_is_inside_or_named(
        face in proptest::array::uniform4(0_i64..60),
        ext in proptest::array::uniform4(0_i64..60),
    ) {
        let inside =
            ext[0] <= face[0] && ext[1] <= face[1] && face[2] <= ext[2] && face[3] <= ext[3];
        let found = codes(bbox(face), bbox(ext), Square, None);
        prop_assert_eq!(found.contains(&FACE.to_owned()), !inside);
        let without_area = |b: [i64; 4]| usize::from(b[0] >= b[2] || b[1] >= b[3]);
        let said = found.iter().filter(|code| *code == NO_AREA).count();
        prop_assert_eq!(said, without_area(face) + without_area(ext));
    }

    #[test]
    fn a_box_survives_json(sides in proptest::array::uniform4(-1_000_000_i32..1_000_000)) {
        // Sixty-fourths are exact in binary and short in decimal.
        for bbox in [sides.map(f64::from), sides.map(|v| f64::from(v) / 64.0)].map(BBox::from) {
            let json = serde_json::to_string(&bbox).unwrap();
            prop_assert_eq!(serde_json::from_str::<BBox>(&json).unwrap(), bbox, "{}", json);
        }
    }
}

/// Sides near 1:1, 3:4 and 8:11, where the decision lies, and anywhere.
fn sides() -> impl Strategy<Value = (i64, i64)> {
    let near = |a: i64, b: i64| {
        (1_i64..700, -3_i64..=3, -3_i64..=3)
            .prop_map(move |(k, dw, dh)| ((k * a + dw).max(1), (k * b + dh).max(1)))
    };
    prop_oneof![near(1, 1), near(3, 4), near(8, 11), (1_i64..7_000, 1_i64..7_000)]
}

fn bbox(sides: [i64; 4]) -> BBox {
    BBox::from(sides.map(|side| side as f64))
}

fn image(width: u32, height: u32, orientation: Option<Orientation>) -> Header {
    Header::new(Format::Jpeg, width, height, orientation)
}

/// The codes of what does not hold, in order.
fn codes(face: BBox, ext: BBox, ratio: AspectRatio, image: Option<Header>) -> Vec<String> {
    check_boxes(&face, &ext, ratio, image.as_ref())
        .iter()
        .map(|problem| Reason::from(problem).code.to_string())
        .collect()
}

const FACE: &str = "face_outside_ext";
const NO_AREA: &str = "box_degenerate";
