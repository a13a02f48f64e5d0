//! A name for what is no format that is read.
//!
//! `infer` knows signatures; what has none (markup, JSON, text) is looked at here.

use infer::MatcherType;

use super::{FirstBytes, Found, HeaderError};

/// How many of a file's first bytes the name is taken from.
pub(super) const WINDOW: usize = 512;

/// `head` is the file's first [`WINDOW`] bytes, or all of a shorter file.
pub(super) fn name(head: &[u8]) -> HeaderError {
    let head = head.get(..WINDOW).unwrap_or(head);
    let kind = text(head)
        .or_else(|| by_table(head))
        .or_else(|| by_infer(head))
        .or_else(|| iso_media(head))
        .or_else(|| is_text(head).then_some(Kind::Other("plain text")));
    match kind {
        Some(Kind::Image(found)) => HeaderError::Unsupported { found },
        Some(Kind::Other(name)) => HeaderError::NotAnImage { found: Found::Known(name) },
        None if head.is_empty() => HeaderError::NotAnImage { found: Found::Empty },
        None => HeaderError::NotAnImage { found: Found::Unknown(FirstBytes::of(head)) },
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Image(&'static str),
    /// With its article.
    Other(&'static str),
}

fn text(head: &[u8]) -> Option<Kind> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let (first, rest) = text.split_first()?;
    let second = rest.trim_ascii_start().first();
    match (first, second) {
        (b'<', _) => markup(text),
        (b'{', Some(b'"' | b'}'))
        | (b'[', Some(b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'))
            if is_text(text) =>
        {
            Some(Kind::Other("a JSON document"))
        }
        _ => None,
    }
}

/// Goes over prolog, comments and doctype to the root element.
fn markup(mut text: &[u8]) -> Option<Kind> {
    let mut is_xml = false;
    loop {
        text = text.trim_ascii_start();
        let rest = if text.starts_with(b"<?") {
            is_xml = true;
            after(text, b"?>")
        } else if text.starts_with(b"<!--") {
            after(text, b"-->")
        } else if let Some(doctype) = strip_prefix_ignore_case(text, b"<!doctype") {
            match element(doctype.trim_ascii_start()) {
                name if name.eq_ignore_ascii_case(b"html") => return Some(HTML),
                name if name.eq_ignore_ascii_case(b"svg") => return Some(SVG),
                _ => is_xml = true,
            }
            // An internal subset holds declarations of its own.
            let subset = doctype.iter().take_while(|&&byte| byte != b'>').any(|&b| b == b'[');
            after(doctype, if subset { b"]" } else { b">" })
                .map(|rest| if subset { after(rest, b">").unwrap_or_default() } else { rest })
        } else {
            break;
        };
        // The window may end before the root element.
        let Some(rest) = rest else {
            return Some(if is_xml { XML } else { HTML });
        };
        text = rest;
    }
    let root = text.strip_prefix(b"<").map(element).unwrap_or_default();
    let is = |names: &[&str]| names.iter().any(|name| root.eq_ignore_ascii_case(name.as_bytes()));
    if is(&["svg"]) {
        Some(SVG)
    } else if is(HTML_ELEMENTS) {
        Some(HTML)
    } else if root == b"Error" {
        Some(Kind::Other("an object store's XML error"))
    } else if is_xml || (!root.is_empty() && is_text(text)) {
        Some(XML)
    } else {
        None
    }
}

/// The local part of the name that `text` begins with.
fn element(text: &[u8]) -> &[u8] {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b":-_.".contains(byte);
    let end = text.iter().position(|byte| !is_name(byte)).unwrap_or(text.len());
    let name = text.get(..end).unwrap_or_default();
    name.rsplit(|&byte| byte == b':').next().unwrap_or_default()
}

fn after<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(end.len()).position(|window| window == end)?;
    text.get(at.checked_add(end.len())?..)
}

fn strip_prefix_ignore_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// UTF-8 without control characters; the last character may be cut by the window.
fn is_text(bytes: &[u8]) -> bool {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to()).unwrap_or_default();
            str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || "\t\n\r\x0c".contains(c))
}

fn by_table(head: &[u8]) -> Option<Kind> {
    TABLE.iter().find(|(start, _)| head.starts_with(start)).map(|(_, kind)| *kind)
}

fn by_infer(head: &[u8]) -> Option<Kind> {
    // infer's walk over skippable frames (Zstandard, LZ4) overflows where usize has 32 bits, as
    // does its walk over ZIP members: those do not get here, by the table.
    if let [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] = head {
        return Some(Kind::Other("an archive"));
    }
    let found = infer::get(head)?;
    let image = IMAGES.iter().find(|(extension, _)| *extension == found.extension());
    if let Some((_, name)) = image {
        return Some(Kind::Image(name));
    }
    match (found.extension(), found.matcher_type()) {
        ("mp4" | "m4v", _) => Some(Kind::Other("an MP4 video")),
        ("mov", _) => Some(Kind::Other("a QuickTime video")),
        ("pdf", _) => Some(Kind::Other("a PDF document")),
        ("gz", _) => Some(Kind::Other("gzip data")),
        ("ps", _) => Some(Kind::Other("a PostScript document")),
        ("rtf", _) => Some(Kind::Other("an RTF document")),
        ("sh", _) => Some(Kind::Other("a script")),
        ("elf" | "wasm", _) => Some(Kind::Other("a program")),
        (_, MatcherType::Video) => Some(Kind::Other("a video")),
        (_, MatcherType::Audio) => Some(Kind::Other("an audio file")),
        (_, MatcherType::Font) => Some(Kind::Other("a font")),
        (_, MatcherType::Doc | MatcherType::Book) => Some(Kind::Other("a document")),
        (_, MatcherType::Archive) => Some(Kind::Other("an archive")),
        // What is left goes by two bytes, too few to give a name ("BM" and "MZ" begin words).
        _ => None,
    }
}

/// ISO/IEC 14496-12, 4.3: the brands that `infer` has no name for.
fn iso_media(head: &[u8]) -> Option<Kind> {
    let brand = head.get(4..)?.strip_prefix(b"ftyp")?.first_chunk::<4>()?;
    Some(match brand {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
            Kind::Image("HEIC")
        }
        b"mif1" | b"mif2" | b"msf1" | b"miaf" => Kind::Image("HEIF"),
        b"crx " => Kind::Image("Canon CR3"),
        _ => Kind::Other("an MP4 video"),
    })
}

const HTML: Kind = Kind::Other("an HTML page");
const XML: Kind = Kind::Other("an XML document");
const SVG: Kind = Kind::Image("SVG");
const ZIP: Kind = Kind::Other("a ZIP archive or an office document");

/// The elements of the WHATWG's MIME Sniffing, 7.1, and those that scripts print first.
const HTML_ELEMENTS: &[&str] = &[
    "html", "head", "script", "iframe", "h1", "h2", "div", "font", "table", "a", "style", "title",
    "b", "body", "br", "p", "meta", "link", "center", "pre", "span",
];

/// Images by `infer`'s extension.
const IMAGES: &[(&str, &str)] = &[
    ("avif", "AVIF"),
    ("djvu", "DjVu"),
    ("dwg", "DWG"),
    ("gif", "GIF"),
    ("heif", "HEIC"),
    ("ico", "ICO"),
    ("jp2", "JPEG 2000"),
    ("jxl", "JPEG XL"),
    ("jxr", "JPEG XR"),
    ("psd", "PSD"),
];

/// What `infer` does not know.
const TABLE: &[(&[u8], Kind)] = &[
    (b"P1\n", Kind::Image("PBM")),
    (b"P2\n", Kind::Image("PGM")),
    (b"P3\n", Kind::Image("PPM")),
    (b"P4\n", Kind::Image("PBM")),
    (b"P5\n", Kind::Image("PGM")),
    (b"P6\n", Kind::Image("PPM")),
    (b"P7\n", Kind::Image("PAM")),
    (b"qoif", Kind::Image("QOI")),
    (b"v/1\x01", Kind::Image("OpenEXR")),
    (b"DDS ", Kind::Image("DDS")),
    (b"icns", Kind::Image("ICNS")),
    (b"farbfeld", Kind::Image("farbfeld")),
    (b"#?RADIANCE", Kind::Image("Radiance HDR")),
    (b"\xff\x4f\xff\x51", Kind::Image("JPEG 2000")),
    (b"\0\0\x02\0", Kind::Image("CUR")),
    (b"\x8aMNG", Kind::Image("MNG")),
    (b"\x8bJNG", Kind::Image("JNG")),
    // infer goes by bytes 8 and 9 as well, which a TIFF is free to use.
    (b"II*\0\x10\0\0\0CR\x02", Kind::Image("Canon CR2")),
    (b"II*\0", Kind::Image("TIFF")),
    (b"MM\0*", Kind::Image("TIFF")),
    (b"II+\0", Kind::Image("TIFF")),
    (b"MM\0+", Kind::Image("TIFF")),
    (b"PK\x03\x04", ZIP),
];
