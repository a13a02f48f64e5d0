//! The service's JSON: the question as documented, the answer in every shape met.

use serde::Serialize;
use serde_json::Value;

use crate::bbox::{AspectRatio, BBox};

/// The request's body (vendor page).
#[derive(Serialize)]
pub(super) struct Question<'a> {
    pub(super) model: &'a str,
    pub(super) input: Input<'a>,
    pub(super) parameters: Parameters,
}

#[derive(Serialize)]
pub(super) struct Input<'a> {
    pub(super) image_url: &'a str,
}

#[derive(Serialize)]
pub(super) struct Parameters {
    pub(super) ratio: AspectRatio,
}

/// What an answer says, whichever shape it says it in. Unknown fields are passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) check_pass: Option<bool>,
    /// The top-level code, else `output.code`; never empty.
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    /// Absent unless it is four finite numbers.
    pub(crate) face: Option<BBox>,
    /// Absent unless it is four finite numbers.
    pub(crate) ext: Option<BBox>,
    /// `usage.image_count`: what was billed.
    pub(crate) image_count: Count,
    pub(crate) request_id: Option<String>,
}

/// What an answer says of its bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Count {
    /// Nothing.
    #[default]
    Absent,
    /// So many images.
    Images(u64),
    /// Something that is no number of images: it was billed, who knows how much.
    Unreadable,
}

impl Answer {
    /// Reads a complete body. `None` when it is not the service's JSON: an object with an
    /// `output` object or a non-empty `code`. A gateway's own error page is none.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        // Some gateways put a byte order mark before it.
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let whole: Value = serde_json::from_slice(body).ok()?;
        let output = whole.get("output").filter(|output| output.is_object());
        let top_code = text(&whole, "code");
        if output.is_none() && top_code.is_none() {
            return None;
        }
        let output = output.unwrap_or(&Value::Null);
        Some(Self {
            check_pass: output.get("check_pass").and_then(Value::as_bool),
            message: text(&whole, "message").or_else(|| text(output, "message")),
            code: top_code.or_else(|| text(output, "code")),
            face: bounding_box(output.get("face_bbox")),
            ext: bounding_box(output.get("ext_bbox")),
            image_count: whole.get("usage").map_or(Count::Absent, |u| count(u.get("image_count"))),
            request_id: text(&whole, "request_id"),
        })
    }
}

fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn bounding_box(value: Option<&Value>) -> Option<BBox> {
    let sides: Vec<f64> = value?.as_array()?.iter().map_while(Value::as_f64).collect();
    // `map_while` stops at what is no number, so a fifth or a textual side shows in the length.
    let all_numbers = value?.as_array()?.len() == sides.len();
    let sides: [f64; 4] = sides.try_into().ok()?;
    (all_numbers && sides.iter().all(|side| side.is_finite())).then(|| sides.into())
}

fn count(value: Option<&Value>) -> Count {
    let value = match value {
        None | Some(Value::Null) => return Count::Absent,
        Some(value) => value,
    };
    let whole = value.as_u64().or_else(|| {
        let number = value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..1e9).contains(n))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative and small"
        )]
        Some(number as u64)
    });
    // One request is about one picture: a bill of a million is none that can be believed.
    whole.filter(|images| *images <= MOST_IMAGES).map_or(Count::Unreadable, Count::Images)
}

const MOST_IMAGES: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_services_json() {
        for (body, is) in [
            (r#"{"output":{}}"#, true),
            (r#"{"code":"X"}"#, true),
            (r#"{"code":"X","later":[1]}"#, true),
            (r#"{"code":"","message":""}"#, false),
            (r#"{"code":7}"#, false),
            (r#"{"output":null}"#, false),
            (r#"{"output":"busy"}"#, false),
            (r#"{"error":{"code":"X"}}"#, false),
            ("[]", false),
            ("null", false),
            ("", false),
            (r#"{"output":{"check_pass":true"#, false),
            ("<html>504</html>", false),
            (r#"{"output":{}}{"output":{}}"#, false),
        ] {
            assert_eq!(Answer::parse(body.as_bytes()).is_some(), is, "{body}");
        }
    }

    #[test]
    fn a_box_is_four_finite_numbers() {
        for (face, is) in [
            ("[1,2,3,4]", true),
            ("[1.5,-2,3e2,4]", true),
            ("[1,2,3]", false),
            ("[1,2,3,4,5]", false),
            (r#"[1,2,3,"4"]"#, false),
            (r#"[1,2,3,4,"5"]"#, false),
            ("[1,2,3,null]", false),
            ("{}", false),
            ("null", false),
        ] {
            let body = format!(r#"{{"output":{{"face_bbox":{face}}}}}"#);
            let answer = Answer::parse(body.as_bytes()).unwrap();
            assert_eq!(answer.face.is_some(), is, "{face}");
        }
    }

    #[test]
    fn a_bill_is_a_whole_number() {
        for (count, is) in [
            ("0", Count::Images(0)),
            ("1", Count::Images(1)),
            ("2.0", Count::Images(2)),
            ("1.5", Count::Unreadable),
            ("-1", Count::Unreadable),
            ("18446744073709551615", Count::Unreadable),
            (r#""1""#, Count::Unreadable),
            ("[1]", Count::Unreadable),
            ("null", Count::Absent),
        ] {
            let body = format!(r#"{{"code":"X","usage":{{"image_count":{count}}}}}"#);
            assert_eq!(Answer::parse(body.as_bytes()).unwrap().image_count, is, "{count}");
        }
    }
}
