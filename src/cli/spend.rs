//! `spend`: what the calls have cost.

use std::io::Write as _;

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan as _, Unit};
use serde_json::{Value, json};

use crate::cli::args::SpendArguments;
use crate::cli::money::Price;
use crate::cli::status::Status;
use crate::cli::text;
use crate::{DaySpend, Spend, UnknownCall};

/// Prints a line of data; a reader that has gone is no reason to panic.
macro_rules! say {
    ($($line:tt)*) => {{ let _ = writeln!(std::io::stdout(), $($line)*); }};
}

pub(super) async fn run(arguments: &SpendArguments) -> anyhow::Result<Status> {
    let place = arguments.ledger.place()?;
    let ledger = match place.open_read_only().await {
        Ok(Some(ledger)) => ledger,
        Ok(None) => {
            text::tell("no ledger yet: nothing was spent");
            if arguments.json {
                say!("{}", spend_json(&Spend::default(), arguments.price));
            }
            return Ok(Status::Good);
        }
        Err(error) => {
            text::tell(format_args!("error: {error}"));
            return Ok(Status::Stopped);
        }
    };
    if arguments.unknown {
        let calls = ledger.unknown_calls().await?;
        for call in &calls {
            say!("{}", if arguments.json { call_json(call).to_string() } else { call_row(call) });
        }
        let count = u64::try_from(calls.len()).unwrap_or(u64::MAX);
        text::tell(format_args!("{} of unknown bill", text::count(count, "call", "calls")));
        return Ok(Status::Good);
    }
    let since = arguments.since.map(number_of);
    let until = arguments.until.map(number_of);
    let spend = ledger.spend(since, until).await?;
    if arguments.json {
        say!("{}", spend_json(&spend, arguments.price));
    } else {
        print_table(&spend, arguments.price);
    }
    Ok(Status::Good)
}

fn print_table(spend: &Spend, price: Price) {
    say!(
        "{:<10}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>22}",
        "DAY",
        "ACCEPTED",
        "REJECTED",
        "MISMATCH",
        "FAILED",
        "REFUSED",
        "UNKNOWN",
        "IMAGES",
        "AT MOST",
        "CNY"
    );
    let total = spend.total();
    for (name, sum) in spend
        .days
        .iter()
        .map(|day| (name_of(day.day), day))
        .chain(std::iter::once(("total".to_owned(), &total)))
    {
        let (least, most) = (price.of(sum.images_certain), price.of(sum.images_at_most));
        say!(
            "{name:<10}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>22}",
            sum.accepted,
            sum.rejected_billed,
            sum.box_mismatch,
            sum.failed_billed,
            sum.refused,
            sum.unknown,
            sum.images_certain,
            sum.images_at_most,
            if least == most { least.to_string() } else { format!("{least} to {most}") },
        );
    }
    text::tell(
        "days are Beijing's; REJECTED and FAILED were billed, REFUSED were not; the vendor's count \
         of images lies between IMAGES and AT MOST",
    );
}

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
