//! The whole way through the emulator: what is screened, what is called, what is paid.

use emo_preflight::emulator::{Emulator, Fate, Picture, Served};
use emo_preflight::{
    Advice, ApiKey, Certainty, FaceScreen, Ledger, Preflight, PreflightBuilder, Probe,
    ProbeOptions, Report, RunOptions, ScreenAction, Source, Verdict,
};
use futures_util::stream::{self, StreamExt as _};
use image::imageops;

use super::draw::{jpeg, landscape, png, portrait, several};
use crate::common::table::any_address;

const KEY: &str = "sk-test-0123456789";

fn options(action: Option<ScreenAction>) -> ProbeOptions {
    let probe = any_address();
    match action {
        Some(action) => probe.face_screen(FaceScreen::new().action(action)),
        None => probe,
    }
}

fn gate_on(emulator: &Emulator, action: Option<ScreenAction>) -> PreflightBuilder {
    Preflight::builder(ApiKey::new(KEY).unwrap())
        .base_url(emulator.base_url())
        .probe(options(action))
        .calls_per_second(1_000.0)
}

async fn emulator() -> Emulator {
    Emulator::builder().api_key(KEY).rps(None).start().await.unwrap()
}

fn served(emulator: &Emulator, path: &str, bytes: Vec<u8>) -> Served {
    emulator.serve(path, Picture::bytes("image/any", bytes))
}

fn advice(report: &Report) -> Option<Advice> {
    report.screen.as_ref().and_then(|screen| screen.advice)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_calls_for_all_advise_says_and_reject_calls_for_none_that_surely_fails() {
    let mut broken = png(portrait(480, 600));
    broken.truncate(broken.len() / 2);
    for (name, bytes, expected) in [
        ("a portrait", jpeg(portrait(640, 800)), None),
        ("no face", jpeg(landscape(640, 480)), Some(Advice::NoFace)),
        ("two faces", png(several(2, 500, 1.0)), Some(Advice::SeveralFaces)),
        ("undecodable", broken, Some(Advice::Undecodable)),
    ] {
        for action in [None, Some(ScreenAction::Advise), Some(ScreenAction::Reject)] {
            let row = format!("{name}, {action:?}");
            let emulator = emulator().await;
            let image = served(&emulator, "/image", bytes.clone());
            emulator.script(&image, [Fate::boxes([9.0, 9.0, 90.0, 90.0], [1.0, 1.0, 99.0, 99.0])]);
            let gate = gate_on(&emulator, action).build().await.unwrap();
            let report = gate.check(Source::url(image.url())).await.unwrap();
            let rejects = action == Some(ScreenAction::Reject) && expected.is_some();
            assert_eq!(advice(&report), action.and(expected), "{row}");
            assert_eq!(report.screen.is_some(), action.is_some(), "{row}");
            assert_eq!(emulator.calls(), u64::from(!rejects), "{row}");
            if rejects {
                assert_eq!(report.verdict, Verdict::RejectedLocal, "{row}");
                let code = report.reasons[0].code.as_str();
                assert_eq!(code, expected.unwrap().as_str(), "{row}");
                assert_eq!(report.billing.certainty, Certainty::None, "{row}");
            } else {
                assert!(matches!(report.verdict, Verdict::Accepted { .. }), "{row}: {report:?}");
            }
            let length = bytes.len() as u64;
            let fetched = report.fetch.unwrap().bytes;
            // Two samples come twice where the whole is wanted too.
            let expected =
                if action.is_some() { length..=length + 8_192 } else { 0..=length.min(16_384) };
            assert!(expected.contains(&fetched), "{row}: {fetched} of {length} bytes");
        }
    }
}

#[tokio::test]
async fn a_probe_and_a_local_file_are_screened_too() {
    let emulator = emulator().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (bytes, expected) in
        [(jpeg(portrait(640, 800)), None), (jpeg(landscape(640, 480)), Some(Advice::NoFace))]
    {
        let path = folder.path().join("image.jpg");
        std::fs::write(&path, &bytes).unwrap();
        let image = served(&emulator, "/image.jpg", bytes);
        for action in [ScreenAction::Advise, ScreenAction::Reject] {
            let mut options = options(Some(action));
            options.local_files = true;
            let probe = Probe::new(options).unwrap();
            for source in [image.url(), path.to_str().unwrap()] {
                let report = probe.check(Source::url(source)).await;
                assert_eq!(advice(&report), expected, "{source}");
                let rejects = expected.is_some() && action == ScreenAction::Reject;
                let verdict = if rejects { Verdict::RejectedLocal } else { Verdict::Eligible };
                assert_eq!(report.verdict, verdict, "{source}");
            }
        }
    }
    assert_eq!(emulator.calls(), 0);
}

#[tokio::test]
async fn what_the_ledger_knows_is_given_without_a_look() {
    let emulator = emulator().await;
    let image = served(&emulator, "/hills.jpg", jpeg(landscape(640, 480)));
    let ledger = Ledger::in_memory();
    let gate = gate_on(&emulator, None).ledger(ledger.clone()).build().await.unwrap();
    gate.check(Source::url(image.url())).await.unwrap();
    let gate = gate_on(&emulator, Some(ScreenAction::Reject)).ledger(ledger).build().await.unwrap();
    let report = gate.check(Source::url(image.url())).await.unwrap();
    assert!(report.from_ledger && report.screen.is_none(), "{report:?}");
    assert!(report.fetch.unwrap().bytes < 5_000);
    assert_eq!(emulator.calls(), 1);
}

#[tokio::test]
async fn a_refusal_without_a_cause_gets_a_likely_one() {
    let face = portrait(640, 800);
    for (name, image, cause) in [
        ("a portrait", face.clone(), None),
        ("hills", landscape(640, 480), Some(Advice::NoFace)),
        ("turned by a quarter", imageops::rotate90(&face), Some(Advice::FaceTurned)),
        ("by half", imageops::rotate180(&face), Some(Advice::FaceTurned)),
        ("by three", imageops::rotate270(&face), Some(Advice::FaceTurned)),
    ] {
        let emulator = emulator().await;
        let image = served(&emulator, "/image.png", png(image));
        emulator.script(&image, [Fate::refused_by_model()]);
        let gate = gate_on(&emulator, Some(ScreenAction::Advise)).build().await.unwrap();
        let report = gate.check(Source::url(image.url())).await.unwrap();
        assert_eq!(report.verdict, Verdict::RejectedRemote, "{name}");
        assert_eq!(report.reasons[0].code.as_str(), "check_pass_false", "{name}");
        assert_eq!(advice(&report), cause, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_questions_at_once_are_one_call_and_a_rejected_one_is_none() {
    for (image, calls) in [(portrait(640, 800), 1), (landscape(640, 480), 0)] {
        let emulator = emulator().await;
        let image = served(&emulator, "/image.jpg", jpeg(image));
        // The first call fails without a bill, so that whoever follows has to ask for itself.
        let gate = gate_on(&emulator, Some(ScreenAction::Reject)).build().await.unwrap();
        let sources: Vec<Source> = (0..20).map(|_| Source::url(image.url())).collect();
        let run = gate.run(stream::iter(sources), RunOptions::default());
        let reports: Vec<Report> = run.collect().await;
        assert_eq!(reports.len(), 20);
        assert_eq!(emulator.calls(), calls);
    }
}
