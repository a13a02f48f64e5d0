//! A source as a line of text or a JSON object: what the program and the server read.

use serde_json::Value;

use super::Source;
use crate::report::Fields;
use crate::rules::{AspectRatio, UnknownRatio};

/// The source on a line, of which the first has number 1: a URL, or a JSON object. None on a blank
/// one. A line longer than `most` bytes may be given cut.
pub(crate) fn source(line: &[u8], number: u64, ratio: AspectRatio, most: usize) -> Option<Source> {
    let line = without_mark(line, number);
    let text = String::from_utf8_lossy(line);
    let shown = || shown(&text);
    let bad = |problem: String| {
        Some(Source::unreadable(shown(), format!("line {number}: {problem}")).ratio(ratio))
    };
    if line.len() > most {
        return bad(format!("a line must be at most {most} bytes"));
    }
    if std::str::from_utf8(line).is_err() {
        let hint = match line {
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] if number == 1 => {
                ", found UTF-16; convert it with: iconv -f UTF-16 -t UTF-8"
            }
            _ => "",
        };
        return bad(format!("a line must be UTF-8{hint}"));
    }
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if text.starts_with('[') {
        return bad(
            "the input must be one JSON object a line, found a JSON array; take it apart with: \
             jq -c '.[]'"
                .to_owned(),
        );
    }
    if !text.starts_with('{') {
        return Some(Source::url(text).ratio(ratio));
    }
    match serde_json::from_str::<Fields>(text) {
        Ok(fields) => Some(object(fields, &format!("line {number}"), shown, ratio)),
        Err(error) => {
            let error = json_error(&error);
            bad(format!("a line that begins with {{ must be a JSON object: {error}"))
        }
    }
}

/// A line without the byte order mark that some editors begin a file with.
pub(crate) fn without_mark(line: &[u8], number: u64) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF").filter(|_| number == 1).unwrap_or(line)
}

/// The source of an object. One that cannot be asked about keeps what could be understood of it,
/// the caller's own fields above all: they are how its result is found again.
pub(crate) fn object(
    mut fields: Fields,
    place: &str,
    shown: impl FnOnce() -> String,
    default: AspectRatio,
) -> Source {
    let url = match fields.take("image_url") {
        Some(Ok(Value::String(url))) => Ok(url),
        Some(other) => Err(format!("image_url must be a string, found {}", kind(&other))),
        None if fields.get("url").is_some() => {
            Err("an object must have image_url, found url; rename it".to_owned())
        }
        None => Err("an object must have image_url, found none".to_owned()),
    };
    let ratio = match fields.take("ratio") {
        None | Some(Ok(Value::Null)) => Ok(default),
        Some(Ok(Value::String(text))) => text.parse().map_err(|e: UnknownRatio| e.to_string()),
        Some(other) => Err(format!("ratio must be \"1:1\" or \"3:4\", found {}", kind(&other))),
    };
    let image_id = match fields.take("image_id") {
        None | Some(Ok(Value::Null)) => Ok(None),
        Some(Ok(Value::String(id))) if id.is_empty() => {
            Err("image_id must not be empty, found an empty text".to_owned())
        }
        Some(Ok(Value::String(id))) => Ok(Some(id)),
        // Beyond 64 bits, and with a fraction, two different numbers may read as the same one, and
        // the second image would get the first one's verdict.
        Some(Ok(Value::Number(id))) if id.is_u64() || id.is_i64() => Ok(Some(id.to_string())),
        Some(Ok(Value::Number(_))) => Err(format!("{IMAGE_ID}, found another number")),
        Some(other) => Err(format!("{IMAGE_ID}, found {}", kind(&other))),
    };
    let problem =
        [url.as_ref().err(), ratio.as_ref().err(), image_id.as_ref().err()].into_iter().flatten();
    let problems = problem.cloned().collect::<Vec<_>>().join("; ");
    let text = url.unwrap_or_else(|_| shown());
    let mut source = if problems.is_empty() {
        Source::url(text)
    } else {
        Source::unreadable(text, format!("{place}: {problems}"))
    }
    .ratio(ratio.unwrap_or(default));
    if let Ok(Some(id)) = image_id {
        source = source.image_id(id);
    }
    if fields.is_empty() { source } else { source.input(fields) }
}

/// What a value is, for people; never its text, which may be long or secret.
fn kind(value: &Result<Value, serde_json::Error>) -> String {
    match value {
        Ok(Value::Null) => "null",
        Ok(Value::Bool(_)) => "true or false",
        Ok(Value::Number(_)) => "a number",
        Ok(Value::String(_)) => "a string",
        Ok(Value::Array(_)) => "an array",
        Ok(Value::Object(_)) => "an object",
        Err(error) => return format!("what cannot be read: {}", json_error(error)),
    }
    .to_owned()
}

/// What is wrong with a line of JSON. A line has columns only; `line 1` would be taken for the
/// file's.
pub(crate) fn json_error(error: &serde_json::Error) -> String {
    let whole = error.to_string();
    let what = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(what, _)| what);
    match error.column() {
        // What is wrong with the whole has no column.
        0 => what.to_owned(),
        column => format!("{what}, at column {column}"),
    }
}

/// The start of a bad text, which its result shows as its source.
pub(crate) fn shown(text: &str) -> String {
    text.trim().chars().take(SHOWN).collect()
}

const IMAGE_ID: &str = "image_id must be a string or a whole number of 64 bits";

/// In characters.
const SHOWN: usize = 200;
