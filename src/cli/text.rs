//! Text for people: nothing that an image's owner wrote may steer their terminal.

use std::fmt::Display;
use std::io::Write as _;

use crate::cli::money::Price;
use crate::cli::screen;
use crate::header::Header;
use crate::net::url_text::printable_text;
use crate::{Billing, Certainty};

/// A line on stderr. That nobody listens there is no reason to fail, let alone to panic as
/// `eprintln!` does: calls may be under way.
pub(super) fn tell(line: impl Display) {
    screen::aside(|| {
        let _ = writeln!(std::io::stderr(), "{line}");
    });
}

/// The text with what steers a terminal made visible: control characters, and those that turn the
/// direction of writing.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let steers = c.is_control() || TURNING.contains(&c);
            let shown = if steers { c.escape_default().to_string() } else { c.to_string() };
            shown.chars().collect::<Vec<_>>()
        })
        .collect()
}

/// A source as a table shows it: a URL without its secrets, cut where it gets long.
pub(super) fn source(text: &str) -> String {
    let shown = plain(&printable_text(text));
    if shown.chars().count() <= SHOWN {
        return shown;
    }
    shown.chars().take(SHOWN - 1).chain(['…']).collect()
}

pub(super) fn size(image: Option<&Header>) -> String {
    image.map_or_else(|| "-".to_owned(), |i| format!("{} {}×{}", i.format, i.width, i.height))
}

/// The documented price of so many images.
pub(super) fn cny(images: u64) -> String {
    format!("{} CNY", Price::DOCUMENTED.of(images))
}

pub(super) fn bill(billing: Billing, from_ledger: bool) -> String {
    match billing.certainty {
        _ if from_ledger => "known".to_owned(),
        Certainty::Unknown => "unknown".to_owned(),
        _ if billing.images > 0 => cny(billing.images),
        _ => "free".to_owned(),
    }
}

/// `1 image`, `2 images`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

const SHOWN: usize = 90;

/// Marks, embeddings, overrides and isolates of the bidirectional algorithm, and line separators.
const TURNING: [char; 14] = [
    '\u{200e}', '\u{200f}', '\u{061c}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}', '\u{2028}', '\u{2029}',
];
