//! What a ledger in a database is, whichever database: its tables, its statements, how its rows are
//! read, its sums.

pub(super) mod rows;
pub(super) mod schema;
mod spend;
pub(super) mod statements;

#[cfg(feature = "cli")]
pub(crate) use spend::beijing_day;
pub use spend::{DaySpend, Spend, UnknownCall};
