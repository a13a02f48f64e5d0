//! Long runs as their users meet them: results in a file, broken off and gone on with, a ledger on
//! disk, caps, progress, and what it all has cost.
//!
//! The stand-in service runs inside the test's process, so that what a file, a summary or `spend`
//! says can be held against what was really fetched, called and billed.

mod cap;
mod desk;
mod dry_run;
mod faces;
mod input;
#[cfg(unix)]
mod interrupted;
mod ledger;
#[cfg(unix)]
mod ledger_location;
mod next_steps;
mod output;
mod progress;
mod refused;
mod resume;
mod spend;
mod who_answers;
