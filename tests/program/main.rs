//! The built program, as its users meet it. The emulator runs inside the test's process, so that what
//! the program says can be compared with what was really fetched, called and billed.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// `crash_postgres` has files of `crash`, with a database of its own.
#![allow(clippy::duplicate_mod)]

#[path = "../pg/mod.rs"]
mod pg;
mod rig;

mod batch;
mod cli;
#[cfg(unix)]
mod crash;
#[cfg(unix)]
mod crash_postgres;
#[cfg(unix)]
mod docs;
mod memory;
#[cfg(unix)]
mod report_page;
mod serve;
