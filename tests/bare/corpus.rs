//! Real files of other projects, where they are at hand: the folder named by
//! `EMO_PREFLIGHT_CORPUS`, or `../shared/corpus`, with a `truth.jsonl` of one object a line:
//! `{"path", "expect": "header" | "unsupported" | "no_panic", "format", "width", "height"}`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Write as _};
use std::path::PathBuf;

use emo_preflight::header::{
    self, Format, Header, HeaderError, HeaderReader, Orientation, ReadError, Step,
};
use image::{ImageDecoder, ImageReader};
use serde_json::Value;

#[test]
fn headers_are_right() {
    let Some(files) = corpus() else { return };
    let mut seen = BTreeMap::<String, usize>::new();
    for file in files.iter().filter(|file| file.expect == "header") {
        let header = header::from_slice(&file.bytes)
            .unwrap_or_else(|error| panic!("{}: {error}", file.path));
        assert_eq!(
            serde_json::to_value(header.format).unwrap(),
            file.truth["format"],
            "{}",
            file.path
        );
        assert_eq!(header.width, file.truth["width"], "{}", file.path);
        assert_eq!(header.height, file.truth["height"], "{}", file.path);
        *seen.entry(header.format.to_string()).or_default() += 1;
    }
    println!("right: {seen:?}");
    assert!(seen.len() == 4, "all four formats are in the corpus");
}

#[test]
fn every_way_of_feeding_agrees() {
    let Some(files) = corpus() else { return };
    let mut jumped = 0;
    for file in &files {
        let whole = header::from_slice(&file.bytes);

        assert_eq!(byte_by_byte(&file.bytes), whole, "{}", file.path);

        let read = match header::from_reader(File::open(&file.full).unwrap()) {
            Ok(header) => Ok(header),
            Err(ReadError::Header(error)) => Err(error),
            Err(error) => panic!("{}: {error}", file.path),
        };
        agrees(&file.path, &read, &whole);

        let (skipped, taken) = only_what_is_wanted(&file.bytes);
        agrees(&file.path, &skipped, &whole);
        jumped += usize::from(taken < file.bytes.len());
    }
    assert!(jumped > 0);
}

#[test]
fn what_the_service_does_not_take_is_named() {
    let Some(files) = corpus() else { return };
    let mut named = 0;
    for file in files.iter().filter(|file| file.expect == "unsupported") {
        let name = match file.path.rsplit('.').next() {
            Some("gif") => "GIF",
            Some("ico") => "ICO",
            Some("tif" | "tiff") => "TIFF",
            other => panic!("a name for {other:?}"),
        };
        let error = header::from_slice(&file.bytes).expect_err(&file.path);
        assert!(error.is_unsupported(), "{}: {error}", file.path);
        assert!(error.to_string().ends_with(&format!("found {name}")), "{}: {error}", file.path);
        named += 1;
    }
    assert!(named > 0);
}

#[test]
fn every_cut_is_an_error_or_the_same_answer() {
    let Some(files) = corpus() else { return };
    for file in &files {
        let whole = header::from_slice(&file.bytes);
        for cut in (0..file.bytes.len()).step_by(1 + file.bytes.len() / 500) {
            if let Ok(header) = header::from_slice(&file.bytes[..cut]) {
                assert_eq!(Ok(header), whole, "{} cut to {cut} bytes", file.path);
            }
        }
    }
}

#[test]
fn image_agrees() {
    let Some(files) = corpus() else { return };
    let (mut both, mut neither, mut only_ours, mut only_theirs) = (0, 0, vec![], vec![]);
    for file in &files {
        let theirs = decoder(&file.bytes);
        match (header::from_slice(&file.bytes), theirs) {
            (Ok(ours), Some((dimensions, orientation))) => {
                assert_eq!((ours.width, ours.height), dimensions, "{}", file.path);
                // image reads a PNG's or WebP's EXIF too, which comes after the header.
                if let (Format::Jpeg, Some(ours)) = (ours.format, ours.orientation) {
                    assert_eq!(ours.get(), orientation, "{}", file.path);
                }
                both += 1;
            }
            (Ok(_), None) => only_ours.push(&file.path),
            (Err(error), Some(_)) => only_theirs.push(format!("{}: {error}", file.path)),
            (Err(_), None) => neither += 1,
        }
    }
    println!("both {both}, neither {neither}");
    println!("not image: {only_ours:#?}");
    assert!(both > 0);
    assert!(only_theirs.is_empty(), "{only_theirs:#?}");
    // image also judges a BMP's palette, bit count and compression.
    assert!(only_ours.iter().all(|path| path.ends_with(".bmp")), "{only_ours:#?}");
}

struct Sample {
    path: String,
    full: PathBuf,
    expect: String,
    truth: Value,
    bytes: Vec<u8>,
}

fn corpus() -> Option<Vec<Sample>> {
    let folder = std::env::var_os("EMO_PREFLIGHT_CORPUS")
        .map_or_else(|| PathBuf::from(DEFAULT_FOLDER), PathBuf::from);
    if !folder.exists() {
        // Past the capture of a passing test's output: that nothing ran is to be seen.
        let _ = writeln!(io::stderr(), "NOT RUN: there is no corpus at {}", folder.display());
        return None;
    }
    let truth = fs::read_to_string(folder.join("truth.jsonl")).unwrap();
    let sample = |line: &str| {
        let truth: Value = serde_json::from_str(line).unwrap();
        let path = truth["path"].as_str().unwrap().to_owned();
        let full = folder.join(&path);
        let bytes = fs::read(&full).unwrap();
        let expect = truth["expect"].as_str().unwrap().to_owned();
        Sample { path, full, expect, truth, bytes }
    };
    Some(truth.lines().map(sample).collect())
}

fn byte_by_byte(file: &[u8]) -> Result<Header, HeaderError> {
    let mut reader = HeaderReader::new();
    for (at, byte) in file.iter().enumerate() {
        if let Step::Done(header) = reader.feed(at as u64, std::slice::from_ref(byte))? {
            return Ok(header);
        }
    }
    reader.eof(file.len() as u64)
}

/// The answer, and how many bytes it took.
fn only_what_is_wanted(file: &[u8]) -> (Result<Header, HeaderError>, usize) {
    let mut reader = HeaderReader::new();
    let mut taken = 0;
    loop {
        let (at, len) = match reader.step() {
            Ok(Step::Done(header)) => return (Ok(header), taken),
            Ok(Step::Need { at, len }) => (at, len),
            Err(error) => return (Err(error), taken),
        };
        let wanted = file.get(at as usize..).unwrap_or_default();
        let wanted = &wanted[..len.min(wanted.len())];
        if wanted.is_empty() {
            return (reader.eof(file.len() as u64), taken);
        }
        taken += wanted.len();
        let _ = reader.feed(at, wanted);
    }
}

fn agrees(path: &str, skipped: &Result<Header, HeaderError>, whole: &Result<Header, HeaderError>) {
    match (skipped, whole) {
        (Ok(skipped), Ok(whole)) => {
            let known = skipped.orientation.or(whole.orientation);
            let sides = Header::new(skipped.format, skipped.width, skipped.height, known);
            assert_eq!(sides, *whole, "{path}");
        }
        _ => assert_eq!(skipped, whole, "{path}"),
    }
}

/// Sides and EXIF orientation as the `image` crate reads them.
fn decoder(file: &[u8]) -> Option<((u32, u32), u8)> {
    let reader = ImageReader::new(Cursor::new(file)).with_guessed_format().ok()?;
    let mut decoder = reader.into_decoder().ok()?;
    let orientation = decoder.orientation().ok()?.to_exif();
    let orientation = Orientation::new(orientation).unwrap();
    Some((decoder.dimensions(), orientation.get()))
}

const DEFAULT_FOLDER: &str = "../shared/corpus";
