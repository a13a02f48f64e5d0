//! `ledger`: what was paid for as results, a copied file, the schema.

use std::io::{BufWriter, Write as _};
use std::pin::pin;

use anyhow::bail;
use futures_util::TryStreamExt as _;

use crate::cli::args::{LedgerArguments, LedgerCommand};
use crate::cli::ledger::Place;
use crate::cli::status::Status;
use crate::cli::{no_ledger, print, text};
use crate::{Ledger, LedgerError};

pub(super) async fn run(command: LedgerCommand) -> anyhow::Result<Status> {
    match command {
        LedgerCommand::Export(arguments) => export(&arguments.place()?).await,
        LedgerCommand::Adopt(arguments) => adopt(&arguments).await,
        LedgerCommand::Schema => Ok(print(Ledger::postgres_schema())),
    }
}

async fn export(place: &Place) -> anyhow::Result<Status> {
    let ledger = match place.open_read_only().await {
        Ok(Some(ledger)) => ledger,
        Ok(None) => {
            text::say(format_args!("no ledger at {place}: nothing to export"));
            return Ok(Status::Good);
        }
        Err(error) => return Ok(no_ledger(&error)),
    };
    let exported = write_verdicts(&ledger).await;
    ledger.close().await;
    Ok(match exported {
        Ok(Ok(count)) => {
            text::say(text::count(count, "verdict", "verdicts"));
            Status::Good
        }
        Ok(Err(error)) => {
            text::tell(format_args!("stopping: the verdicts can no longer be written: {error}"));
            Status::Stopped
        }
        Err(error) => no_ledger(&error),
    })
}

/// How many were written to stdout.
async fn write_verdicts(ledger: &Ledger) -> Result<std::io::Result<u64>, LedgerError> {
    let mut out = BufWriter::new(std::io::stdout());
    let mut verdicts = pin!(ledger.verdicts());
    let mut count = 0;
    while let Some(report) = verdicts.try_next().await? {
        let line = serde_json::to_string(&report).map_err(std::io::Error::other);
        if let Err(error) = line.and_then(|line| writeln!(out, "{line}")) {
            return Ok(Err(error));
        }
        count += 1;
    }
    Ok(out.flush().map(|()| count))
}

async fn adopt(arguments: &LedgerArguments) -> anyhow::Result<Status> {
    let path = match arguments.place()? {
        Place::File(path) => path,
        place => bail!("the ledger to adopt must be an SQLite file, found {place}"),
    };
    Ok(match Ledger::adopt(&path).await {
        Ok(()) => {
            text::say(format_args!("adopted: {}", path.display()));
            Status::Good
        }
        Err(error) => no_ledger(&error),
    })
}
