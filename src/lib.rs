//! Keeps portraits that cannot pass away from the paid `emo-detect-v1` call.
//!
//! It decodes no pixels, looks at no faces and submits no video. What it does:
//!
//! ```text
//! source ─▶ probe ⇄ header ─▶ limits ─▶ ledger + quota ─▶ detect ─▶ bbox ─▶ report
//!           free, a few KB              never pay twice    paid      free
//! ```
//!
//! - [`header`] reads format and sides from an image's first bytes, [`Limits`] holds them against
//!   the documented limits, [`check_boxes`] checks an answer's boxes, [`Report`] is the result and its
//!   JSON, [`EmoRequest`] the hand-off to the video model. None of these needs a feature.
//! - With `client`, `Probe` is the local stage on its own and `Preflight` the gate: the local
//!   stage, then the paid call for what passes, never paid twice for one question.
//! - With `emulator` there is a stand-in for the service, for your own tests.
//!
//! # Diagnostics
//!
//! Events go to `tracing`, with messages that stay: `call_sent`, `call_ended`, `call_repeats`,
//! `call_not_sent`, `answer_unwritten` carry `index` (of the source that asked first), `attempt`
//! (the ledger's id) and, once there is one, `request_id`; `source_done` carries `index`,
//! `verdict` and `request_id`. None carries a key, userinfo or a query value.
//!
//! # What is billed
//!
//! `usage.image_count` in an answer decides, never the HTTP status. A call whose answer is lost is
//! reported as [`ReasonCode::BillingUnknown`] and not repeated. That an error answer without
//! `usage` is unbilled is documented for sister models of the endpoint and assumed for this one.

#![cfg_attr(docsrs, feature(doc_cfg))]

// The public interface is:
pub use report::{
    Billing, Certainty, EmoInput, EmoParameters, EmoRequest, Fetch, Fields, HandOffError, Mismatch,
    Reason, ReasonCode, Report, StyleLevel, Verdict,
};
pub use rules::{AspectRatio, BBox, BoxProblem, Limits, UnknownRatio, Violation, check_boxes};
#[cfg(feature = "client")]
pub use {
    detect::{ApiKey, KeyError},
    gate::{Activity, GateError, Preflight, PreflightBuilder, Spent},
    ledger::{Ledger, LedgerAction, LedgerError},
    net::{ConfigError, tls::RootCertificate},
    probe::{AddressPolicy, Probe, ProbeOptions},
    run::{Run, RunOptions, Source, Stopper},
};

#[cfg(feature = "ledger")]
pub use ledger::{DaySpend, Spend, UnknownCall};

#[cfg(feature = "emulator")]
pub mod emulator;
pub mod header;

// The rooms, from the lowest up; each may use those above it in this list:
#[cfg(feature = "client")]
mod detect;
#[cfg(feature = "client")]
mod gate;
#[cfg(feature = "client")]
mod ledger;
mod net;
#[cfg(feature = "client")]
mod probe;
mod report;
mod rules;
#[cfg(feature = "client")]
mod run;

/// Long runs: how long they take, what survives a crash, and how to hold them against the bill.
#[cfg(feature = "ledger")]
#[doc = include_str!("../docs/operating.md")]
pub mod operating {}

/// The program's entry; not part of the library's interface.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;

#[cfg(all(fuzzing, feature = "client"))]
#[doc(hidden)]
pub mod fuzzing;

/// Compiles the README's examples.
#[cfg(all(doctest, feature = "client", feature = "emulator"))]
#[doc = include_str!("../README.md")]
struct Readme;
