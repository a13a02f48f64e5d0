//! One image is paid for once: when a later call for it is lost, and when its ledger is pulled away.

use std::time::Duration;

use emo_preflight::emulator::Fate;
use emo_preflight::{Certainty, GateError, Ledger, PreflightBuilder, Report, RunOptions, Source};
use futures_util::stream::StreamExt as _;

use super::scene::{Scene, check, code, sources};

/// A call repeated for its verdict's age is lost: the verdict before it is given, and that is said.
#[tokio::test]
async fn a_lost_call_hides_no_earlier_verdict() {
    for in_memory in [true, false] {
        let scene = Scene::new().await;
        let image = scene.portrait("face.png");
        scene.emulator.script(&image, [Fate::judge(), Fate::judge().reset()]);
        let memory = Ledger::in_memory();
        let with = |builder: PreflightBuilder| match in_memory {
            true => builder.ledger(memory.clone()),
            false => builder,
        };
        let first = check(&scene.gate_with(with).await, &image).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let aged = |builder| with(builder).ledger_max_age(Duration::from_millis(1));
        let lost = check(&scene.gate_with(aged).await, &image).await;
        assert_eq!((code(&lost), lost.from_ledger), (Some("billing_unknown"), false));
        assert_eq!(lost.billing.certainty, Certainty::Unknown);
        for builder in [true, false] {
            let gate = match builder {
                true => scene.gate_with(with).await,
                false => scene.gate_with(aged).await,
            };
            let report = check(&gate, &image).await;
            assert_eq!((report.verdict, report.from_ledger), (first.verdict, true), "{in_memory}");
            assert_eq!((report.billing, &report.request_id), (first.billing, &first.request_id));
            assert_eq!(code(&report), Some("billing_unknown"), "it says so");
            assert!(report.reasons[0].message.contains("earlier verdict"), "{report:?}");
        }
        assert_eq!(scene.emulator.calls(), 2, "{in_memory}");
        let retry = scene.gate_with(|builder| with(builder).retry_unknown(true)).await;
        let report = check(&retry, &image).await;
        assert_eq!((report.verdict.as_str(), report.reasons.len()), ("accepted", 0));
    }
}

/// A file that was removed or replaced takes no more answers: what is written there is lost.
#[cfg(unix)]
#[tokio::test]
async fn a_ledger_pulled_away_stops_the_run() {
    for replaced in [false, true] {
        let scene = Scene::new().await;
        let images = scene.portraits(4);
        let gate = scene.gate().await;
        check(&gate, &images[0]).await;
        std::fs::rename(scene.path(), scene.path().with_extension("old")).unwrap();
        if replaced {
            std::fs::copy(scene.path().with_extension("old"), scene.path()).unwrap();
        }
        let found = if replaced { "another file" } else { "No such file" };
        match gate.check(Source::url(images[1].url())).await {
            Err(GateError::Ledger(error)) => {
                let error = error.to_string();
                assert!(error.contains("must stay where it is"), "{error}");
                assert!(error.contains(found), "{error}");
            }
            other => panic!("{replaced}: {other:?}"),
        }
        let reports: Vec<Report> =
            gate.run(sources(&images[1..]), RunOptions::default()).collect().await;
        assert!(reports.iter().all(|report| code(report) == Some("ledger_error")), "{reports:?}");
        assert_eq!(scene.emulator.calls(), 1, "{replaced}");
    }
}
