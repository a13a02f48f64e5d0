//! A server that goes away under many lookups.

use std::time::{Duration, Instant};

use emo_preflight::{GateError, Ledger, LedgerTiming, Source};
use futures_util::future::join_all;

use super::scene::Scene;
use crate::pg;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_look_up_none_waits_longer_than_was_said() {
    let Some(server) = pg::another() else { return };
    let scene = Scene::new().await;
    let images = scene.portraits(12);
    let timing = LedgerTiming::default().with_wait(Duration::from_secs(5));
    let ledger = Ledger::connect_with(&server.database(), timing).await.unwrap();
    let gate = scene.gate_with(|builder| builder.ledger(ledger)).await;
    server.stop("fast");
    let begun = Instant::now();
    let asked = images.iter().map(|image| gate.check(Source::url(image.url())));
    for checked in join_all(asked).await {
        assert!(matches!(checked, Err(GateError::Ledger(_))), "{checked:?}");
    }
    // It was half a minute for the first and as much again for each that waited behind it.
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert_eq!(scene.emulator.calls(), 0);
}
