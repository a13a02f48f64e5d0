//! What the values of options must be.

use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use jiff::civil::Date;

use crate::StyleLevel;

impl ValueEnum for StyleLevel {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Normal, Self::Calm, Self::Active]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            Self::Normal => "normal",
            Self::Calm => "calm",
            Self::Active => "active",
        }))
    }
}

pub(in crate::cli) fn seconds(text: &str) -> Result<Duration, String> {
    let required = || format!("seconds must be above 0 and at most {MOST_SECONDS}, found {text:?}");
    let number: f64 = text.parse().map_err(|_| required())?;
    if number > 0.0 && number <= MOST_SECONDS {
        Ok(Duration::from_secs_f64(number))
    } else {
        Err(required())
    }
}

pub(super) fn age(text: &str) -> Result<Duration, String> {
    let required = |why: String| format!("an age is like 30d or 12h: {why}");
    let span: jiff::Span = text.parse().map_err(|e: jiff::Error| required(e.to_string()))?;
    let span = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|e| required(e.to_string()))?;
    Duration::try_from(span).map_err(|_| required("found a negative one".to_owned()))
}

pub(super) fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|e| format!("a day is like 2026-01-31: {e}"))
}

/// The gate knows how much is too much; that there are any is known here, without a key.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| *rate > 0.0 && rate.is_finite())
        .ok_or_else(|| format!("calls a second must be a number above 0, found {text:?}"))
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "it must be an IP address and a port, such as 127.0.0.1:8484 or [::1]:0, found {text:?}"
        )
    })
}

pub(super) fn at_a_time() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=10_000)
}

const MOST_SECONDS: f64 = 86_400.0;
