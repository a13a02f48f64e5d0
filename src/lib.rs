//! Keeps portraits that cannot pass away from the paid `emo-detect-v1` call.
//!
//! It submits no video, and looks at pixels only where you ask for the face screen. What it does:
//!
//! ```text
//! source ─▶ probe ⇄ header ─▶ limits ─▶ ledger + quota ─▶ detect ─▶ bbox ─▶ report
//!           free, a few KB              never pay twice    paid      free
//! ```
//!
//! # Example
//!
#![cfg_attr(all(feature = "client", feature = "emulator"), doc = "```")]
#![cfg_attr(not(all(feature = "client", feature = "emulator")), doc = "```ignore")]
//! use emo_preflight::emulator::{Emulator, Picture};
//! use emo_preflight::{AddressPolicy, ApiKey, Preflight, ProbeOptions, Source};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A stand-in for the service. In earnest leave out `base_url` and `probe`, and begin with
//! // `Preflight::from_env()?`.
//! let service = Emulator::builder().start().await?;
//! let portrait = service.serve("/face.jpg", Picture::jpeg(640, 800));
//! let thumbnail = service.serve("/thumbnail.jpg", Picture::jpeg(300, 300));
//! let mut probe = ProbeOptions::default();
//! probe.addresses = AddressPolicy::Any; // the stand-in's images are on loopback
//!
//! let gate = Preflight::builder(ApiKey::new("sk-any")?)
//!     .base_url(service.base_url())
//!     .probe(probe)
//!     .build()
//!     .await?;
//! let report = gate.check(Source::url(portrait.url())).await?;
//! assert_eq!(report.verdict.as_str(), "accepted");
//! let report = gate.check(Source::url(thumbnail.url())).await?;
//! assert_eq!(
//!     report.reasons[0].to_string(),
//!     "shortest_side_below_min: shortest side must be at least 400 px, found 300 px",
//! );
//! assert_eq!(service.billed(), 1); // the thumbnail cost nothing
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! A feature adds; it never changes what another does. None is on by default.
//!
//! - *none*: headers, limits, boxes, the result types. No runtime and no network in the tree.
//! - `client`: the local stage, the paid call, the gate. On Tokio.
//! - `ledger`: a ledger in an SQLite file, shared by processes, kept over crashes.
//! - `postgres`: the same ledger in PostgreSQL, for many machines on one account.
//! - `serve`: the gate as an HTTP service, for clients in any language.
//! - `html`: the report, a page about any results.
//! - `faces`: a look for a face before the paid call.
//! - `emulator`: a stand-in for the service, for your own tests.
//! - `cli`: the program.
//!
//! # Map of the types
//!
//! | you want to | look at |
//! |---|---|
//! | read format and sides from bytes | [`header`] |
//! | hold a header against the documented limits | [`Limits`] |
//! | check the boxes of an answer | [`check_boxes`] |
//! | run the local stage alone | `Probe`, `ProbeOptions` |
//! | check images, paying for each once | `Preflight`, `PreflightBuilder` |
//! | check a stream of them | `Preflight::run`, `Run`, `RunOptions` |
//! | look for a face before the call | `FaceScreen`, `ProbeOptions::face_screen`, [`Screen`] |
//! | stand in front of a DashScope client in another language | `serve` |
//! | keep what was paid for | `Ledger` |
//! | read a result | [`Report`], [`Verdict`], [`Reason`] |
//! | show results to people | `html::Report` |
//! | hand an accepted image to the video model | [`EmoRequest`] |
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
#[cfg(feature = "faces")]
pub use faces::{FaceModelError, FaceScreen, Finding, ScreenAction, ScreenThresholds};
pub use report::{
    Advice, Billing, Certainty, EmoInput, EmoParameters, EmoRequest, Fetch, Fields, HandOffError,
    Mismatch, Reason, ReasonCode, Report, Screen, ScreenFace, StyleLevel, Verdict,
};
pub use rules::{AspectRatio, BBox, BoxProblem, Limits, UnknownRatio, Violation, check_boxes};
#[cfg(feature = "client")]
pub use {
    detect::{ApiKey, KeyError},
    gate::{Activity, GateError, GateTiming, Preflight, PreflightBuilder, Spent},
    ledger::{Ledger, LedgerAction, LedgerError},
    net::{ConfigError, tls::RootCertificate},
    probe::{AddressPolicy, Probe, ProbeOptions},
    run::{Run, RunOptions, Source, Stopper},
};

#[cfg(feature = "ledger")]
pub use ledger::{DaySpend, LedgerTiming, Spend, UnknownCall};

#[cfg(feature = "emulator")]
pub mod emulator;
pub mod header;
#[cfg(feature = "html")]
pub mod html;
#[cfg(feature = "serve")]
pub mod serve;

// The rooms, from the lowest up; each may use those above it in this list:
#[cfg(feature = "client")]
mod detect;
#[cfg(feature = "faces")]
mod faces;
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

/// The face screen: what it rejects, what it costs, and what it cannot see.
#[cfg(feature = "faces")]
#[doc = include_str!("../docs/face-screen.md")]
pub mod face_screen {}

/// The gate as an HTTP service: settings for clients, answers, how to run it.
#[cfg(feature = "serve")]
#[doc = include_str!("../docs/in-front-of-your-client.md")]
pub mod in_front_of_your_client {}

/// Every reason code, what it means, and what can be done about it.
#[doc = include_str!("../docs/reason-codes.md")]
pub mod reason_codes {}

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

/// Compiles the examples of the guide for library users.
#[cfg(all(doctest, feature = "ledger", feature = "emulator"))]
#[doc = include_str!("../docs/library.md")]
struct LibraryGuide;
