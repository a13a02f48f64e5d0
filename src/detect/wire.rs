//! The service's JSON: the question as documented, the answer in every shape met.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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
    pub(crate) check_pass: CheckPass,
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

/// What an answer says of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CheckPass {
    /// Nothing.
    #[default]
    Absent,
    /// It passed, or it did not.
    Is(bool),
    /// Something that is neither: there was a verdict, who knows which.
    Unreadable,
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
    /// `output` object or a non-empty `code`. A gateway's own error page is none, and neither is
    /// an object that says one thing twice: which of the two holds may be worth money.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        // Some gateways put a byte order mark before it.
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let whole: &RawValue = serde_json::from_slice(body).ok()?;
        let whole: Whole<'_> = read(Some(whole).filter(|raw| is_object(raw))?)?;
        // One that cannot be read may say anything, a verdict too.
        let output: Option<Output<'_>> = match whole.output.filter(|raw| is_object(raw)) {
            Some(raw) => Some(read(raw)?),
            None => None,
        };
        let top_code = whole.code.and_then(text);
        if output.is_none() && top_code.is_none() {
            return None;
        }
        let output = output.unwrap_or_default();
        Some(Self {
            check_pass: output.check_pass.map_or(CheckPass::Absent, |raw| {
                read(raw).map_or(CheckPass::Unreadable, CheckPass::Is)
            }),
            message: whole.message.and_then(text).or_else(|| output.message.and_then(text)),
            code: top_code.or_else(|| output.code.and_then(text)),
            face: output.face_bbox.and_then(bounding_box),
            ext: output.ext_bbox.and_then(bounding_box),
            image_count: whole.usage.map_or(Count::Absent, bill),
            request_id: whole.request_id.and_then(text),
        })
    }
}

/// The body, whose parts are read one by one: what is odd in one spoils no other.
#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    check_pass: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    face_bbox: Option<&'a RawValue>,
    #[serde(borrow)]
    ext_bbox: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    image_count: Option<&'a RawValue>,
}

fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// Serde would read an array as the fields of a struct in their order.
fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

fn text(value: &RawValue) -> Option<String> {
    read(value).filter(|text: &String| !text.is_empty())
}

fn bounding_box(value: &RawValue) -> Option<BBox> {
    read::<[f64; 4]>(value).map(BBox::from)
}

fn bill(usage: &RawValue) -> Count {
    match Some(usage).filter(|raw| is_object(raw)).and_then(read::<Usage<'_>>) {
        Some(Usage { image_count: Some(count) }) => images(count),
        Some(Usage { image_count: None }) => Count::Absent,
        None => Count::Unreadable,
    }
}

fn images(count: &RawValue) -> Count {
    // One request is about one picture: a bill of a million is none that can be believed.
    match read::<f64>(count).filter(|n| n.fract() == 0.0 && (0.0..=MOST_IMAGES).contains(n)) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative and small"
        )]
        Some(images) => Count::Images(images as u64),
        None => Count::Unreadable,
    }
}

const MOST_IMAGES: f64 = 1e6;

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
            (r#"[{},"X","",{},"r"]"#, false),
            (r#"{"output":[true,"X","",[],[]]}"#, false),
            (" \t{\"output\":{}}\r\n", true),
            ("null", false),
            ("", false),
            (r#"{"output":{"check_pass":true"#, false),
            ("<html>504</html>", false),
            (r#"{"output":{}}{"output":{}}"#, false),
            (r#"{"output":{},"output":{}}"#, false),
            (r#"{"output":{"check_pass":true,"check_pass":false}}"#, false),
            (r#"{"code":"X","output":{"check_pass":true,"check_pass":false}}"#, false),
            (r#"{"code":"X","output":{"check_pass":null}}"#, true),
            (r#"{"code":"X","usage":{"image_count":1},"usage":{}}"#, false),
            (r#"{"output":{},"later":1e400,"later":{}}"#, true),
        ] {
            assert_eq!(Answer::parse(body.as_bytes()).is_some(), is, "{body}");
        }
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
            ("1e400", Count::Unreadable),
            (r#"1,"image_count":0"#, Count::Unreadable),
            ("null", Count::Absent),
        ] {
            let body = format!(r#"{{"code":"X","usage":{{"image_count":{count}}}}}"#);
            assert_eq!(Answer::parse(body.as_bytes()).unwrap().image_count, is, "{count}");
        }
    }
}
