//! Any answer of the service: a decision, never a panic; nothing that may have been billed is
//! repeated, and a bill is what the answer says.

#![no_main]

use emo_preflight::fuzzing::{Ending, answered};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    // At the end, so that an answer is a good input as it is.
    let (body, choices) = input.split_at(input.len() - input.len().min(3));
    let [status, wait, attempt] = *choices else { return };
    let status = STATUSES[usize::from(status) % STATUSES.len()];
    let wait = WAITS[usize::from(wait) % WAITS.len()];
    let attempt = usize::from(attempt % 12);
    let decided = answered(status, wait, body, attempt);

    let is_ours = decided.is_the_services_json;
    let gave_up = matches!(status, 408 | 499 | 502 | 504);
    // What stands in front of the service refused the call.
    let is_refusal = !is_ours && (300..500).contains(&status) && !gave_up;
    if matches!(decided.ending, Ending::Repeated | Ending::Refused) {
        let is_answer = is_ours && !(300..400).contains(&status) && !gave_up;
        assert!(decided.images == Some(0) && (is_answer || is_refusal));
    }
    if decided.images == Some(0) {
        assert!(is_ours || is_refusal);
    }
    // Read by another reader, which takes the last of several fields of one name.
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let count = &value["usage"]["image_count"];
    match decided.images {
        Some(0) if is_refusal => {}
        Some(0) => assert!(count.is_null() || count.as_f64() == Some(0.0), "{count}"),
        Some(images) => assert_eq!(count.as_f64(), Some(images as f64)),
        None => {}
    }
    if count.as_u64().is_some_and(|count| (1..1_000).contains(&count)) && is_ours {
        assert!(!matches!(decided.ending, Ending::Repeated | Ending::Refused));
    }
    if decided.ending == Ending::Passed {
        assert_eq!(value["output"]["check_pass"], Value::Bool(true));
        for name in ["face_bbox", "ext_bbox"] {
            assert_eq!(value["output"][name].as_array().map(Vec::len), Some(4));
        }
    }
});

const STATUSES: [u16; 16] =
    [200, 200, 200, 200, 204, 302, 400, 401, 404, 408, 429, 499, 500, 502, 503, 504];

const WAITS: [Option<&str>; 8] = [
    None,
    Some("1"),
    Some("-1"),
    Some("99999999999999999999"),
    Some("18446744073709551615"),
    Some("Sun, 06 Nov 1994 08:49:37 GMT"),
    Some("Fri, 31 Dec 9999 23:59:59 GMT"),
    Some("soon"),
];
