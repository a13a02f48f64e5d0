//! Long runs as their users meet them: results in a file, broken off and gone on with, a ledger on
//! disk, caps, progress, and what it all has cost.
//!
//! The stand-in service runs inside the test's process, so that what a file, a summary or `spend`
//! says can be held against what was really fetched, called and billed.

#![cfg(feature = "cli")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "batch/cap.rs"]
mod cap;
#[path = "batch/desk.rs"]
mod desk;
#[path = "batch/dry_run.rs"]
mod dry_run;
#[path = "batch/faces.rs"]
mod faces;
#[path = "batch/input.rs"]
mod input;
#[cfg(unix)]
#[path = "batch/interrupted.rs"]
mod interrupted;
#[path = "batch/ledger.rs"]
mod ledger;
#[path = "batch/next_steps.rs"]
mod next_steps;
#[path = "batch/output.rs"]
mod output;
#[path = "batch/progress.rs"]
mod progress;
#[path = "batch/refused.rs"]
mod refused;
#[path = "batch/resume.rs"]
mod resume;
mod rig;
#[path = "batch/spend.rs"]
mod spend;
