//! A connection that breaks at any request, before or after the server has done it: one call, one
//! bill, and the ledger knows.

use emo_preflight::{Ledger, Source};
use futures_util::future::join_all;

use super::scene::Scene;
use crate::pg::proxy::{Cut, Proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_before_any_request_costs_nothing_and_loses_nothing() {
    check_each(Cut::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_after_any_request_costs_nothing_and_loses_nothing() {
    check_each(Cut::After).await;
}

async fn check_each(cut: fn(u64) -> Cut) {
    if crate::pg::server().is_none() {
        return;
    }
    let mut at = 0;
    loop {
        let reached = join_all((at..at + 6).map(|at| check_with(cut(at)))).await;
        at += 6;
        if reached.contains(&false) {
            break;
        }
    }
    assert!(at > 24, "a call takes more requests than {at}");
}

/// Whether there was anything to cut.
async fn check_with(cut: Cut) -> bool {
    let scene = Scene::new().await;
    // The schema is there: what is cut is a call.
    drop(scene.open().await);
    let server = crate::pg::server().unwrap();
    let proxy = Proxy::cutting(server.port(), cut);
    let database = scene.database.as_deref().unwrap();
    let url = database.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    let portrait = scene.portrait("face.png");
    let ledger = Ledger::connect(&url).await.unwrap();
    let gate = scene.gate_with(|builder| builder.ledger(ledger)).await;
    let report = gate.check(Source::url(portrait.url())).await.unwrap();
    assert_eq!(report.verdict.as_str(), "accepted", "{cut:?}: {report:?}");
    assert_eq!(scene.emulator.billed(), 1, "{cut:?}");
    gate.close().await;
    let again = scene.gate().await.check(Source::url(portrait.url())).await.unwrap();
    assert_eq!((again.verdict.as_str(), again.from_ledger), ("accepted", true), "{cut:?}");
    let under_way = "SELECT COUNT(*) FROM attempt WHERE state IN ('booked', 'sending', 'unknown')";
    assert_eq!(scene.number(under_way).await, 0, "{cut:?}");
    assert_eq!(scene.number("SELECT COUNT(*) FROM attempt WHERE state = 'settled'").await, 1);
    let (Cut::Before(at) | Cut::After(at)) = cut;
    proxy.requests() > at
}
