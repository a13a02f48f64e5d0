//! `ledger`: what was paid for as results, a copied file, the schema.

use std::pin::pin;

use anyhow::bail;
use futures_util::TryStreamExt as _;

use crate::Ledger;
use crate::cli::args::{LedgerArguments, LedgerCommand};
use crate::cli::ledger::Place;
use crate::cli::output::Lines;
use crate::cli::print;
use crate::cli::status::Status;
use crate::cli::terminal::text;

pub(in crate::cli) async fn run(command: LedgerCommand) -> anyhow::Result<Status> {
    match command {
        LedgerCommand::Export(arguments) => export(&arguments.place()?).await,
        LedgerCommand::Adopt(arguments) => adopt(&arguments).await,
        LedgerCommand::Schema => Ok(print(Ledger::postgres_schema())),
    }
}

async fn export(place: &Place) -> anyhow::Result<Status> {
    let work = async |ledger: Option<&Ledger>| {
        let Some(ledger) = ledger else {
            text::say(format_args!("no ledger at {place}: nothing to export"));
            return Ok(Status::Good);
        };
        let mut out = Lines::new("the verdicts");
        let mut verdicts = pin!(ledger.verdicts());
        let mut count = 0;
        while let Some(report) = verdicts.try_next().await? {
            out.write(serde_json::to_string(&report)?)?;
            count += 1;
        }
        out.finish()?;
        text::say(text::count(count, "verdict", "verdicts"));
        Ok(Status::Good)
    };
    place.with_read_only(work).await
}

async fn adopt(arguments: &LedgerArguments) -> anyhow::Result<Status> {
    let path = match arguments.place()? {
        Place::File(path) => path,
        place => bail!("the ledger to adopt must be an SQLite file, found {place}"),
    };
    Ledger::adopt(&path).await?;
    text::say(format_args!("adopted: {}", path.display()));
    Ok(Status::Good)
}
