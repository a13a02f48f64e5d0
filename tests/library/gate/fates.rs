//! What each answer of the service leads to.

use std::time::Duration;

use emo_preflight::emulator::{Emulator, Fate};
use emo_preflight::{AspectRatio, Certainty, GateTiming, Source};
use futures_util::future::join_all;

use super::scene::{Expected, emulator, first_code, gate_on, portrait};
use crate::common::{gzip, until, zlib};

/// A name, what is asked, what the service does, and what is to come of it.
type Row = (&'static str, AspectRatio, Vec<Fate>, Expected);

const PASSED: &str = r#"{"output":{"check_pass":true,"face_bbox":[140,100,260,220],
"ext_bbox":[50,0,350,300]},"usage":{"image_count":1},"request_id":"r"}"#;

fn passed(pack: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    pack(PASSED.as_bytes())
}

fn packed(coding: &str, body: &[u8]) -> Fate {
    Fate::raw(200, "application/json", body).with_header("content-encoding", coding).billed(true)
}

#[tokio::test]
async fn each_fate_has_its_verdict_reason_bill_and_number_of_calls() {
    use Certainty::{Certain, None as Free, Unknown};
    const FACE: [f64; 4] = [150.0, 150.0, 250.0, 250.0];
    let square = AspectRatio::Square;
    let lost = |status: u16, body: Vec<u8>| Fate::raw(status, "application/json", body);
    let page = |status: u16| Fate::raw(status, "text/html", "<html>who are you?</html>");
    let rows: Vec<Row> = vec![
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
            vec![Fate::judge().late(Duration::from_millis(100))],
            ("accepted", None, 1, Certain, 1),
        ),
        // A company's proxy compresses what nobody asked it to.
        (
            "gzip",
            square,
            vec![packed("gzip", &passed(gzip))],
            ("accepted", None, 1, Certain, 1),
        ),
        (
            "zlib",
            square,
            vec![packed("Deflate", &passed(zlib))],
            ("accepted", None, 1, Certain, 1),
        ),
        (
            "deflate without its envelope",
            square,
            vec![packed("deflate", &passed(zlib)[2..])],
            ("accepted", None, 1, Certain, 1),
        ),
        (
            "gzip, cut short",
            square,
            vec![packed("gzip", &passed(gzip)[..60])],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "gzip, all but its checksum",
            square,
            vec![packed("gzip", &passed(gzip)[..passed(gzip).len() - 4])],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "gzip that is none",
            square,
            vec![packed("gzip", PASSED.as_bytes())],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "a bomb",
            square,
            vec![packed("gzip", &gzip(&vec![b' '; 20_000_000]))],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "another coding",
            square,
            vec![packed("br", PASSED.as_bytes())],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "a bill and no output",
            square,
            vec![lost(200, br#"{"output":null,"usage":{"image_count":1}}"#.to_vec()).billed(true)],
            ("failed", Some("malformed_answer"), 1, Certain, 1),
        ),
        (
            "a bill and two verdicts",
            square,
            vec![lost(200, br#"{"output":{"check_pass":true,"check_pass":false},"usage":{"image_count":1}}"#.to_vec()).billed(true)],
            ("failed", Some("malformed_answer"), 1, Certain, 1),
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
            "download failed",
            square,
            vec![Fate::error(400, "InvalidFile.DownloadFailed")],
            ("rejected_remote", Some("InvalidFile.DownloadFailed"), 0, Free, 1),
        ),
        (
            "another format than its header's",
            square,
            vec![Fate::error_in_output(400, "InvalidFile.Format")],
            ("rejected_remote", Some("InvalidFile.Format"), 0, Free, 1),
        ),
        (
            "the same, billed",
            square,
            vec![Fate::refused_with("InvalidFile.Format")],
            ("rejected_remote", Some("InvalidFile.Format"), 1, Certain, 1),
        ),
        (
            "bad URL, billed",
            square,
            vec![Fate::error_with_usage(400, "InvalidURL")],
            ("rejected_remote", Some("InvalidURL"), 1, Certain, 1),
        ),
        (
            "an error that counts something",
            square,
            vec![lost(500, br#"{"code":"InternalError","usage":{"total_tokens":7}}"#.to_vec())],
            ("failed", Some("InternalError"), 0, Unknown, 1),
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
            "unheard of, throttled",
            square,
            vec![Fate::error(429, "Something.New")],
            ("accepted", None, 1, Certain, 2),
        ),
        (
            "unheard of, the service's own trouble",
            square,
            vec![Fate::error(503, "Something.New")],
            ("accepted", None, 1, Certain, 2),
        ),
        (
            "an alias",
            square,
            vec![Fate::error(429, "limit_requests")],
            ("accepted", None, 1, Certain, 2),
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
            "out of the image",
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
            ("failed", Some("not_the_service"), 0, Free, 1),
        ),
        (
            "a proxy's refusal",
            square,
            vec![page(403)],
            ("failed", Some("not_the_service"), 0, Free, 1),
        ),
        (
            "a proxy's 408",
            square,
            vec![page(408)],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "a login page",
            square,
            vec![page(200)],
            ("failed", Some("billing_unknown"), 0, Unknown, 1),
        ),
        (
            "a proxy that is busy",
            square,
            page(429).with_header("retry-after", "1").times(4),
            ("accepted", None, 1, Certain, 5),
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
    ];
    // All at once: several wait before they repeat a call.
    let emulator = emulator().await;
    join_all(rows.into_iter().map(|row| hold(&emulator, row, Duration::from_secs(60)))).await;
    emulator.finish();
}

#[tokio::test]
async fn a_call_that_is_answered_too_late_may_have_been_billed() {
    let fates = vec![Fate::judge().late(Duration::from_secs(3_600))];
    let expected = ("failed", Some("billing_unknown"), 0, Certainty::Unknown, 1);
    let row = ("too late", AspectRatio::Square, fates, expected);
    let emulator = emulator().await;
    hold(&emulator, row, Duration::from_millis(500)).await;
    emulator.finish();
}

/// Holds what comes of a question against what is expected, and of the same question once more.
async fn hold(emulator: &Emulator, row: Row, call_timeout: Duration) {
    let (name, ratio, fates, expected) = row;
    let path = format!("/{}.jpg", name.replace([' ', ','], "-"));
    let portrait = emulator.serve(&path, portrait());
    emulator.script(&portrait, fates);
    let timing = GateTiming::default().with_longest_pause(Duration::from_millis(50));
    let gate = gate_on(emulator).call_timeout(call_timeout).timing(timing);
    let gate = gate.build().await.unwrap();
    let source = || Source::url(portrait.url()).ratio(ratio);
    let report = gate.check(source()).await.unwrap();
    // It may have given up on a call that the service is about to read.
    until(name, || emulator.calls_for(&portrait) >= expected.4).await;
    let came = (
        report.verdict.as_str(),
        first_code(&report),
        report.billing.images,
        report.billing.certainty,
        emulator.calls_for(&portrait),
    );
    assert_eq!(came, expected, "{name}: {report:?}");
    assert!(!report.from_ledger, "{name}");

    // What was answered or may have been billed is not asked again; the rest may be.
    let again = gate.check(source()).await.unwrap();
    const NO_VERDICT: [&str; 3] =
        ["InvalidURL", "InvalidFile.DownloadFailed", "InvalidFile.Format"];
    let no_verdict =
        expected.0 == "failed" || expected.1.is_some_and(|code| NO_VERDICT.contains(&code));
    let free = no_verdict && expected.3 == Certainty::None;
    assert_eq!(again.from_ledger, !free, "{name}: {again:?}");
    assert_eq!(emulator.calls_for(&portrait) == expected.4, !free, "{name}");
    if !free {
        assert_eq!((again.verdict, again.billing), (report.verdict, report.billing), "{name}");
        assert_eq!(again.request_id, report.request_id, "{name}");
    }
    let spent = gate.close().await;
    assert_eq!(spent.calls, emulator.calls_for(&portrait), "{name}");
    assert!(spent.images <= emulator.billed_for(&portrait), "{name}");
    assert!(emulator.billed_for(&portrait) <= spent.images + spent.unknown, "{name}");
}
