//! A gate on an emulator.

use std::sync::LazyLock;

use emo_preflight::emulator::{Emulator, Picture, Served};
use emo_preflight::{ApiKey, Certainty, Preflight, PreflightBuilder, Report};

use crate::common::table::any_address;

pub(super) const KEY: &str = "sk-test-0123456789";

/// A gate on an emulator, as fast as both allow.
pub(super) fn gate_on(emulator: &Emulator) -> PreflightBuilder {
    Preflight::builder(ApiKey::new(KEY).unwrap())
        .base_url(emulator.base_url())
        .probe(any_address())
        .calls_per_second(1_000.0)
}

pub(super) async fn emulator() -> Emulator {
    Emulator::builder().api_key(KEY).rps(None).start().await.unwrap()
}

/// A good portrait, drawn once for all tests.
pub(super) fn portrait() -> Picture {
    static PORTRAIT: LazyLock<Picture> = LazyLock::new(|| Picture::jpeg(480, 600));
    PORTRAIT.clone()
}

/// An emulator with one good portrait.
pub(super) async fn one_portrait() -> (Emulator, Served) {
    let emulator = emulator().await;
    let portrait = emulator.serve("/face.jpg", portrait());
    (emulator, portrait)
}

pub(super) fn first_code(report: &Report) -> Option<&str> {
    report.reasons.first().map(|reason| reason.code.as_str())
}

/// What is expected of one fate: verdict, first reason, images, certainty, POSTs.
pub(super) type Expected = (&'static str, Option<&'static str>, u64, Certainty, u64);
