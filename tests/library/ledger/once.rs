//! One image is paid for once: under another URL, from another replica, in a ledger of an older
//! version, and when a later call for it is lost.

use std::time::Duration;

use emo_preflight::emulator::{Fate, Picture, Served};
use emo_preflight::{
    Certainty, GateError, Ledger, PreflightBuilder, Report, RunOptions, Source, Verdict,
};
use futures_util::stream::StreamExt as _;

use super::scene::{Scene, check, code, sources};
use crate::common::{Origin, Request, answer, ranged, ranged_with};

/// Served in several places, byte for byte the same.
fn copies(scene: &Scene, names: &[&str]) -> Vec<Served> {
    let image = Picture::bmp(420, 400);
    names.iter().map(|name| scene.emulator.serve(name, image.clone())).collect()
}

#[tokio::test]
async fn the_same_content_under_another_url_is_paid_for_once_where_that_is_asked_for() {
    let scene = Scene::new().await;
    let images = copies(&scene, &["/a.bmp", "/b.bmp", "/c.bmp"]);
    let other = scene.emulator.serve("/other.bmp", Picture::bmp(421, 400));
    check(&scene.gate().await, &images[0]).await;
    // Off by default.
    let report = check(&scene.gate().await, &images[1]).await;
    assert_eq!((report.from_ledger, report.same_as), (false, None));
    let gate = scene.gate_with(|builder| builder.same_content(true)).await;
    let report = check(&gate, &images[2]).await;
    assert_eq!((report.verdict.as_str(), report.from_ledger), ("accepted", true));
    // The last of those that were asked about.
    assert_eq!(report.same_as.as_deref(), Some(images[1].url()));
    assert_eq!(report.billing.images, 1, "the original bill is repeated");
    assert_eq!(scene.emulator.calls(), 2);
    let report = check(&gate, &other).await;
    assert_eq!((report.from_ledger, report.same_as), (false, None));
    // Another ratio is another question.
    let half = Source::url(images[2].url()).ratio(emo_preflight::AspectRatio::Portrait);
    assert!(!gate.check(half).await.unwrap().from_ledger);
    assert_eq!(scene.emulator.calls(), 4);
}

/// In memory and on disk: of two at once one is asked about.
#[tokio::test]
async fn the_same_content_twice_in_flight_is_one_call() {
    for in_memory in [true, false] {
        let scene = Scene::new().await;
        let images = copies(&scene, &["/a.bmp", "/b.bmp", "/c.bmp", "/d.bmp"]);
        for image in &images {
            scene.emulator.script(image, [Fate::judge().late(Duration::from_millis(300))]);
        }
        let gate = scene
            .gate_with(|builder| match in_memory {
                true => builder.ledger(Ledger::in_memory()).same_content(true),
                false => builder.same_content(true),
            })
            .await;
        let reports: Vec<Report> =
            gate.run(sources(&images), RunOptions::default()).collect().await;
        assert_eq!((scene.emulator.calls(), scene.emulator.billed()), (1, 1), "{in_memory}");
        let asked = reports.iter().find(|report| !report.from_ledger).unwrap();
        for report in &reports {
            assert_eq!(report.verdict, asked.verdict);
            let same_as = report.from_ledger.then(|| asked.source.clone());
            assert_eq!(report.same_as, same_as, "{in_memory}");
        }
    }
}

/// What may have been billed is not asked about under another name either.
#[tokio::test]
async fn the_same_content_of_unknown_bill_is_not_asked_about_again() {
    let scene = Scene::new().await;
    let images = copies(&scene, &["/a.bmp", "/b.bmp"]);
    scene.emulator.script(&images[0], [Fate::judge().reset()]);
    let same = |builder: PreflightBuilder| builder.same_content(true);
    check(&scene.gate_with(same).await, &images[0]).await;
    let report = check(&scene.gate_with(same).await, &images[1]).await;
    assert_eq!((code(&report), report.from_ledger), (Some("billing_unknown"), true));
    assert_eq!(report.same_as.as_deref(), Some(images[0].url()));
    let retry = scene.gate_with(|builder| same(builder).retry_unknown(true)).await;
    assert_eq!(check(&retry, &images[1]).await.verdict.as_str(), "accepted");
    assert_eq!(scene.emulator.calls(), 2);
}

/// Two servers behind one name give one file two strong ETags: the last bytes decide.
#[tokio::test]
async fn replicas_with_tags_of_their_own_are_one_image() {
    let file = Picture::bmp(400, 400).body().to_vec();
    let mut changed = file.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (changes, calls) in [(false, 1), (true, 2)] {
        let (file, changed) = (file.clone(), changed.clone());
        // Each answer comes from the next replica. Header, last bytes and the service's own download
        // are the first three.
        let replicas = Origin::start(move |request: &Request| {
            let etag = format!("ETag: \"replica-{}\"", request.index);
            let file = if changes && request.index >= 3 { &changed } else { &file };
            ranged_with(request, file, &[&etag])
        })
        .await;
        let scene = Scene::new().await;
        let image = scene.emulator.elsewhere(&replicas.url("a.bmp"));
        let first = check(&scene.gate().await, &image).await;
        assert_eq!((first.verdict.as_str(), first.from_ledger), ("accepted", false));
        let fetch = first.fetch.unwrap();
        assert_eq!((fetch.requests, fetch.bytes), (2, 4_096 + 1_024), "{changes}");
        assert_eq!(replicas.requests().len(), 3);
        let second = check(&scene.gate().await, &image).await;
        assert_eq!(second.from_ledger, calls == 1, "{changes}: {second:?}");
        assert_eq!(scene.emulator.calls(), calls, "{changes}");
    }
}

/// Of an image whose end cannot be had the tag decides, and nothing is lost by trying.
#[tokio::test]
async fn an_origin_without_ranges_or_with_trouble_at_the_end_costs_no_verdict() {
    let file = Picture::bmp(400, 400).body().to_vec();
    let end = format!("bytes={}-{}", file.len() - 1_024, file.len() - 1);
    let gone = end.clone();
    let origin = Origin::start(move |request: &Request| {
        let wants_end = request.header("range") == Some(end.as_str());
        match request.path.as_str() {
            "/whole.bmp" => answer("200 OK", &[], &file),
            "/forbidden.bmp" if wants_end => answer("403 Forbidden", &[], b"no"),
            "/gone.bmp" if wants_end => answer("404 Not Found", &[], b"no"),
            _ => ranged(request, &file),
        }
    })
    .await;
    for (path, verdict) in [
        ("/whole.bmp", "accepted"),
        ("/forbidden.bmp", "accepted"),
        ("/gone.bmp", "rejected_local"),
        ("/plain.bmp", "accepted"),
    ] {
        let scene = Scene::new().await;
        let image = scene.emulator.elsewhere(&origin.url(&path[1..]));
        let report = check(&scene.gate().await, &image).await;
        assert_eq!(report.verdict.as_str(), verdict, "{path}: {report:?}");
        let again = check(&scene.gate().await, &image).await;
        assert_eq!(again.from_ledger, verdict == "accepted", "{path}");
    }
    let asked_for_the_end = |request: &&Request| request.header("range") == Some(gone.as_str());
    let requests = origin.requests();
    let paths: Vec<&str> =
        requests.iter().filter(asked_for_the_end).map(|request| request.path.as_str()).collect();
    assert!(!paths.contains(&"/whole.bmp"), "{paths:?}");
    assert_eq!(paths.iter().filter(|path| **path == "/plain.bmp").count(), 1, "{paths:?}");
}

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
        // Of another image the earlier verdict says nothing.
        scene.emulator.serve("/face.png", Picture::png(500, 500));
        let report = check(&scene.gate_with(with).await, &image).await;
        assert_eq!(report.verdict, Verdict::Failed, "{in_memory}");
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
