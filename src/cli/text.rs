//! Text for people: nothing that a picture's owner wrote may steer their terminal.

use url::Url;

use crate::header::Header;
use crate::key::printable;
use crate::{Billing, Certainty};

/// The text with control characters made visible.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let shown = if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            shown.chars().collect::<Vec<_>>()
        })
        .collect()
}

/// A source as a table shows it: a URL without its secrets, cut where it gets long.
pub(super) fn source(text: &str) -> String {
    let shown = match Url::parse(text) {
        Ok(url) if url.has_host() => printable(&url),
        _ => text.to_owned(),
    };
    let shown = plain(&shown);
    if shown.chars().count() <= SHOWN {
        return shown;
    }
    shown.chars().take(SHOWN - 1).chain(['…']).collect()
}

pub(super) fn size(image: Option<&Header>) -> String {
    image.map_or_else(|| "-".to_owned(), |i| format!("{} {}×{}", i.format, i.width, i.height))
}

/// The price of so many images, in CNY (vendor page: 0.004 an image; the first 200 are free).
pub(super) fn cny(images: u64) -> String {
    let thousandths = u128::from(images) * PRICE_THOUSANDTHS;
    format!("{}.{:03} CNY", thousandths / 1_000, thousandths % 1_000)
}

pub(super) fn bill(billing: Billing, from_ledger: bool) -> String {
    match billing.certainty {
        _ if from_ledger => "known".to_owned(),
        Certainty::Unknown => "unknown".to_owned(),
        _ if billing.images > 0 => cny(billing.images),
        _ => "free".to_owned(),
    }
}

/// `1 picture`, `2 pictures`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

const PRICE_THOUSANDTHS: u128 = 4;
const SHOWN: usize = 90;
