//! What is asked, and of whom: one call for equal questions.

use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, Fate, Picture};
use emo_preflight::{
    AspectRatio, GateTiming, Ledger, ProbeOptions, Report, RunOptions, Source, Verdict,
};
use futures_util::stream::{self, StreamExt as _};

use super::scene::{KEY, emulator, first_code, gate_on, one_portrait};
use crate::common::{in_a_span, is_slow_tier, until};

#[tokio::test]
async fn the_request_is_the_documented_one() {
    let (emulator, portrait) = one_portrait().await;
    let gate = gate_on(&emulator).workspace("ws-7").build().await.unwrap();
    let url = format!("{}?x=%2F&y=a b#face", portrait.url()).replace(' ', "+");
    let report = gate.check(Source::url(&url).ratio(AspectRatio::Portrait)).await.unwrap();
    assert_eq!(report.verdict.as_str(), "accepted");
    assert_eq!(report.source, url);
    let received = &emulator.received()[0];
    assert_eq!(received.method, "POST");
    assert_eq!(received.path, "/api/v1/services/aigc/image2video/face-detect");
    assert_eq!(
        received.body,
        serde_json::json!({
            "model": "emo-detect-v1",
            "input": {"image_url": url.trim_end_matches("#face")},
            "parameters": {"ratio": "3:4"},
        })
    );
    assert!(!format!("{received:?}").contains(KEY));
    let header = |name: &str| {
        let mut found = received.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        first
    };
    assert_eq!(header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("x-dashscope-workspace"), Some("ws-7"));
    assert_eq!(header("x-dashscope-async"), None);
    assert!(header("content-length").is_some());
    emulator.finish();
}

#[tokio::test]
async fn equal_questions_share_one_call_and_different_ones_do_not() {
    let (emulator, portrait) = one_portrait().await;
    emulator.script(&portrait, [Fate::judge().late(Duration::from_millis(100))]);
    let gate = gate_on(&emulator).build().await.unwrap();
    let url = portrait.url();
    let alike = [
        url.to_owned(),
        format!("{url}#face"),
        format!("{url}?Expires=1&OSSAccessKeyId=a&Signature=b"),
        format!("{url}?X-Amz-Signature=c"),
    ];
    let checks = alike.iter().cycle().take(20).map(|url| gate.check(Source::url(url)));
    let reports = futures_util::future::join_all(checks).await;
    let paid: Vec<_> =
        reports.iter().map(|r| r.as_ref().unwrap()).filter(|r| !r.from_ledger).collect();
    assert_eq!((paid.len(), emulator.calls()), (1, 1));
    assert!(reports.iter().all(|r| r.as_ref().unwrap().verdict == paid[0].verdict));

    for (calls, source) in [
        (2, Source::url(url).ratio(AspectRatio::Portrait)),
        (2, Source::url(format!("{url}?v=2"))),
        (2, Source::url(url).image_id("face")),
    ] {
        gate.check(source.clone()).await.unwrap();
        assert_eq!(emulator.calls(), calls, "{source:?}");
    }
    emulator.finish();
}

#[tokio::test]
async fn a_changed_image_is_another_image_whatever_is_known_of_the_first() {
    let (emulator, portrait) = one_portrait().await;
    let gate = gate_on(&emulator).build().await.unwrap();
    let check = || async { gate.check(Source::url(portrait.url())).await.unwrap() };
    assert_eq!(check().await.verdict.as_str(), "accepted");
    emulator.serve("/face.jpg", Picture::png(500, 500));
    emulator.script(&portrait, [Fate::judge().cut_off()]);
    let changed = check().await;
    assert_eq!((first_code(&changed), emulator.calls()), (Some("billing_unknown"), 2));
    emulator.serve("/face.jpg", Picture::png(600, 600));
    let again = check().await;
    assert_eq!((again.verdict.as_str(), emulator.calls()), ("accepted", 3));
}

/// A ledger in memory that two gates share is one ledger too.
/// Not even for whoever comes while the old one is being asked about.
#[tokio::test]
async fn an_image_that_changes_while_it_is_asked_about_is_asked_anew() {
    let (emulator, portrait) = one_portrait().await;
    // Boxes of its own, whichever image the service fetches.
    let old = Fate::boxes([150.0, 150.0, 250.0, 250.0], [100.0, 100.0, 300.0, 300.0]);
    emulator.script(&portrait, [old.late(Duration::from_millis(300)), Fate::judge()]);
    let gate = gate_on(&emulator).build().await.unwrap();
    let old = tokio::spawn(gate.check(Source::url(portrait.url())));
    until("the call leaves", || emulator.calls() > 0).await;
    emulator.serve("/face.jpg", Picture::jpeg(640, 800));
    let new = gate.check(Source::url(portrait.url())).await.unwrap();
    let old = old.await.unwrap().unwrap();
    assert_eq!((new.from_ledger, old.from_ledger), (false, false));
    assert_eq!(emulator.billed(), 2);
    // The boxes are the new image's own.
    let Verdict::Accepted { ext, .. } = new.verdict else { panic!("{new:?}") };
    let Verdict::Accepted { ext: before, .. } = old.verdict else { panic!("{old:?}") };
    assert_ne!(ext, before);
}

#[tokio::test]
async fn an_unknown_bill_in_shared_memory_is_asked_again_only_by_a_later_gate_told_to() {
    let (emulator, portrait) = one_portrait().await;
    emulator.script(&portrait, [Fate::judge().reset(), Fate::judge().reset()]);
    let ledger = Ledger::in_memory();
    let check = async |retry: bool| {
        let gate = gate_on(&emulator).ledger(ledger.clone()).retry_unknown(retry);
        let gate = gate.build().await.unwrap();
        let first = gate.check(Source::url(portrait.url())).await.unwrap();
        let again = gate.check(Source::url(portrait.url())).await.unwrap();
        assert!(again.from_ledger);
        first
    };
    assert_eq!(first_code(&check(false).await), Some("billing_unknown"));
    assert!(check(false).await.from_ledger);
    assert_eq!(emulator.calls(), 1);
    assert_eq!(first_code(&check(true).await), Some("billing_unknown"));
    assert_eq!(emulator.calls(), 2);
    assert_eq!(check(true).await.verdict.as_str(), "accepted");
    assert_eq!(emulator.calls(), 3);
}

#[tokio::test]
async fn gates_that_share_ledger_in_memory_wait_for_each_others_answers() {
    let (emulator, portrait) = one_portrait().await;
    emulator.script(&portrait, [Fate::judge().late(Duration::from_millis(400))]);
    let ledger = Ledger::in_memory();
    let gate = async || gate_on(&emulator).ledger(ledger.clone()).build().await.unwrap();
    let (one, other) = (gate().await, gate().await);
    let first = tokio::spawn(one.check(Source::url(portrait.url())));
    until("the call leaves", || emulator.calls() > 0).await;
    let second = other.check(Source::url(portrait.url())).await.unwrap();
    assert_eq!((second.verdict.as_str(), second.from_ledger), ("accepted", true));
    assert_eq!(first.await.unwrap().unwrap().verdict.as_str(), "accepted");
    assert_eq!(emulator.calls(), 1);
}

/// Another gate's call is waited for from when it leaves, however far off that is.
#[tokio::test]
async fn a_call_that_leaves_late_is_not_given_up_before() {
    in_a_span(async |span| {
        let (emulator, portrait) = one_portrait().await;
        let first = emulator.serve("/first.png", Picture::png(400, 400));
        let ledger = Ledger::in_memory();
        let rate = 1.0 / (span * 4).as_secs_f64();
        let slow = gate_on(&emulator).ledger(ledger.clone()).calls_per_second(rate);
        let slow = slow.build().await.unwrap();
        // It gives up within half the time that the call is away.
        let timing = GateTiming::default().with_answer_grace(span).with_look_again(span / 10);
        let hasty = gate_on(&emulator).ledger(ledger).call_timeout(span).timing(timing);
        let hasty = hasty.build().await.unwrap();
        slow.check(Source::url(first.url())).await.unwrap();
        let booked = slow.activity().reservations;
        let late = tokio::spawn(slow.check(Source::url(portrait.url())));
        until("the second is booked", || slow.activity().reservations > booked).await;
        let told = hasty.check(Source::url(portrait.url())).await.unwrap();
        let report = late.await.unwrap().unwrap();
        assert_eq!((report.verdict.as_str(), emulator.calls()), ("accepted", 2));
        match (told.verdict.as_str(), told.from_ledger) {
            ("accepted", true) => Ok(()),
            _ => Err(format!("{told:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_local_stage_refuses_is_never_called_for() {
    let emulator = emulator().await;
    let gate = gate_on(&emulator).build().await.unwrap();
    for (path, image, code) in [
        ("/small.jpg", Picture::jpeg(399, 640), "shortest_side_below_min"),
        ("/a.gif", Picture::gif(640, 640), "unsupported_format"),
        ("/a.heic", Picture::heic(), "unsupported_format"),
        ("/page.jpg", Picture::html(), "not_an_image"),
        ("/gone.jpg", Picture::status(404), "not_found"),
    ] {
        let served = emulator.serve(path, image);
        let report = gate.check(Source::url(served.url())).await.unwrap();
        assert_eq!((report.verdict, first_code(&report)), (Verdict::RejectedLocal, Some(code)));
    }
    let path = gate.check(Source::url("portraits/face.jpg")).await.unwrap();
    assert_eq!((path.verdict, first_code(&path)), (Verdict::RejectedLocal, Some("not_http_url")));
    assert_eq!(emulator.calls(), 0);

    // The default policy, on an image that would pass.
    let portrait = emulator.serve("/face.jpg", Picture::jpeg(480, 600));
    let guarded = gate_on(&emulator).probe(ProbeOptions::default()).build().await.unwrap();
    let report = guarded.check(Source::url(portrait.url())).await.unwrap();
    assert_eq!(
        (report.verdict, first_code(&report)),
        (Verdict::RejectedLocal, Some("private_address"))
    );
    assert_eq!((emulator.fetches_of(&portrait), emulator.calls()), (0, 0));
}

#[tokio::test]
async fn calls_keep_the_pace() {
    twelve_calls(emulator().await, 20).await;
}

/// The service refuses the sixth call that arrives in a second, however late it arrives.
#[tokio::test]
async fn calls_are_never_throttled() {
    if is_slow_tier("arrivals at the service's own pace") {
        twelve_calls(Emulator::builder().start().await.unwrap(), 5).await;
    }
}

async fn twelve_calls(emulator: Emulator, rate: u32) {
    let gate = gate_on(&emulator).calls_per_second(rate.into()).build().await.unwrap();
    let sources: Vec<Source> = (0..12)
        .map(|n| emulator.serve(&format!("/{n}.png"), Picture::png(400, 400)))
        .map(|served| Source::url(served.url()))
        .collect();
    let begun = Instant::now();
    let reports: Vec<Report> =
        gate.run(stream::iter(sources), RunOptions::default()).collect().await;
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"), "{reports:?}");
    assert!(begun.elapsed() >= 11 * Duration::from_secs(1) / rate);
    assert_eq!(emulator.calls(), 12, "none was refused and repeated");
    let mut indexes: Vec<u64> = reports.iter().map(|report| report.index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_not_sent_is_sent_when_the_service_is_there() {
    // A port that refuses now and will answer later.
    let reserved = tokio::net::TcpSocket::new_v4().unwrap();
    // So that the service may listen there all the same, and nothing else gets the port.
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = reserved.local_addr().unwrap();
    let (images, portrait) = one_portrait().await;
    let gate = gate_on(&images).base_url(format!("http://{address}/api/v1")).build().await.unwrap();
    let check = tokio::spawn(gate.check(Source::url(portrait.url())));
    // On a busy machine its first slot may be over before it leaves: then it books another.
    let has_failed = || {
        let activity = gate.activity();
        activity.reservations > 0 && (activity.waiting, activity.in_flight) == (0, 0)
    };
    until("a call found nothing there", has_failed).await;
    let service = Emulator::builder().listen(address).start().await.unwrap();
    let report = check.await.unwrap().unwrap();
    assert_eq!(report.verdict.as_str(), "accepted", "{report:?}");
    assert_eq!((service.calls(), gate.close().await.calls), (1, 1));
}
