//! `spend`: what the calls have cost.

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan as _, Unit};
use serde_json::{Map, Value, json};

use crate::cli::args::SpendArguments;
use crate::cli::ledger::Place;
use crate::cli::output::Lines;
use crate::cli::status::Status;
use crate::cli::terminal::text;
use crate::ledger::beijing_day;
use crate::report::Price;
use crate::{DaySpend, Ledger, Spend, UnknownCall};

pub(in crate::cli) async fn run(arguments: &SpendArguments) -> anyhow::Result<Status> {
    let days = arguments.days()?;
    let place = arguments.ledger.place()?;
    let mut out = Lines::new("the sums");
    for line in
        place.with_read_only(async |ledger| read(&place, ledger, arguments, days).await).await?
    {
        out.write(line)?;
    }
    out.finish()?;
    Ok(Status::Good)
}

/// What is to be printed on stdout. The rest is said on stderr.
async fn read(
    place: &Place,
    ledger: Option<&Ledger>,
    arguments: &SpendArguments,
    (since, until): (Option<i64>, Option<i64>),
) -> anyhow::Result<Vec<String>> {
    let Some(ledger) = ledger else {
        text::say(match place {
            Place::Memory => "no ledger is kept with `none`, so there is nothing to sum".to_owned(),
            place => format!("no ledger yet at {place}: nothing was spent"),
        });
        let is_sum = arguments.json && !arguments.unknown;
        let sums = is_sum.then(|| spend_json(&Spend::default(), arguments.price).to_string());
        return Ok(sums.into_iter().collect());
    };
    if arguments.unknown {
        let mut calls = ledger.unknown_calls().await?;
        calls.retain(|call| {
            let day = beijing_day(call.time_us);
            since.is_none_or(|since| since <= day) && until.is_none_or(|until| day <= until)
        });
        let count = u64::try_from(calls.len()).unwrap_or(u64::MAX);
        text::say(format_args!("{} of unknown bill", text::count(count, "call", "calls")));
        let line = |call| if arguments.json { call_json(call).to_string() } else { call_row(call) };
        return Ok(calls.iter().map(line).collect());
    }
    let spend = ledger.spend(since, until).await?;
    if arguments.json {
        return Ok(vec![spend_json(&spend, arguments.price).to_string()]);
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
        let counts = COLUMNS.map(|(_, _, count)| count(sum).to_string());
        let cny = if least == most { least.to_string() } else { format!("{least} to {most}") };
        [name].into_iter().chain(counts).chain([cny]).collect::<Vec<_>>()
    });
    let headings = ["DAY"].into_iter().chain(COLUMNS.map(|(heading, ..)| heading)).chain(["CNY"]);
    let rows: Vec<_> = std::iter::once(headings.map(str::to_owned).collect()).chain(rows).collect();
    // As narrow as they can be: few terminals are as wide as ten columns would like.
    let mut widths = [0; COLUMNS.len() + 2];
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

type Column = (&'static str, &'static str, fn(&DaySpend) -> u64);

/// What is counted: in the table, in JSON, and where it comes from.
const COLUMNS: [Column; 8] = [
    ("ACCEPTED", "accepted", |sum| sum.accepted),
    ("REJECTED", "rejected_billed", |sum| sum.rejected_billed),
    ("MISMATCH", "box_mismatch", |sum| sum.box_mismatch),
    ("FAILED", "failed_billed", |sum| sum.failed_billed),
    ("REFUSED", "refused", |sum| sum.refused),
    ("UNKNOWN", "unknown", |sum| sum.unknown),
    ("IMAGES", "images_certain", |sum| sum.images_certain),
    ("AT MOST", "images_at_most", |sum| sum.images_at_most),
];

fn spend_json(spend: &Spend, price: Price) -> Value {
    let sums = |sum: &DaySpend| -> Map<String, Value> {
        let counts = COLUMNS.map(|(_, name, count)| (name.to_owned(), count(sum).into()));
        let cny = [("cny_certain", sum.images_certain), ("cny_at_most", sum.images_at_most)];
        let cny = cny.map(|(name, images)| (name.to_owned(), price.of(images).to_string().into()));
        counts.into_iter().chain(cny).collect()
    };
    let days = spend.days.iter().map(|day| {
        let mut sums = sums(day);
        sums.insert("day".to_owned(), name_of(day.day).into());
        Value::Object(sums)
    });
    json!({"v": 1, "days": days.collect::<Vec<_>>(), "total": sums(&spend.total())})
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
