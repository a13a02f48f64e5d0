//! The program as its users meet it: the built binary, its exit status, its stdout and stderr.
//!
//! The stand-in service runs inside the test's process, so that a test can compare what was
//! printed with what was really called and billed.

#![cfg(feature = "cli")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "program/corpus.rs"]
mod corpus;
#[path = "program/errors.rs"]
mod errors;
#[path = "program/input.rs"]
mod input;
#[path = "program/other_commands.rs"]
mod other_commands;
#[path = "program/output.rs"]
mod output;
#[path = "program/pictures.rs"]
mod pictures;
#[path = "program/report.rs"]
mod report;
mod rig;
#[path = "program/secrets.rs"]
mod secrets;
#[cfg(unix)]
#[path = "program/signals.rs"]
mod signals;
#[path = "program/status.rs"]
mod status;
#[path = "program/terminal.rs"]
mod terminal;
#[path = "rig/turned.rs"]
mod turned;
