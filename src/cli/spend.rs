//! `spend`: what the calls have cost.

use std::io::{BufWriter, Write as _};

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan as _, Unit};
use serde_json::{Value, json};

use crate::cli::args::SpendArguments;
use crate::cli::ledger::Place;
use crate::cli::status::Status;
use crate::cli::text;
use crate::ledger::beijing_day;
use crate::report::Price;
use crate::{DaySpend, Ledger, LedgerError, Spend, UnknownCall};

pub(super) async fn run(arguments: &SpendArguments) -> anyhow::Result<Status> {
    let days = arguments.days()?;
    let place = arguments.ledger.place()?;
    let lines = match read(&place, arguments, days).await {
        Ok(lines) => lines,
        Err(error) => {
            text::error(error);
            return Ok(Status::Stopped);
        }
    };
    let mut out = BufWriter::new(std::io::stdout());
    let written = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    Ok(match written.and_then(|()| out.flush()) {
        Ok(()) => Status::Good,
        Err(error) => {
            text::tell(format_args!("stopping: the sums can no longer be written: {error}"));
            Status::Stopped
        }
    })
}

/// What is to be printed on stdout. The rest is said on stderr.
async fn read(
    place: &Place,
    arguments: &SpendArguments,
    (since, until): (Option<i64>, Option<i64>),
) -> Result<Vec<String>, LedgerError> {
    let ledger = place.open_read_only().await?;
    let lines = read_from(place, ledger.as_ref(), arguments, (since, until)).await;
    if let Some(ledger) = ledger {
        ledger.close().await;
    }
    lines
}

async fn read_from(
    place: &Place,
    ledger: Option<&Ledger>,
    arguments: &SpendArguments,
    (since, until): (Option<i64>, Option<i64>),
) -> Result<Vec<String>, LedgerError> {
    if ledger.is_none() {
        text::say(match place {
            Place::Memory => "no ledger is kept with `none`, so there is nothing to sum".to_owned(),
            place => format!("no ledger yet at {place}: nothing was spent"),
        });
    }
    if arguments.unknown {
        let mut calls = match ledger {
            Some(ledger) => ledger.unknown_calls().await?,
            None => Vec::new(),
        };
        calls.retain(|call| {
            let day = beijing_day(call.time_us);
            since.is_none_or(|since| since <= day) && until.is_none_or(|until| day <= until)
        });
        if ledger.is_some() {
            let count = u64::try_from(calls.len()).unwrap_or(u64::MAX);
            text::say(format_args!("{} of unknown bill", text::count(count, "call", "calls")));
        }
        let line = |call| if arguments.json { call_json(call).to_string() } else { call_row(call) };
        return Ok(calls.iter().map(line).collect());
    }
    let spend = match ledger {
        Some(ledger) => ledger.spend(since, until).await?,
        None => Spend::default(),
    };
    if arguments.json {
        return Ok(vec![spend_json(&spend, arguments.price).to_string()]);
    }
    if ledger.is_none() {
        return Ok(Vec::new());
    }
    text::say_wrapped(
        "days are Beijing's; REJECTED and FAILED were billed, REFUSED were not; the vendor's count \
         of images lies between IMAGES and AT MOST",
        2,
    );
    Ok(table(&spend, arguments.price))
}

impl SpendArguments {
    /// The days to count, first and last.
    fn days(&self) -> anyhow::Result<(Option<i64>, Option<i64>)> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            anyhow::bail!("--since must not be after --until, found {since} and {until}");
        }
        Ok((self.since.map(number_of), self.until.map(number_of)))
    }
}

fn table(spend: &Spend, price: Price) -> Vec<String> {
    let total = ("total".to_owned(), &spend.total());
    let sums = spend.days.iter().map(|day| (name_of(day.day), day)).chain([total]);
    let rows = sums.map(|(name, sum)| {
        let (least, most) = (price.of(sum.images_certain), price.of(sum.images_at_most));
        let counts = [
            sum.accepted,
            sum.rejected_billed,
            sum.box_mismatch,
            sum.failed_billed,
            sum.refused,
            sum.unknown,
            sum.images_certain,
            sum.images_at_most,
        ];
        let cny = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let counts = counts.iter().map(u64::to_string);
        std::iter::once(name).chain(counts).chain([cny]).collect::<Vec<_>>()
    });
    let headings = HEADINGS.map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(headings).chain(rows).collect();
    // As narrow as they can be: few terminals are as wide as ten columns would like.
    let mut widths = [0; HEADINGS.len()];
    for row in &rows {
        for (cell, width) in row.iter().zip(&mut widths) {
            *width = cell.len().max(*width);
        }
    }
    rows.iter().map(|row| line(row, &widths)).collect()
}

/// The first cell on the left, the others on the right of their columns.
fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        match line.is_empty() {
            true => line = format!("{cell:<width$}"),
            false => line.push_str(&format!(" {cell:>width$}")),
        }
    }
    line
}

const HEADINGS: [&str; 10] = [
    "DAY", "ACCEPTED", "REJECTED", "MISMATCH", "FAILED", "REFUSED", "UNKNOWN", "IMAGES", "AT MOST",
    "CNY",
];

fn spend_json(spend: &Spend, price: Price) -> Value {
    let sums = |sum: &DaySpend| {
        json!({
            "accepted": sum.accepted,
            "rejected_billed": sum.rejected_billed,
            "box_mismatch": sum.box_mismatch,
            "failed_billed": sum.failed_billed,
            "refused": sum.refused,
            "unknown": sum.unknown,
            "images_certain": sum.images_certain,
            "images_at_most": sum.images_at_most,
            "cny_certain": price.of(sum.images_certain).to_string(),
            "cny_at_most": price.of(sum.images_at_most).to_string(),
        })
    };
    let days: Vec<Value> = spend
        .days
        .iter()
        .map(|day| {
            let mut sums = sums(day);
            if let Some(fields) = sums.as_object_mut() {
                fields.insert("day".to_owned(), name_of(day.day).into());
            }
            sums
        })
        .collect();
    json!({"v": 1, "days": days, "total": sums(&spend.total())})
}

fn call_json(call: &UnknownCall) -> Value {
    let mut fields = json!({
        "v": 1,
        "time": time_of(call),
        "source": call.source,
        "under_way": call.under_way,
    });
    if let (Some(id), Some(fields)) = (&call.request_id, fields.as_object_mut()) {
        fields.insert("request_id".to_owned(), id.as_str().into());
    }
    fields
}

fn call_row(call: &UnknownCall) -> String {
    format!(
        "{}  {:<36}  {}{}",
        time_of(call),
        text::plain(call.request_id.as_deref().unwrap_or("-")),
        text::plain(&call.source),
        if call.under_way { "  (may be under way)" } else { "" }
    )
}

fn time_of(call: &UnknownCall) -> String {
    let time = Timestamp::from_microsecond(call.time_us).unwrap_or_default();
    format!("{time:.0}")
}

/// Days since 1970-01-01.
fn number_of(day: Date) -> i64 {
    let since = day.since((Unit::Day, EPOCH)).map_or(0, |span| span.get_days());
    i64::from(since)
}

fn name_of(day: i64) -> String {
    EPOCH.checked_add(day.days()).map_or_else(|_| day.to_string(), |date| date.to_string())
}

const EPOCH: Date = date(1970, 1, 1);
