//! What can be done with a ledger.

use clap::Subcommand;

use super::{LedgerArguments, examples};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LedgerCommand {
    /// Print every verdict that was paid for, as a result line without its image; only reads
    #[command(after_help = examples::LEDGER_EXPORT)]
    Export(LedgerArguments),
    /// Go on with an SQLite file that was copied without its folder
    ///
    /// The file and the folder beside it get a new id. Two copies that are both gone on with know
    /// nothing of each other's calls. Refused while a process has the file open.
    #[command(after_help = examples::LEDGER_ADOPT)]
    Adopt(LedgerArguments),
    /// Print the SQL that makes a PostgreSQL ledger's schema, for a database administrator
    #[command(after_help = examples::LEDGER_SCHEMA)]
    Schema,
}
