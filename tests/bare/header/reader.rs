//! The reader's manners: what it wishes for, what stays, what it says.

use std::io::Cursor;

use emo_preflight::header::Format::{Bmp, Jpeg, Png, WebP};
use emo_preflight::header::{
    self, Header, HeaderError, HeaderReader, Orientation, ReadError, Step,
};

use super::files::{FIXTURES, bmp, every_way, fixture, jpeg, ok, segment, sof, webp};

#[test]
fn a_cut_fixture_is_truncated_or_has_the_same_answer() {
    for (name, _) in FIXTURES {
        let file = fixture(name);
        let whole = header::from_slice(&file);
        for cut in 0..file.len() {
            let mut reader = HeaderReader::new();
            let step = reader.feed(0, &file[..cut]);
            let end = reader.eof(cut as u64);
            match step {
                Ok(Step::Need { at, len }) => {
                    assert!(at >= cut as u64 && len > 0, "{name} cut to {cut}");
                    let error = end.unwrap_err();
                    assert_eq!(error.is_truncated(), cut > 0, "{name} cut to {cut}: {error}");
                }
                Ok(Step::Done(header)) => {
                    assert_eq!(Ok(header), whole, "{name} cut to {cut}");
                    assert_eq!(Ok(header), end, "{name} cut to {cut}");
                }
                Err(error) => {
                    assert_eq!(Err(error.clone()), whole, "{name} cut to {cut}");
                    assert_eq!(Err(error), end, "{name} cut to {cut}");
                }
            }
        }
    }
}

#[test]
fn truncated_says_what_was_wanted() {
    let app1 = segment(0xe1, &[0; 100]);
    for (file, format, at) in [
        (&b"\xff"[..], None, 1),
        (b"\x89PNG", None, 4),
        (b"B", None, 1),
        (b"RIFF\x24\0\0\0WEB", None, 11),
        (b"\xff\xd8", Some(Jpeg), 2),
        (b"\x89PNG\r\n\x1a\n", Some(Png), 8),
        (b"BM", Some(Bmp), 2),
        (b"RIFF\x24\0\0\0WEBP", Some(WebP), 12),
        (&jpeg(&[&app1[..60]]), Some(Jpeg), 106),
        (&jpeg(&[&app1, b"\xff\xff"]), Some(Jpeg), 108),
        (&jpeg(&[&app1, b"\xff\xc0\x00"]), Some(Jpeg), 109),
        (&jpeg(&[&app1, b"\xff\xc0\x00\x0b\x08\x00"]), Some(Jpeg), 112),
    ] {
        let total = file.len() as u64;
        let truncated = HeaderError::Truncated { format, at, total };
        assert_eq!(every_way("cut", file), Err(truncated), "{file:02x?}");
    }
}

#[test]
fn wishes() {
    let app0 = segment(0xe0, &[0; 1000]);
    let file = jpeg(&[&app0, &sof(0xc0, 640, 480)]);
    let mut reader = HeaderReader::new();
    let need = |at, len| Ok(Step::Need { at, len });

    assert_eq!(reader.step(), need(0, 12));
    assert_eq!(reader.feed(0, &[]), need(0, 12));
    assert_eq!(reader.feed(0, &file[..5]), need(5, 7));
    assert_eq!(reader.feed(6, &file[6..]), need(5, 7), "past the wish");
    assert_eq!(reader.feed(0, &file[..4]), need(5, 7), "before the wish");
    assert_eq!(reader.feed(3, &file[3..12]), need(1006, 2), "over the edge of the wish");
    assert_eq!(reader.feed(1007, &file[1007..]), need(1006, 2), "past the wish");
    assert_eq!(reader.feed(12, &file[12..1006]), need(1006, 2), "before the wish");
    assert_eq!(reader.feed(u64::MAX, b"ab"), need(1006, 2), "beyond any file");
    assert_eq!(reader.feed(1006, &file[1006..1007]), need(1007, 1));
    assert_eq!(reader.feed(1007, &file[1007..1008]), need(1008, 8));
    assert_eq!(reader.feed(1008, &file[1008..1011]), need(1011, 5));
    let done = Header::new(Jpeg, 640, 480, Some(Orientation::NORMAL));
    assert_eq!(reader.feed(0, &file), Ok(Step::Done(done)));
}

#[test]
fn an_unknown_file_is_wished_for_up_to_the_window() {
    let mut reader = HeaderReader::new();
    assert_eq!(reader.feed(0, &[0; 12]), Ok(Step::Need { at: 12, len: 500 }));
    assert_eq!(reader.feed(12, &[0; 499]), Ok(Step::Need { at: 511, len: 1 }));
    assert!(reader.feed(511, &[0]).unwrap_err().is_not_an_image());
}

#[test]
fn answers_stay() {
    let mut done = HeaderReader::new();
    let bmp = bmp(40, 640, 480);
    let header = ok(Bmp, 640, 480, 1).unwrap();
    assert_eq!(done.feed(0, &bmp), Ok(Step::Done(header)));
    assert_eq!(done.feed(0, b"GIF89a"), Ok(Step::Done(header)));
    assert_eq!(done.step(), Ok(Step::Done(header)));
    assert_eq!(done.eof(3), Ok(header));

    let mut failed = HeaderReader::new();
    let error = failed.feed(0, b"\xff\xd8\xff\xd9        ").unwrap_err();
    assert_eq!(failed.feed(0, &bmp), Err(error.clone()));
    assert_eq!(failed.step(), Err(error.clone()));
    assert_eq!(failed.eof(3), Err(error));

    let mut ended = HeaderReader::new();
    ended.feed(0, b"\xff\xd8\xff\xe0\x00\x09JFIF\0\0").unwrap();
    let error = ended.eof(12).unwrap_err();
    assert!(error.is_truncated());
    assert_eq!(ended.feed(0, &bmp), Err(error.clone()));
    assert_eq!(ended.eof(99), Err(error));
}

#[test]
fn an_end_that_leaves_bytes_unseen_does_not_name_the_file() {
    let truncated = |at, total| Err(HeaderError::Truncated { format: None, at, total });
    assert_eq!(HeaderReader::new().eof(100), truncated(0, 100));
    let mut reader = HeaderReader::new();
    reader.feed(0, b"<html>").unwrap();
    assert_eq!(reader.eof(100), truncated(6, 100));
    let mut reader = HeaderReader::new();
    reader.feed(0, b"<html><head>").unwrap();
    assert_eq!(reader.eof(100), truncated(12, 100));
}

#[test]
fn from_reader_begins_where_the_source_stands() {
    let file =
        [&b"skipped"[..], &jpeg(&[&segment(0xe2, &[0; 60000]), &sof(0xc0, 640, 480)])].concat();
    let mut source = Cursor::new(&file);
    source.set_position(7);
    assert_eq!(header::from_reader(source).unwrap(), ok(Jpeg, 640, 480, 1).unwrap());

    let mut cut = Cursor::new(&file[..9000]);
    cut.set_position(7);
    let Err(ReadError::Header(error)) = header::from_reader(cut) else { panic!("it is cut") };
    let truncated = HeaderError::Truncated { format: Some(Jpeg), at: 60006, total: 8993 };
    assert_eq!(error, truncated);
}

#[test]
fn messages() {
    let message = |file: &[u8]| header::from_slice(file).unwrap_err().to_string();
    for (file, expected) in [
        (
            jpeg(&[b"\xff\xe0\0\x01", &[0; 9]]),
            "corrupt JPEG header at byte 4: segment length must be at least 2, found 1",
        ),
        (
            jpeg(&[b"\xff\xda\0\x08", &[0; 9]]),
            "corrupt JPEG header at byte 2: a frame header (SOF) must come first, found SOS",
        ),
        (
            jpeg(&[&sof(0xc0, 0, 480)]),
            "corrupt JPEG header at byte 9: side must be 1 to 65535 px, found 0",
        ),
        (jpeg(&[&sof(0xc0, 640, 0)]), "height must be at byte 7, found 0: a DNL marker holds it"),
        (
            jpeg(&[&segment(0xe0, &[0; 9])]),
            "truncated JPEG header: it must go on at byte 15, found the end after 15 bytes",
        ),
        (
            b"\x89PN".to_vec(),
            "truncated image header: it must go on at byte 3, found the end after 3 bytes",
        ),
        (
            webp(b"VP8 ", &[0; 10]),
            "corrupt WebP header at byte 23: start code must be 9d012a, found 000000",
        ),
        (
            webp(b"\0\0\0\0", &[0; 10]),
            "corrupt WebP header at byte 12: first chunk must be \"VP8 \", \"VP8L\" or \"VP8X\", \
             found \"\\x00\\x00\\x00\\x00\"",
        ),
        (
            bmp(40, -5, 480),
            "corrupt BMP header at byte 18: side must be 1 to 2147483647 px, found -5",
        ),
    ] {
        assert_eq!(message(&file), expected);
    }
}
