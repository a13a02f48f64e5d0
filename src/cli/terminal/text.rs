//! Text for people: nothing that an image's owner wrote may steer their terminal.

use std::fmt::Display;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::terminal::{colour, screen};
use crate::header::Header;
use crate::net::url_text::printable_text;
use crate::report::Price;
use crate::{Billing, Certainty};

/// A line on stderr. That nobody listens there is no reason to fail, let alone to panic as
/// `eprintln!` does: calls may be under way.
pub(in crate::cli) fn tell(line: impl Display) {
    screen::aside(|| {
        let _ = writeln!(std::io::stderr(), "{line}");
    });
}

/// A line that `--quiet` leaves out.
pub(in crate::cli) fn say(line: impl Display) {
    if !is_quiet() {
        tell(line);
    }
}

/// As [`say`], over as many lines of a terminal as it takes, all but the first indented.
pub(in crate::cli) fn say_wrapped(line: impl Display, indent: usize) {
    if !is_quiet() {
        tell_wrapped(line, indent);
    }
}

/// As [`tell`], over as many lines of a terminal as it takes, all but the first indented. Not for what
/// is to be pasted.
pub(in crate::cli) fn tell_wrapped(line: impl Display, indent: usize) {
    let line = line.to_string();
    let Some((_, columns)) = console::Term::stderr().size_checked() else { return tell(line) };
    let indent = " ".repeat(indent);
    let options = textwrap::Options::new(usize::from(columns).max(40)).subsequent_indent(&indent);
    tell(textwrap::fill(&line, options));
}

/// A line that says what is wrong.
pub(in crate::cli) fn error(line: impl Display) {
    tell_wrapped(format_args!("{} {line}", colour::alarm("error:")), 2);
}

/// `--quiet`, from here on.
pub(in crate::cli) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

pub(in crate::cli) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

static QUIET: AtomicBool = AtomicBool::new(false);

/// The text with what steers a terminal made visible: control characters, and those that turn the
/// direction of writing.
pub(in crate::cli) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let steers = c.is_control() || TURNING.contains(&c);
            let shown = if steers { c.escape_default().to_string() } else { c.to_string() };
            shown.chars().collect::<Vec<_>>()
        })
        .collect()
}

/// A source as people see it: a URL without its secrets, and at most so many columns of it. What
/// tells one from another is at its ends.
pub(in crate::cli) fn source(text: &str, columns: usize) -> String {
    let mut shown = plain(&printable_text(text));
    if width(&shown) > columns
        && let Some(at) = shown.find('?')
    {
        // The names of a signature's parts tell nothing.
        shown.truncate(at);
        shown.push_str("?…");
    }
    if width(&shown) <= columns {
        return shown;
    }
    let room = columns.saturating_sub(1);
    let end: String = fitting(shown.chars().rev(), room * 3 / 5);
    let start = fitting(shown.chars(), room - width(&end));
    format!("{start}…{}", end.chars().rev().collect::<String>())
}

/// The first of these characters, as far as they fit.
fn fitting(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    let mut buffer = [0; 4];
    chars
        .take_while(|c| {
            used += width(c.encode_utf8(&mut buffer));
            used <= columns
        })
        .collect()
}

/// Columns that it takes on a terminal.
fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

/// Format and sides, aligned at their cross.
pub(in crate::cli) fn size(image: Option<&Header>) -> String {
    image.map_or_else(|| "-".to_owned(), |i| format!("{:<4} {:>4}×{}", i.format, i.width, i.height))
}

/// The documented price of so many images.
pub(in crate::cli) fn cny(images: u64) -> String {
    format!("{} CNY", Price::DOCUMENTED.of(images))
}

pub(in crate::cli) fn bill(billing: Billing, from_ledger: bool) -> String {
    match billing.certainty {
        _ if from_ledger => "known".to_owned(),
        Certainty::Unknown => "unknown".to_owned(),
        _ if billing.images > 0 => cny(billing.images),
        _ => "free".to_owned(),
    }
}

/// `1 image`, `2 images`.
pub(in crate::cli) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Marks, embeddings, overrides and isolates of the bidirectional algorithm, and line separators.
const TURNING: [char; 14] = [
    '\u{200e}', '\u{200f}', '\u{061c}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}', '\u{2028}', '\u{2029}',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_shortened_where_it_tells_least() {
        for (text, columns, shown) in [
            ("https://example.org/a.jpg", 25, "https://example.org/a.jpg"),
            ("https://example.org/a.jpg", 24, "https://ex…ple.org/a.jpg"),
            ("https://example.org/portraits/2026/anna.jpg", 24, "https://ex…2026/anna.jpg"),
            ("https://h/anna.jpg?Expires=1&Signature=s", 24, "https://h/anna.jpg?…"),
            ("https://h/anna.jpg?v=1", 40, "https://h/anna.jpg?v=…"),
            // Wide characters take two columns each.
            ("图片/肖像/安娜的照片.jpg", 15, "图片/…照片.jpg"),
            ("a\u{202e}b.jpg", 40, "a\\u{202e}b.jpg"),
            ("", 5, ""),
        ] {
            let found = source(text, columns);
            assert_eq!(found, shown);
            assert!(width(&found) <= columns, "{found}");
        }
    }
}
