//! The service's JSON: an answer in every shape met, but for what only its detector can read.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::detector::{Detector, Finding};
use crate::rules::BBox;

/// What an answer says, whichever shape it says it in. Unknown fields are passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) finding: Finding,
    /// The top-level code, else `output.code`; never empty.
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
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
    /// Something else than zeros that is no number of images: it was billed, who knows how much.
    Unreadable,
}

impl Answer {
    /// Reads a complete body. `None` when it is not the service's JSON: an object with an
    /// `output` object, a non-empty `code`, or a bill. A gateway's own error page is none, and
    /// neither is an object that says one thing twice: which of the two holds may be worth money.
    pub(crate) fn parse(body: &[u8], detector: &Detector) -> Option<Self> {
        // Some gateways put a byte order mark before it.
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let whole: &RawValue = serde_json::from_slice(body).ok()?;
        let whole: Whole<'_> = read(Some(whole).filter(|raw| is_object(raw))?)?;
        let top_code = whole.code.and_then(text);
        let image_count = whole.usage.map_or(Count::Absent, bill);
        // Whatever else is odd about it: a bill that is stated is certain.
        let is_billed = matches!(image_count, Count::Images(_));
        let output = whole.output.filter(|raw| is_object(raw));
        let (finding, said) = match output.map(|raw| ((detector.read)(raw), read(raw))) {
            Some((Some(finding), Some(said))) => (finding, said),
            // It says one thing twice and may hold any verdict.
            Some(_) if is_billed => (Finding::Unreadable, Said::default()),
            Some(_) => return None,
            None if top_code.is_none() && !is_billed => return None,
            None => (Finding::Absent, Said::default()),
        };
        Some(Self {
            finding,
            message: whole.message.and_then(text).or_else(|| said.message.and_then(text)),
            code: top_code.or_else(|| said.code.and_then(text)),
            image_count,
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

/// What every detector may say in `output`.
#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    image_count: Option<&'a RawValue>,
}

pub(super) fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// Serde would read an array as the fields of a struct in their order.
fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

fn text(value: &RawValue) -> Option<String> {
    read(value).filter(|text: &String| !text.is_empty())
}

/// A box is four finite numbers.
pub(super) fn bounding_box(value: &RawValue) -> Option<BBox> {
    read::<[f64; 4]>(value).map(BBox::from)
}

fn bill(usage: &RawValue) -> Count {
    let count = match Some(usage).filter(|raw| is_object(raw)).and_then(read::<Usage<'_>>) {
        Some(Usage { image_count: Some(count) }) => images(count),
        Some(Usage { image_count: None }) => Count::Absent,
        None => Count::Unreadable,
    };
    match count {
        // Whatever else is counted may be billed too.
        Count::Absent | Count::Images(0) if !read(usage).is_some_and(is_nothing) => {
            Count::Unreadable
        }
        count => count,
    }
}

/// Whether nothing but zeros is in it.
fn is_nothing(value: Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Object(fields) => fields.into_iter().all(|(_, value)| is_nothing(value)),
        Value::Bool(_) | Value::String(_) | Value::Array(_) => false,
    }
}

fn images(count: &RawValue) -> Count {
    // One request is about one image: a bill of a million is none that can be believed.
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
    use super::super::EMO_DETECT;
    use super::*;

    fn parse(body: &str) -> Option<Answer> {
        Answer::parse(body.as_bytes(), &EMO_DETECT)
    }

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
            (r#"{"output":null,"usage":{"image_count":1}}"#, true),
            (r#"{"usage":{"image_count":0}}"#, true),
            (r#"{"output":"busy","usage":{"image_count":"1"}}"#, false),
            (
                r#"{"output":{"check_pass":true,"check_pass":false},"usage":{"image_count":1}}"#,
                true,
            ),
        ] {
            assert_eq!(parse(body).is_some(), is, "{body}");
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
            assert_eq!(parse(&body).unwrap().image_count, is, "{count}");
        }
    }

    #[test]
    fn what_is_counted_beside_images_may_be_billed_too() {
        for (usage, is) in [
            ("null", Count::Absent),
            ("{}", Count::Absent),
            (r#"{"total_tokens":0,"details":{"input":0.0,"output":null}}"#, Count::Absent),
            (r#"{"image_count":0,"total_tokens":0}"#, Count::Images(0)),
            (r#"{"image_count":1,"total_tokens":7}"#, Count::Images(1)),
            (r#"{"image_count":0,"total_tokens":7}"#, Count::Unreadable),
            (r#"{"total_tokens":7}"#, Count::Unreadable),
            (r#"{"images":1}"#, Count::Unreadable),
            (r#"{"details":{"input":1}}"#, Count::Unreadable),
            (r#"{"size":"1280*720"}"#, Count::Unreadable),
            (r#"{"duration":false}"#, Count::Unreadable),
            ("[]", Count::Unreadable),
            ("0", Count::Unreadable),
        ] {
            let body = format!(r#"{{"code":"X","usage":{usage}}}"#);
            assert_eq!(parse(&body).unwrap().image_count, is, "{usage}");
        }
    }
}
