//! The gate against the emulator, over real sockets: what each answer leads to, and what is paid.

#![cfg(all(feature = "client", feature = "emulator"))]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, Fate, Picture, Served};
use emo_preflight::header::{Format, Header};
use emo_preflight::{
    AddressPolicy, ApiKey, AspectRatio, Certainty, ConfigError, GateError, Preflight,
    PreflightBuilder, ProbeOptions, Report, RunOptions, Source, Verdict,
};
use futures_util::stream::{self, StreamExt as _};

const KEY: &str = "sk-test-0123456789";

/// A gate on an emulator, as fast as both allow.
fn gate_on(emulator: &Emulator) -> PreflightBuilder {
    let mut probe = ProbeOptions::default();
    probe.addresses = AddressPolicy::Any;
    Preflight::builder(ApiKey::new(KEY).unwrap())
        .base_url(emulator.base_url())
        .probe(probe)
        .calls_per_second(1_000.0)
}

async fn emulator() -> Emulator {
    Emulator::builder().api_key(KEY).rps(None).start().await.unwrap()
}

/// An emulator with one good portrait.
async fn one_portrait() -> (Emulator, Served) {
    let emulator = emulator().await;
    let portrait = emulator.serve("/face.jpg", Picture::jpeg(480, 600));
    (emulator, portrait)
}

fn first_code(report: &Report) -> Option<&str> {
    report.reasons.first().map(|reason| reason.code.as_str())
}

/// What is expected of one fate: verdict, first reason, images, certainty, POSTs.
type Expected = (&'static str, Option<&'static str>, u64, Certainty, u64);

#[tokio::test]
async fn each_fate_has_its_verdict_reason_bill_and_number_of_calls() {
    use Certainty::{Certain, None as Free, Unknown};
    const FACE: [f64; 4] = [150.0, 150.0, 250.0, 250.0];
    let square = AspectRatio::Square;
    let lost = |status: u16, body: Vec<u8>| Fate::raw(status, "application/json", body);
    let rows: Vec<(&str, AspectRatio, Vec<Fate>, Expected)> = vec![
        ("passed", square, vec![Fate::judge()], ("accepted", None, 1, Certain, 1)),
        ("passed 3:4", AspectRatio::Portrait, vec![], ("accepted", None, 1, Certain, 1)),
        (
            "new fields",
            square,
            vec![Fate::judge().with_extra_fields()],
            ("accepted", None, 1, Certain, 1),
        ),
        (
            "late, in time",
            square,
            vec![Fate::judge().late(Duration::from_millis(300))],
            ("accepted", None, 1, Certain, 1),
        ),
        ("no usage", square, vec![Fate::without_usage()], ("accepted", None, 0, Unknown, 1)),
        (
            "shape 1",
            square,
            vec![Fate::refused_by_model()],
            ("rejected_remote", Some("check_pass_false"), 1, Certain, 1),
        ),
        (
            "shape 1, coded",
            square,
            vec![Fate::refused_with("InvalidFile.MultiHuman")],
            ("rejected_remote", Some("InvalidFile.MultiHuman"), 1, Certain, 1),
        ),
        (
            "shape 2",
            square,
            vec![Fate::error(400, "InvalidFile.NoHuman")],
            ("rejected_remote", Some("InvalidFile.NoHuman"), 0, Free, 1),
        ),
        (
            "shape 3",
            square,
            vec![Fate::error_in_output(400, "InvalidFile.FacePose")],
            ("rejected_remote", Some("InvalidFile.FacePose"), 0, Free, 1),
        ),
        (
            "inspection",
            square,
            vec![Fate::error(400, "DataInspectionFailed")],
            ("rejected_remote", Some("DataInspectionFailed"), 0, Free, 1),
        ),
        (
            "bad URL",
            square,
            vec![Fate::error(400, "InvalidURL")],
            ("rejected_remote", Some("InvalidURL"), 0, Free, 1),
        ),
        (
            "error in 200",
            square,
            vec![Fate::error_inside_200("BailianGateway.Workspace.NotAuthorised")],
            ("failed", Some("BailianGateway.Workspace.NotAuthorised"), 0, Free, 1),
        ),
        (
            "wrong key",
            square,
            vec![Fate::error(401, "InvalidApiKey")],
            ("failed", Some("InvalidApiKey"), 0, Free, 1),
        ),
        (
            "no money",
            square,
            vec![Fate::error(400, "Arrearage")],
            ("failed", Some("Arrearage"), 0, Free, 1),
        ),
        (
            "no quota",
            square,
            vec![Fate::error(429, "PostpaidBillOverdue")],
            ("failed", Some("PostpaidBillOverdue"), 0, Free, 1),
        ),
        (
            "bad request",
            square,
            vec![Fate::error(400, "InvalidParameter")],
            ("failed", Some("InvalidParameter"), 0, Free, 1),
        ),
        (
            "unheard of",
            square,
            vec![Fate::error(418, "Something.New")],
            ("failed", Some("Something.New"), 0, Free, 1),
        ),
        (
            "billed error",
            square,
            vec![Fate::error_with_usage(500, "InternalError")],
            ("failed", Some("InternalError"), 1, Certain, 1),
        ),
        ("throttled twice", square, Fate::throttled().times(2), ("accepted", None, 1, Certain, 3)),
        (
            "throttled, told how long",
            square,
            vec![Fate::throttled_retry_after(2)],
            ("accepted", None, 1, Certain, 2),
        ),
        (
            "internal error",
            square,
            vec![Fate::error(500, "InternalError")],
            ("accepted", None, 1, Certain, 2),
        ),
        (
            "unavailable",
            square,
            vec![Fate::error(503, "ModelUnavailable")],
            ("accepted", None, 1, Certain, 2),
        ),
        (
            "download timed out",
            square,
            vec![Fate::error(400, "InvalidURL.Timeout")],
            ("accepted", None, 1, Certain, 2),
        ),
        (
            "download fails for good",
            square,
            Fate::error(400, "InvalidURL.ConnectionRefused").times(3),
            ("failed", Some("InvalidURL.ConnectionRefused"), 0, Free, 3),
        ),
        (
            "wrong ratio",
            square,
            vec![Fate::boxes(FACE, [100.0, 100.0, 300.0, 350.0])],
            ("box_mismatch", Some("ratio_mismatch"), 1, Certain, 1),
        ),
        (
            "8:11",
            AspectRatio::Portrait,
            vec![Fate::boxes(FACE, [100.0, 100.0, 340.0, 430.0])],
            ("box_mismatch", Some("ratio_8_11"), 1, Certain, 1),
        ),
        (
            "out of the picture",
            square,
            vec![Fate::boxes(FACE, [100.0, 100.0, 700.0, 700.0])],
            ("box_mismatch", Some("box_out_of_image"), 1, Certain, 1),
        ),
        (
            "face outside",
            square,
            vec![Fate::boxes([90.0, 150.0, 250.0, 250.0], [100.0, 100.0, 300.0, 300.0])],
            ("box_mismatch", Some("face_outside_ext"), 1, Certain, 1),
        ),
        (
            "no area",
            square,
            vec![Fate::boxes([200.0, 200.0, 200.0, 250.0], [100.0, 100.0, 300.0, 300.0])],
            ("box_mismatch", Some("box_degenerate"), 1, Certain, 1),
        ),
        (
            "missing box",
            square,
            vec![Fate::missing_box()],
            ("failed", Some("malformed_answer"), 1, Certain, 1),
        ),
        (
            "malformed box",
            square,
            vec![Fate::malformed_box()],
            ("failed", Some("malformed_answer"), 1, Certain, 1),
        ),
        (
            "malformed JSON",
            square,
            vec![Fate::malformed_json()],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "gateway's page",
            square,
            vec![Fate::html_504()],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "gateway's JSON",
            square,
            vec![lost(502, br#"{"code":"InternalError"}"#.to_vec())],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "not the service's JSON",
            square,
            vec![lost(200, b"[]".to_vec())],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "endless answer",
            square,
            vec![lost(200, vec![b' '; 2 << 20])],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "redirect",
            square,
            vec![Fate::redirect(307, "/elsewhere")],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "reset",
            square,
            vec![Fate::judge().reset()],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "cut off",
            square,
            vec![Fate::judge().cut_off()],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "too late",
            square,
            vec![Fate::judge().late(Duration::from_secs(8))],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
    ];
    // All at once: several rows wait for seconds, as the gate does in earnest.
    let rows = rows.into_iter().map(|(name, ratio, fates, expected)| async move {
        let (emulator, portrait) = one_portrait().await;
        emulator.script(&portrait, fates);
        let gate = gate_on(&emulator).call_timeout(Duration::from_secs(4)).build().await.unwrap();
        let source = || Source::url(portrait.url()).ratio(ratio);
        let report = gate.check(source()).await.unwrap();
        let came = (
            report.verdict.as_str(),
            first_code(&report),
            report.billing.images,
            report.billing.certainty,
            emulator.calls(),
        );
        assert_eq!(came, expected, "{name}: {report:?}");
        assert!(!report.from_ledger, "{name}");

        // What was answered or may have been billed is not asked again; the rest may be.
        let again = gate.check(source()).await.unwrap();
        let free = expected.0 == "failed" && expected.3 == Certainty::None;
        assert_eq!(again.from_ledger, !free, "{name}: {again:?}");
        assert_eq!(emulator.calls() == expected.4, !free, "{name}");
        if !free {
            assert_eq!((again.verdict, again.billing), (report.verdict, report.billing), "{name}");
            assert_eq!(again.request_id, report.request_id, "{name}");
        }
        let spent = gate.close().await;
        assert_eq!(spent.calls, emulator.calls(), "{name}");
        assert!(spent.images <= emulator.billed(), "{name}");
        assert!(emulator.billed() <= spent.images + spent.unknown, "{name}");
        emulator.finish();
    });
    futures_util::future::join_all(rows).await;
}

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

/// Polls a future so many times, then holds it unpolled.
struct Polls<F>(Pin<Box<F>>, usize);

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.1 -= 1;
        match self.0.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.1 > 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_dropped_at_any_point_loses_no_call() {
    let mut points = Vec::new();
    for polls in 1..200 {
        let mut completed = false;
        // At a point the call may not have left yet, or be under way.
        for held in [0, 2, 30] {
            let (emulator, portrait) = one_portrait().await;
            emulator.script(&portrait, [Fate::judge().late(Duration::from_millis(60))]);
            let gate = gate_on(&emulator).build().await.unwrap();
            let mut check = Polls(Box::pin(gate.check(Source::url(portrait.url()))), polls);
            completed = (&mut check).await.is_some();
            tokio::time::sleep(Duration::from_millis(held)).await;
            drop(check);
            let spent = gate.close().await;
            // The emulator counts a call once it has read it: nothing is on its way after close.
            let point = format!("{polls} polls, then {held} ms");
            assert_eq!(
                (spent.calls, spent.images),
                (emulator.calls(), emulator.billed()),
                "{point}"
            );
            points.push(spent.calls);
        }
        if completed {
            break;
        }
    }
    // Both kinds of points were met: before a call and during one.
    assert!(points.contains(&0) && points.contains(&1), "{points:?}");
}

#[tokio::test]
async fn an_answer_nobody_waited_for_is_given_to_the_next_who_asks() {
    let (emulator, portrait) = one_portrait().await;
    emulator.script(&portrait, [Fate::judge().late(Duration::from_millis(200))]);
    let gate = gate_on(&emulator).build().await.unwrap();
    let first = tokio::spawn(gate.check(Source::url(portrait.url())));
    while emulator.calls() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.abort();
    let report = gate.check(Source::url(portrait.url())).await.unwrap();
    assert_eq!((report.verdict.as_str(), report.from_ledger), ("accepted", true));
    assert_eq!((emulator.calls(), gate.close().await.images), (1, 1));
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
        (3, Source::url(format!("{url}?v=2"))),
        (4, Source::url(url).image_id("face")),
        (4, Source::url(format!("{url}?v=3")).image_id("face")),
    ] {
        gate.check(source.clone()).await.unwrap();
        assert_eq!(emulator.calls(), calls, "{source:?}");
    }
    emulator.finish();
}

#[tokio::test]
async fn a_changed_picture_is_asked_anew_unless_its_bill_is_unknown() {
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
    assert_eq!((first_code(&again), emulator.calls()), (Some("billing_unknown"), 2));
    assert!(again.from_ledger);
}

/// Books in memory that two gates share are one ledger too.
#[tokio::test]
async fn an_unknown_bill_in_shared_memory_is_asked_again_only_by_a_later_gate_told_to() {
    let (emulator, portrait) = one_portrait().await;
    emulator.script(&portrait, [Fate::judge().reset(), Fate::judge().reset()]);
    let ledger = emo_preflight::Ledger::in_memory();
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
async fn what_the_local_stage_refuses_is_never_called_for() {
    let emulator = emulator().await;
    let gate = gate_on(&emulator).build().await.unwrap();
    for (path, picture, code) in [
        ("/small.jpg", Picture::jpeg(399, 640), "shortest_side_below_min"),
        ("/a.gif", Picture::gif(640, 640), "unsupported_format"),
        ("/a.heic", Picture::heic(), "unsupported_format"),
        ("/page.jpg", Picture::html(), "not_an_image"),
        ("/gone.jpg", Picture::status(404), "not_found"),
    ] {
        let served = emulator.serve(path, picture);
        let report = gate.check(Source::url(served.url())).await.unwrap();
        assert_eq!((report.verdict, first_code(&report)), (Verdict::RejectedLocal, Some(code)));
    }
    let path = gate.check(Source::url("portraits/face.jpg")).await.unwrap();
    assert_eq!((path.verdict, first_code(&path)), (Verdict::RejectedLocal, Some("not_http_url")));
    assert_eq!(emulator.calls(), 0);

    // The default policy, on a picture that would pass.
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
async fn a_known_header_saves_the_fetch_and_is_still_checked() {
    let (emulator, portrait) = one_portrait().await;
    let gate = gate_on(&emulator).build().await.unwrap();
    let known = |width| {
        let header = Header::new(Format::Jpeg, width, 600, None);
        gate.check(Source::url(portrait.url()).known_header(header))
    };
    let small = known(300).await.unwrap();
    assert_eq!(first_code(&small), Some("shortest_side_below_min"));
    let report = known(480).await.unwrap();
    assert_eq!((report.verdict.as_str(), report.fetch), ("accepted", None));
    assert_eq!((emulator.fetches_of(&portrait), emulator.calls()), (0, 1));
}

#[tokio::test]
async fn calls_keep_the_pace_and_are_never_throttled() {
    let emulator = Emulator::builder().start().await.unwrap();
    let gate = gate_on(&emulator).calls_per_second(5.0).build().await.unwrap();
    let sources: Vec<Source> = (0..12)
        .map(|n| emulator.serve(&format!("/{n}.png"), Picture::png(400, 400)))
        .map(|served| Source::url(served.url()))
        .collect();
    let begun = Instant::now();
    let reports: Vec<Report> =
        gate.run(stream::iter(sources), RunOptions::default()).collect().await;
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"), "{reports:?}");
    assert!(begun.elapsed() >= Duration::from_millis(11 * 200));
    assert_eq!(emulator.calls(), 12, "none was refused and repeated");
    let mut indexes: Vec<u64> = reports.iter().map(|report| report.index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_not_sent_is_sent_when_the_service_is_there() {
    // A port that refuses now and will answer later.
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let (pictures, portrait) = one_portrait().await;
    let gate =
        gate_on(&pictures).base_url(format!("http://{address}/api/v1")).build().await.unwrap();
    let check = tokio::spawn(gate.check(Source::url(portrait.url())));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let service = Emulator::builder().listen(address).start().await.unwrap();
    let report = check.await.unwrap().unwrap();
    assert_eq!(report.verdict.as_str(), "accepted", "{report:?}");
    assert_eq!((service.calls(), gate.close().await.calls), (1, 1));
}

#[tokio::test]
async fn a_wrong_key_stops_a_run_and_nothing_more_is_fetched() {
    let emulator = Emulator::builder().api_key("sk-another").start().await.unwrap();
    let served: Vec<Served> =
        (0..40).map(|n| emulator.serve(&format!("/{n}.png"), Picture::png(400, 400))).collect();
    let gate = gate_on(&emulator).calls_per_second(5.0).build().await.unwrap();
    let sources: Vec<Source> = served.iter().map(|s| Source::url(s.url())).collect();
    let mut options = RunOptions::default();
    options.concurrency = 4;
    let reports: Vec<Report> = gate.run(stream::iter(sources), options).collect().await;
    assert_eq!(reports.len(), 40);
    let (failed, skipped): (Vec<_>, Vec<_>) =
        reports.iter().partition(|report| report.verdict == Verdict::Failed);
    assert_eq!((failed.len(), emulator.calls(), emulator.billed()), (1, 1, 0));
    for report in failed.into_iter().chain(skipped) {
        assert_eq!(first_code(report), Some("InvalidApiKey"), "{report:?}");
    }
    let fetched = served.iter().filter(|s| emulator.fetches_of(s) > 0).count();
    assert!(fetched <= 5, "{fetched} pictures fetched");
}

#[tokio::test]
async fn a_stopped_run_ends_without_new_calls_and_reports_those_that_left() {
    let emulator = Emulator::builder().start().await.unwrap();
    let gate = gate_on(&emulator).calls_per_second(5.0).build().await.unwrap();
    let sources: Vec<Source> = (0..30)
        .map(|n| {
            let served = emulator.serve(&format!("/{n}.png"), Picture::png(400, 400));
            emulator.script(&served, [Fate::judge().late(Duration::from_millis(400))]);
            Source::url(served.url())
        })
        .collect();
    let run = gate.run(stream::iter(sources), RunOptions::default());
    let stopper = run.stopper();
    let reports = tokio::spawn(run.collect::<Vec<Report>>());
    while emulator.calls() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stopper.stop();
    let reports = reports.await.unwrap();
    assert_eq!(reports.len() as u64, emulator.billed());
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"));
    assert_eq!(gate.close().await.images, emulator.billed());
}

#[tokio::test]
async fn a_closed_gate_sends_nothing_and_says_so() {
    let (emulator, portrait) = one_portrait().await;
    let gate = gate_on(&emulator).build().await.unwrap();
    gate.close().await;
    let error = gate.check(Source::url(portrait.url())).await.unwrap_err();
    assert_eq!(error, GateError::Closed);
    assert!(!error.may_have_been_billed());
    assert_eq!(emulator.calls(), 0);
}

#[tokio::test]
async fn settings_out_of_range_are_refused_with_what_was_found() {
    let gate = || Preflight::builder(ApiKey::new(KEY).unwrap());
    let mut no_host_places = ProbeOptions::default();
    no_host_places.per_host = 0;
    for (builder, says) in [
        (gate().base_url("http://dashscope.aliyuncs.com/api/v1"), "https"),
        (gate().base_url("http://127.0.0.1.example.org/"), "https"),
        (gate().base_url("ftp://h/"), "ftp"),
        (gate().base_url("dashscope"), "is a URL"),
        (gate().base_url("https://user:secret@h/"), "no userinfo"),
        (gate().base_url("https://:secret@h/"), "no userinfo"),
        (gate().base_url("https://h/api/v1?key=1"), "query"),
        (gate().model(" "), "model"),
        (gate().workspace("a\nb"), "workspace"),
        (gate().call_timeout(Duration::ZERO), "time-out"),
        (gate().calls_per_second(0.0), "found 0"),
        (gate().calls_per_second(f64::NAN), "NaN"),
        (gate().calls_per_second(-1.0), "-1"),
        (gate().calls_per_second(1_001.0), "1001"),
        (gate().calls_per_second(1e-300), "from 0.0001"),
        (gate().probe(no_host_places), "at least 1"),
    ] {
        match builder.build().await.map(|_| ()) {
            Err(GateError::Config(ConfigError::Option(text))) => {
                assert!(text.contains(says) && !text.contains("secret"), "{text}");
            }
            other => panic!("{says}: {other:?}"),
        }
    }
}

#[test]
fn the_key_cannot_be_printed_and_must_fit_a_header() {
    let key = ApiKey::new(" sk-secret\n").unwrap();
    assert!(!format!("{key:?} {:?}", Preflight::builder(key.clone())).contains("secret"));
    assert_eq!(key, ApiKey::new("sk-secret").unwrap());
    for bad in ["", "  ", "sk secret", "sk-\u{e9}", "sk-\0"] {
        let error = ApiKey::new(bad).unwrap_err().to_string();
        assert!(!error.contains("sk-"), "{error}");
    }
}

#[test]
fn futures_and_streams_can_be_sent_anywhere() {
    fn sendable<T: Send + 'static>(_: &T) {}
    fn shareable<T: Clone + Send + Sync + 'static>() {}
    shareable::<Preflight>();
    shareable::<emo_preflight::Probe>();
    shareable::<emo_preflight::Stopper>();
    let _ = |gate: Preflight, probe: emo_preflight::Probe| {
        sendable(&gate.check(Source::url("")));
        sendable(&gate.run(stream::empty(), RunOptions::default()));
        sendable(&probe.check(Source::url("")));
        sendable(&probe.run(stream::empty(), RunOptions::default()));
    };
}
