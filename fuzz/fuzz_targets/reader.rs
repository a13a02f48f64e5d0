//! Any bytes: an answer or an error, never a panic, and what the bytes behind it say is nothing.

#![no_main]

use std::io::Cursor;

use emo_preflight::Limits;
use emo_preflight::header::{self, HeaderReader, ReadError, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let whole = header::from_slice(file);
    match &whole {
        Ok(header) => {
            assert!(header.width > 0 && header.height > 0);
            let _ = Limits::default().check(header);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }

    // A prefix never says another thing than the whole, but that it ends too early.
    let half = &file[..file.len() / 2];
    if let Ok(header) = header::from_slice(half) {
        assert_eq!(Ok(header), whole);
    }

    // Skipping by seeking gives the same sides.
    match (header::from_reader(Cursor::new(file)), &whole) {
        (Ok(skipped), Ok(whole)) => {
            assert_eq!((skipped.format, skipped.width), (whole.format, whole.width));
            assert_eq!(skipped.height, whole.height);
        }
        (Err(ReadError::Header(skipped)), Err(whole)) => assert_eq!(skipped, *whole),
        (skipped, whole) => panic!("{skipped:?} and {whole:?}"),
    }

    // An answer stays.
    let mut reader = HeaderReader::new();
    let first = reader.feed(0, file);
    if !matches!(first, Ok(Step::Need { .. })) {
        assert_eq!(reader.feed(file.len() as u64, &[0xFF; 64]), first);
        assert_eq!(reader.step(), first);
    }
});
