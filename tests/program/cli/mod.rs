//! The program as its users meet it: the built binary, its exit status, its stdout and stderr.
//!
//! The stand-in service runs inside the test's process, so that a test can compare what was
//! printed with what was really called and billed.

mod corpus;
mod errors;
mod input;
mod other_commands;
mod output;
mod pictures;
mod report;
mod secrets;
#[cfg(unix)]
mod signals;
mod status;
mod terminal;
mod timing;
