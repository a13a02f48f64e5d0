//! The two charts, as SVG of our own: bars, and width against height.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::numbers::{Count, grouped};
use crate::report::{Report, Verdict};
use crate::rules::Limits;

/// What an image's verdict is to the second chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Good,
    Open,
    Refused,
}

/// Widths and heights of all images, by the place on the chart that each falls on: as many as the chart
/// has places, however many images there are.
#[derive(Debug, Default)]
pub(super) struct Sides(BTreeMap<(u16, u16, Class), u64>);

impl Sides {
    pub(super) fn add(&mut self, result: &Report) {
        let Some(image) = &result.image else { return };
        let class = match result.verdict {
            Verdict::Accepted { .. } | Verdict::Eligible => Class::Good,
            Verdict::RejectedLocal | Verdict::RejectedRemote | Verdict::BoxMismatch { .. } => {
                Class::Refused
            }
            Verdict::Undetermined | Verdict::Failed | Verdict::Skipped => Class::Open,
        };
        let place = (step_of(image.width), step_of(image.height), class);
        *self.0.entry(place).or_default() += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bars, each a link to what it counts.
pub(super) fn bars(kind: &str, all: &[Count<'_>]) -> Markup {
    let most = all.iter().map(|one| one.count).max().unwrap_or(1).max(1);
    html! {
        ul class="bars" {
            @for one in all {
                li {
                    a href=(format!("#{kind}={}", one.name)) class={ "v-" (class_name(one.name)) } {
                        span class="name" { (one.name) }
                        svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                            rect width=(share(one.count, most)) height="10" {}
                        }
                        span class="count" { (grouped(one.count)) }
                    }
                }
            }
        }
    }
}

/// In hundredths of the longest bar; the shortest can still be seen.
fn share(count: u64, most: u64) -> u64 {
    u64::try_from(u128::from(count) * 100 / u128::from(most)).unwrap_or(100).max(1)
}

/// Only our own names are classes: a code may be anything.
fn class_name(name: &str) -> &str {
    match name {
        "accepted" | "eligible" | "rejected_local" | "rejected_remote" | "box_mismatch"
        | "undetermined" | "failed" | "skipped" => name,
        _ => "reason",
    }
}

/// Width against height, both on logarithmic axes, with the documented limits.
pub(super) fn scatter(sides: &Sides) -> Markup {
    let limits = Limits::default();
    let (least, most) = (at(limits.shortest_side_min), at(limits.longest_side_max));
    let inside = most - least;
    html! {
        svg class="scatter" viewBox="-44 -8 460 436" role="img"
            aria-label="Width against height of every image; the square holds what the documented limits allow" {
            rect class="allowed" x=(places(least)) y=(places(SIZE - most)) width=(places(inside)) height=(places(inside)) {}
            @for pixels in [25, 100, 400, 1_600, 7_000, 25_600] {
                @let place = at(pixels);
                @let is_limit = pixels == limits.shortest_side_min || pixels == limits.longest_side_max;
                g class=(if is_limit { "limit" } else { "tick" }) {
                    line x1=(places(place)) x2=(places(place)) y1="0" y2=(places(SIZE)) {}
                    line x1="0" x2=(places(SIZE)) y1=(places(SIZE - place)) y2=(places(SIZE - place)) {}
                    text x=(places(place)) y="414" text-anchor="middle" { (grouped(u64::from(pixels))) }
                    text x="-6" y=(places(SIZE - place + 4.0)) text-anchor="end" { (grouped(u64::from(pixels))) }
                }
            }
            @for ((width, height, class), count) in &sides.0 {
                @let (x, y) = (middle_of(*width), SIZE - middle_of(*height));
                g class=(match class { Class::Good => "good", Class::Open => "open", Class::Refused => "refused" }) {
                    title { (grouped(*count)) " near " (pixels_of(*width)) "×" (pixels_of(*height)) " px" }
                    @match class {
                        Class::Good => { circle cx=(places(x)) cy=(places(y)) r="3" {} }
                        Class::Open => { circle cx=(places(x)) cy=(places(y)) r="3" fill="none" {} }
                        Class::Refused => {
                            path d=(format!("M{:.1} {:.1}l5 5m0 -5l-5 5", x - 2.5, y - 2.5)) {}
                        }
                    }
                }
            }
        }
        p class="legend" {
            span class="good" { "● accepted or eligible" } " "
            span class="refused" { "✕ rejected" } " "
            span class="open" { "○ not known" }
            " · width to the right, height upwards, in pixels"
        }
    }
}

/// The chart's width and height.
const SIZE: f64 = 400.0;
/// Places a side of the chart has: one every four units.
const STEPS: f64 = 100.0;
/// Pixels at the chart's ends, as powers of two.
const FIRST: f64 = 4.0;
const LAST: f64 = 15.0;

/// Where on an axis so many pixels lie.
fn at(pixels: u32) -> f64 {
    let power = f64::from(pixels.max(1)).log2().clamp(FIRST, LAST);
    (power - FIRST) / (LAST - FIRST) * SIZE
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to the number of places"
)]
fn step_of(pixels: u32) -> u16 {
    (at(pixels) / SIZE * STEPS).round() as u16
}

fn middle_of(step: u16) -> f64 {
    f64::from(step) / STEPS * SIZE
}

fn pixels_of(step: u16) -> String {
    format!("{:.0}", (f64::from(step) / STEPS * (LAST - FIRST) + FIRST).exp2())
}

fn places(number: f64) -> String {
    format!("{number:.1}")
}
