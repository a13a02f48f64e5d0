//! `emo-detect-v1` (vendor page).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::detector::{Ask, Detector, Finding};
use super::wire::{bounding_box, read};
use crate::rules::AspectRatio;

pub(crate) static EMO_DETECT: Detector = Detector {
    model: "emo-detect-v1",
    path: &["services", "aigc", "image2video", "face-detect"],
    calls_per_second: 5.0,
    body,
    read: finding,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Input<'a>,
    parameters: Parameters,
}

#[derive(Serialize)]
struct Input<'a> {
    image_url: &'a str,
}

#[derive(Serialize)]
struct Parameters {
    ratio: AspectRatio,
}

fn body(&Ask { model, image_url, ratio }: &Ask<'_>) -> serde_json::Result<Vec<u8>> {
    let (input, parameters) = (Input { image_url }, Parameters { ratio });
    serde_json::to_vec(&Body { model, input, parameters })
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    check_pass: Option<&'a RawValue>,
    #[serde(borrow)]
    face_bbox: Option<&'a RawValue>,
    #[serde(borrow)]
    ext_bbox: Option<&'a RawValue>,
}

fn finding(output: &RawValue) -> Option<Finding> {
    let Output { check_pass, face_bbox, ext_bbox } = read(output)?;
    Some(match check_pass.map(read) {
        None => Finding::Absent,
        Some(None) => Finding::Unreadable,
        Some(Some(false)) => Finding::Failed,
        Some(Some(true)) => {
            match (face_bbox.and_then(bounding_box), ext_bbox.and_then(bounding_box)) {
                (Some(face), Some(ext)) => Finding::Passed { face, ext },
                _ => Finding::Incomplete("check_pass comes with two boxes of four finite numbers"),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(output: &str) -> Option<Finding> {
        let output: &RawValue = serde_json::from_str(output).unwrap();
        finding(output)
    }

    #[test]
    fn a_box_is_four_finite_numbers() {
        for (face, is) in [
            ("[1,2,3,4]", true),
            ("[1.5,-2,3e2,4]", true),
            ("[1,2,3,4e400]", false),
            ("[1,2,3]", false),
            ("[1,2,3,4,5]", false),
            (r#"[1,2,3,"4"]"#, false),
            (r#"[1,2,3,4,"5"]"#, false),
            ("[1,2,3,null]", false),
            ("{}", false),
            ("null", false),
        ] {
            for (face, ext) in [(face, "[0,0,9,9]"), ("[0,0,9,9]", face)] {
                let output =
                    format!(r#"{{"check_pass":true,"face_bbox":{face},"ext_bbox":{ext}}}"#);
                let passed = matches!(of(&output), Some(Finding::Passed { .. }));
                let incomplete = matches!(of(&output), Some(Finding::Incomplete(_)));
                assert_eq!((passed, incomplete), (is, !is), "{output}");
            }
        }
    }

    #[test]
    fn what_is_said_of_the_image() {
        for (output, expected) in [
            ("{}", Some(Finding::Absent)),
            (r#"{"check_pass":null}"#, Some(Finding::Absent)),
            (r#"{"check_pass":false,"later":1}"#, Some(Finding::Failed)),
            (r#"{"check_pass":"true"}"#, Some(Finding::Unreadable)),
            (r#"{"check_pass":1}"#, Some(Finding::Unreadable)),
            (r#"{"check_pass":false,"check_pass":true}"#, None),
        ] {
            assert_eq!(of(output), expected, "{output}");
        }
    }
}
