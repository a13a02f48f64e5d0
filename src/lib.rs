//! Stands in front of the paid portrait check `emo-detect-v1`.
#![doc = ""]

pub mod bbox;
mod emo;
pub mod header;
pub mod limits;
mod report;

#[cfg(feature = "client")]
mod detect;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod gate;
#[cfg(feature = "client")]
mod key;
#[cfg(feature = "client")]
mod ledger;
#[cfg(feature = "client")]
mod pace;
#[cfg(feature = "client")]
mod probe;
#[cfg(feature = "client")]
mod retry_after;
#[cfg(feature = "client")]
mod run;
#[cfg(feature = "client")]
mod source;
#[cfg(feature = "client")]
mod tls;

#[cfg(feature = "emulator")]
pub mod emulator;

pub use bbox::{AspectRatio, BBox};
pub use emo::{EmoInput, EmoParameters, EmoRequest, HandOffError, Mismatch, StyleLevel};
pub use limits::{Limits, Violation};
pub use report::{Billing, Certainty, Fetch, Reason, ReasonCode, Report, Verdict};

#[cfg(feature = "client")]
pub use {
    error::{ConfigError, GateError},
    gate::{Preflight, PreflightBuilder, Spent},
    key::{ApiKey, KeyError},
    probe::{AddressPolicy, Probe, ProbeOptions},
    run::{Run, RunOptions, Stopper},
    source::Source,
};

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
