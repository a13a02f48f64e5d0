//! The page around the numbers, the charts and the rows.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::charts::{Sides, bars, scatter};
use super::numbers::{Numbers, grouped, time_of};
use super::rows::Rows;
use crate::report::Price;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) fn write(
    title: &str,
    numbers: &Numbers,
    sides: &Sides,
    rows: &Rows,
    out: &mut impl Write,
) -> io::Result<()> {
    let left_out = numbers.images.saturating_sub(u64::try_from(rows.len()).unwrap_or(u64::MAX));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) " – emo-preflight" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p { "What emo-preflight found out about these images." }
                }
                main {
                    (summary(numbers))
                    (charts(numbers, sides))
                    (results(left_out))
                }
                footer {
                    p {
                        "Yellow: the face; blue, dashed: the dynamic area; pink, dotted: what the \
                         face screen saw. Boxes are drawn in the image as it is stored; the vendor \
                         does not say in which orientation they are. Money is at the vendor's price \
                         of CNY " (Price::DOCUMENTED.of(1)) " an image; the first 200 are free and \
                         not subtracted."
                    }
                }
                script type="application/json" id="data" {
                    (PreEscaped(rows.json()?))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    out.write_all(page.into_string().as_bytes())
}

/// Nothing but the page's own style and script, known by their digests, and images.
fn policy() -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; img-src http: https: data:; style-src 'sha256-{}'; script-src 'sha256-{}'; \
         base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
}

fn summary(numbers: &Numbers) -> Markup {
    let accepted = if numbers.is_free() { "eligible" } else { "accepted" };
    let counts = [
        ("images", numbers.images),
        (accepted, numbers.accepted),
        ("rejected for free", numbers.rejected_for_free),
        ("rejected by the service", numbers.rejected_by_service),
        ("undetermined", numbers.undetermined),
        ("of unknown bill", numbers.unknown),
    ];
    let at_most = match numbers.unknown {
        0 => String::new(),
        unknown => format!(" to {}", Price::DOCUMENTED.of(numbers.billed.saturating_add(unknown))),
    };
    html! {
        section aria-labelledby="numbers" {
            h2 id="numbers" class="hidden" { "Numbers" }
            dl class="numbers" {
                @for (name, count) in counts {
                    div { dt { (name) } dd { (grouped(count)) } }
                }
                div { dt { "spent, CNY" } dd { (Price::DOCUMENTED.of(numbers.billed)) (at_most) } }
                div { dt { "saved, CNY" } dd { (Price::DOCUMENTED.of(numbers.saved)) } }
                div { dt { "of the quota used" } dd { (time_of(numbers.calls)) } }
            }
        }
    }
}

fn charts(numbers: &Numbers, sides: &Sides) -> Markup {
    html! {
        @if numbers.images > 0 {
            section class="charts" aria-label="Charts" {
                div {
                    h2 { "Verdicts" }
                    (bars("verdict", &numbers.verdicts()))
                    @if !numbers.reasons().is_empty() {
                        h2 { "Reasons" }
                        (bars("reason", &numbers.reasons()))
                    }
                }
                @if !sides.is_empty() {
                    div {
                        h2 { "Sizes" }
                        (scatter(sides))
                    }
                }
            }
        }
    }
}

/// The grid and what steers it; the script fills it.
fn results(left_out: u64) -> Markup {
    html! {
        section aria-labelledby="results" {
            h2 id="results" { "Images" }
            noscript { p { "The images are shown by a script of this page; it is switched off." } }
            @if left_out > 0 {
                p {
                    (grouped(left_out)) " more are in the numbers and charts above and not shown one by one."
                }
            }
            form id="controls" role="search" aria-label="Choose images" {
                label { "Verdict " select name="verdict" { option value="" { "all" } } }
                label { "Reason " select name="reason" { option value="" { "all" } } }
                label { "Search " input name="q" type="search" placeholder="source or image_id" size="24"; }
                label {
                    "Sort by "
                    select name="sort" {
                        option value="" { "place in the input" }
                        option value="-index" { "place, last first" }
                        option value="size" { "size, smallest first" }
                        option value="-size" { "size, largest first" }
                        option value="-money" { "money, most first" }
                    }
                }
            }
            p id="found" role="status" {}
            ol id="grid" class="grid" {}
            nav id="pages" aria-label="Pages" {
                button type="button" value="first" { "First" }
                button type="button" value="back" { "Back" }
                span id="page" {}
                button type="button" value="on" { "Next" }
                button type="button" value="last" { "Last" }
            }
        }
    }
}
