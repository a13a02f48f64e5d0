//! What an answer may hold that a database's texts may not, and verdicts given again.

use emo_preflight::emulator::Fate;
use emo_preflight::{Report, Source, Verdict};
use futures_util::TryStreamExt as _;

use super::scene::{Scene, check, code};

#[tokio::test]
async fn an_answer_whose_id_has_a_nul_is_recorded() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    let body = r#"{"output":{"check_pass":true,"face_bbox":[150,150,250,250],
        "ext_bbox":[50,50,350,350]},"usage":{"image_count":1},"request_id":"a\u0000b"}"#;
    scene.emulator.script(&portrait, [Fate::raw(200, "application/json", body)]);
    let report = check(&scene.gate().await, &portrait).await;
    assert_eq!((report.verdict.as_str(), report.request_id.as_deref()), ("accepted", Some("a\0b")));
    let again = check(&scene.gate().await, &portrait).await;
    assert_eq!((again.verdict.as_str(), again.from_ledger), ("accepted", true));
    let id = again.request_id.unwrap().replace('\u{FFFD}', "\0");
    assert_eq!(id, "a\0b");
}

#[tokio::test]
async fn every_verdict_that_was_paid_for_is_given_again_without_its_image() {
    let scene = Scene::new().await;
    // More than a page of them.
    let images = scene.portraits(70);
    let wrong = Fate::boxes([150.0, 150.0, 250.0, 250.0], [100.0, 100.0, 300.0, 350.0]);
    let outside = Fate::boxes([150.0, 150.0, 250.0, 250.0], [100.0, 100.0, 500.0, 500.0]);
    let fates =
        [Fate::refused_by_model(), wrong, outside, Fate::missing_box(), Fate::judge().reset()];
    for (image, fate) in images.iter().zip(fates) {
        scene.emulator.script(image, [fate]);
    }
    let gate = scene.gate().await;
    let mut live = Vec::new();
    for image in &images {
        live.push(gate.check(Source::url(image.url())).await.unwrap());
    }
    gate.close().await;
    let ledger = scene.open().await;
    let kept: Vec<Report> = ledger.verdicts().try_collect().await.unwrap();
    // The lost one has no verdict.
    live.retain(|report| code(report) != Some("billing_unknown"));
    assert_eq!((kept.len(), live.len()), (69, 69));
    for (index, (kept, live)) in kept.iter().zip(&live).enumerate() {
        assert_eq!(kept.index, index as u64);
        assert_eq!(
            (&kept.source, kept.verdict, kept.billing, &kept.request_id, &kept.model),
            (&live.source, live.verdict, live.billing, &live.request_id, &live.model)
        );
        assert_eq!(code(kept), code(live));
        assert!(kept.from_ledger && kept.image.is_none() && kept.fetch.is_none());
    }
    assert!(matches!(kept[2].verdict, Verdict::BoxMismatch { .. }), "{:?}", kept[2]);
    assert_eq!(code(&kept[2]), Some("box_out_of_image"));
}
