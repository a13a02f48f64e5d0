//! Any Content-Range: what is taken for an answer lies within what was asked, and is what the
//! header's text says.

#![no_main]

use emo_preflight::fuzzing::content_range;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, u64, &str)| {
    let (first, length, value) = input;
    let Some((from, to, total)) = content_range(value, first, length) else { return };
    assert_eq!(from, first);
    assert!(from <= to);
    assert!(to - from <= length.max(1) - 1);
    assert!(total.is_none_or(|total| to < total));
    // Ends early only at the end.
    assert!(to - from == length.max(1) - 1 || to == u64::MAX || total.is_none_or(|t| t == to + 1));
    // The text says nothing else.
    let total = total.map_or("*".to_owned(), |total| total.to_string());
    let plain = format!("bytes {from}-{to}/{total}");
    assert_eq!(content_range(&plain, first, length), content_range(value, first, length));
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
    };
    assert_eq!(numbers(&plain), numbers(value));
});
