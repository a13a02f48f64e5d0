//! A user's own test: code that asks the gate, and a stand-in that misbehaves on request.
//! `cargo run --features client,emulator --example test_with_emulator`, or `cargo test` likewise.

#![allow(clippy::expect_used)] // it stands for a test

use emo_preflight::emulator::{Emulator, Fate, Picture};
use emo_preflight::{AddressPolicy, ApiKey, Certainty, Preflight, ProbeOptions, Source};

/// The code under test: what a pipeline would do with a portrait.
async fn is_worth_animating(gate: &Preflight, url: &str) -> Result<bool, String> {
    let report = gate.check(Source::url(url)).await.map_err(|e| e.to_string())?;
    match report.billing.certainty {
        Certainty::Unknown => Err(format!("ask the vendor about {url}: {:?}", report.reasons)),
        _ => Ok(report.verdict.boxes().is_some()),
    }
}

async fn a_lost_answer_is_not_paid_for_twice() {
    let service = Emulator::builder().start().await.expect("a free port on loopback");
    let portrait = service.serve("/face.jpg", Picture::jpeg(640, 800));
    // The first call is answered, and billed, but the connection breaks in the middle.
    service.script(&portrait, [Fate::judge().cut_off()]);

    let mut probe = ProbeOptions::default();
    probe.addresses = AddressPolicy::Any;
    let key = ApiKey::new("sk-test").expect("a key without blanks");
    let gate = Preflight::builder(key).base_url(service.base_url()).probe(probe).build().await;
    let gate = gate.expect("settings within their ranges");

    assert!(is_worth_animating(&gate, portrait.url()).await.is_err());
    assert!(is_worth_animating(&gate, portrait.url()).await.is_err());
    assert_eq!((service.calls_for(&portrait), service.billed()), (1, 1));
    // Fails where anything happened that nobody scripted.
    service.finish();
}

#[tokio::main]
async fn main() {
    a_lost_answer_is_not_paid_for_twice().await;
    println!("one call, one bill, and both times the caller was told");
}

#[tokio::test]
async fn lost_answers() {
    a_lost_answer_is_not_paid_for_twice().await;
}
