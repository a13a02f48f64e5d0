//! What is no image that the service takes, and what it is called.

use emo_preflight::header::{self, Found, HeaderError};

use super::files::{every_way, not_an_image};

#[test]
fn images_the_service_does_not_take_are_named() {
    let ftyp = |major: &[u8; 4], compatible: &[u8]| {
        let len = (16 + compatible.len() as u32).to_be_bytes();
        [&len, &b"ftyp"[..], major, &[0; 4], compatible, &[0; 64]].concat()
    };
    for (file, name) in [
        (ftyp(b"heic", b"mif1heic"), "HEIC"),
        (ftyp(b"mif1", b"mif1heic"), "HEIC"),
        (ftyp(b"hevc", b"hevc"), "HEIC"),
        (ftyp(b"mif1", b"mif1miaf"), "HEIF"),
        (ftyp(b"avif", b"mif1avif"), "AVIF"),
        (ftyp(b"mif1", b"mif1avif"), "AVIF"),
        (ftyp(b"crx ", b"crx isom"), "Canon CR3"),
        (b"GIF87a\x10\0\x10\0\0\0\0;".to_vec(), "GIF"),
        (b"GIF89a\x10\0\x10\0\0\0\0;".to_vec(), "GIF"),
        (b"II*\0\x08\0\0\0\x01\0".to_vec(), "TIFF"),
        (b"MM\0*\0\0\0\x08\0\x01".to_vec(), "TIFF"),
        (b"II*\0\x08\0\0\0CC".to_vec(), "TIFF"),
        (b"II*\0\x10\0\0\0CR\x02\0".to_vec(), "Canon CR2"),
        (b"\xff\x0a\0\0\0\0\0\0\0\0\0\0".to_vec(), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14".to_vec(), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14".to_vec(), "JPEG 2000"),
        (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0".to_vec(), "ICO"),
        (b"8BPS\0\x01\0\0\0\0\0\0".to_vec(), "PSD"),
        (b"qoif\0\0\0\x10\0\0\0\x10\x03\0".to_vec(), "QOI"),
        (b"P6\n10 10\n255\n".to_vec(), "PPM"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n<svg:svg/>".to_vec(), "SVG"),
        (b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC '' ''><svg/>".to_vec(), "SVG"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><svg/>".to_vec(), "SVG"),
    ] {
        let error = every_way(name, &file).unwrap_err();
        assert_eq!(error, HeaderError::Unsupported { found: name });
    }
}

#[test]
fn what_is_no_image_is_named() {
    let mp4 = [&b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"[..], &[0; 64]].concat();
    let three_gp = [&b"\0\0\0\x18ftyp3gp4\0\0\0\0mp42isom"[..], &[0; 64]].concat();
    let late = [&[b' '; 400][..], b"<html>"].concat();
    for (file, name) in [
        (&b"<!DOCTYPE html><html></html>"[..], "an HTML page"),
        (b"<!doctype HTML>", "an HTML page"),
        (b"\xef\xbb\xbf\r\n  <html lang=en>", "an HTML page"),
        (b"<!-- generated --> <HEAD><title>", "an HTML page"),
        (b"<!-- never closed", "an HTML page"),
        (b"<?xml version='1.0'?><!DOCTYPE html><html>", "an HTML page"),
        (b"<html>", "an HTML page"),
        (&late, "an HTML page"),
        (
            b"<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code></Error>",
            "an object store's XML error",
        ),
        (b"<Error><Code>AccessDenied</Code></Error>", "an object store's XML error"),
        (b"<?xml version='1.0'?><rss/>", "an XML document"),
        (b"<?xml version='1.0'?>", "an XML document"),
        (b"<note>hello</note>", "an XML document"),
        (b"{\"code\":404}", "a JSON document"),
        (b" [ {\"a\": 1} ] ", "a JSON document"),
        (b"{}", "a JSON document"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (&mp4, "an MP4 video"),
        (&three_gp, "an MP4 video"),
        (b"RIFF\x24\0\0\0AVI LIST\0\0\0\0", "a video"),
        (b"RIFF\x24\0\0\0WAVEfmt \0\0\0\0", "an audio file"),
        (b"PK\x03\x04\x14\0\0\0\x08\0\0\0", "a ZIP archive or an office document"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03\0\0", "gzip data"),
        (b"\x53\x2a\x4d\x18\xf8\xff\xff\xff\0\0\0\0", "an archive"),
        (b"Not found", "plain text"),
        (b"MZ is where Mainz is", "plain text"),
        ("körnig ist es nicht".as_bytes(), "plain text"),
    ] {
        let printed = String::from_utf8_lossy(file);
        assert_eq!(every_way(name, file), not_an_image(name), "{printed}");
    }
}

#[test]
fn what_has_no_name_is_shown() {
    for (file, found) in [
        (&b""[..], "an empty file"),
        (b"\0", "bytes 00"),
        (b"\x01\x02\x03\x04\x05\x06\x07\x08\x09", "bytes 01 02 03 04 05 06 07 08"),
        (&[0; 4096], "bytes 00 00 00 00 00 00 00 00"),
        (b"\x89PNG\n\x1a\n\0\0\0\x0dIHDR", "bytes 89 50 4e 47 0a 1a 0a 00"),
    ] {
        let error = every_way(found, file).unwrap_err();
        assert!(error.is_not_an_image());
        let expected = format!("file must be a JPEG, PNG, BMP or WebP image, found {found}");
        assert_eq!(error.to_string(), expected);
    }
    let error = header::from_slice(b"\x01\x02").unwrap_err();
    let HeaderError::NotAnImage { found: Found::Unknown(first) } = error else { panic!("{error}") };
    assert_eq!(first.as_slice(), b"\x01\x02");
}

#[test]
fn a_character_cut_by_the_window_is_still_text() {
    let text = [&b"x"[..], "ü".repeat(400).as_bytes()].concat();
    assert_eq!(every_way("text", &text), not_an_image("plain text"));
}
