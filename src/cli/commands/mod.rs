//! One file for each command.

pub(super) mod annotate;
pub(super) mod check;
pub(super) mod demo;
pub(super) mod emo_body;
pub(super) mod emulator;
mod gallery;
pub(super) mod ledger;
pub(super) mod manual;
mod pictures;
pub(super) mod probe;
pub(super) mod report;
pub(super) mod serve;
pub(super) mod spend;
