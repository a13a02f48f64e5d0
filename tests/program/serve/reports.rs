//! `/v1/check`, `/v1/probe`, `/healthz`, `/metrics`.

use std::time::Duration;

use emo_preflight::Report;
use emo_preflight::emulator::{Fate, Picture};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::scene::{JsonBody as _, Running, Scene, answer, client, scene};
use crate::rig::{PATIENCE, portrait};

#[tokio::test]
async fn one_object_is_answered_with_the_programs_json() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.webp", Picture::webp(600, 900));
    let object = json!({"image_url": image.url(), "ratio": "3:4", "image_id": "p-7", "mine": [1]});
    let ask = async |path: &str| {
        let answer = answer(client().post(server.url(path)).json_body(&object)).await;
        assert_eq!(answer.status, 200, "{path}");
        (serde_json::from_slice::<Report>(&answer.body).unwrap(), answer)
    };
    let (report, answer_to) = ask("/v1/probe").await;
    assert_eq!(report.verdict.as_str(), "eligible");
    assert_eq!((emu.calls(), report.model), (0, None));
    assert_eq!(answer_to.verdict.as_deref(), Some("eligible"));
    let (report, _) = ask("/v1/check").await;
    assert_eq!(report.verdict.as_str(), "accepted");
    assert_eq!((report.image_id.as_deref(), report.index), (Some("p-7"), 0));
    assert_eq!(report.input.unwrap().get("mine"), Some("[1]"));
    let (report, _) = ask("/v1/check").await;
    assert!(report.from_ledger);
    assert_eq!(emu.billed(), 1);
    for (body, status) in [("{}", 200), ("[]", 400), ("", 400), ("{\"image_url\":", 400)] {
        let request = client().post(server.url("/v1/check")).body(body);
        assert_eq!(answer(request).await.status, status, "{body}");
    }
    assert_eq!(answer(client().get(server.url("/v1/check"))).await.status, 405);
    emu.finish();
}

/// A request with a chunked body that stays open, and its answer as it comes.
struct Open(TcpStream);

impl Open {
    async fn post(server: &Running, path: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: any\r\ncontent-type: application/x-ndjson\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.0.write_all(chunk.as_bytes()).await.unwrap();
    }

    /// What comes until it holds this.
    async fn until(&mut self, part: &str) -> String {
        let mut came = String::new();
        let mut bytes = [0; 4_096];
        while !came.contains(part) {
            let read = self.0.read(&mut bytes);
            let read = tokio::time::timeout(PATIENCE, read).await;
            let read = read.unwrap_or_else(|_| panic!("no {part:?} in {came:?}")).unwrap();
            assert!(read > 0, "no {part:?} in {came:?}");
            came.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        came
    }
}

#[tokio::test]
async fn a_stream_is_answered_while_it_is_sent() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", portrait());
    let mut open = Open::post(&server, "/v1/check").await;
    open.send(&format!("{}\n", image.url())).await;
    open.until("accepted").await;
    // In two parts, and behind it a line that is no source.
    open.send("{\"image_url\":\"ftp://x/").await;
    open.send("y\"}\n\n{\"other\":1}\n").await;
    let came = open.until("bad_input").await;
    assert!(came.contains("not_http_url") || open.until("not_http_url").await.contains("ftp"));
    open.send(&"x".repeat(70_000)).await;
    open.send(&format!("\n{}", image.url())).await;
    open.0.write_all(b"0\r\n\r\n").await.unwrap();
    let came = open.until("\r\n0\r\n\r\n").await;
    assert!(came.contains("a line must be at most 65536 bytes"), "{came}");
    assert!(came.contains(r#""index":4"#) && came.contains(r#""from_ledger":true"#), "{came}");
    assert_eq!(emu.billed(), 1);
    emu.finish();
}

#[tokio::test]
async fn sources_are_taken_as_reports_are() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", portrait());
    // Nobody reads the answers: what was taken meanwhile is bounded, and so is memory.
    let line =
        format!("{{\"image_url\":\"{}\",\"pad\":\"{}\"}}\n", image.url(), "x".repeat(10_000));
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(
            b"POST /v1/probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/jsonl\r\n\
              transfer-encoding: chunked\r\n\r\n",
        )
        .await
        .unwrap();
    let mut sent = 0;
    // Until no more is taken for a second.
    while let Ok(written) =
        tokio::time::timeout(Duration::from_secs(1), stream.write_all(chunk.as_bytes())).await
    {
        written.unwrap();
        sent += 1;
        assert!(sent < 2_500, "{sent} sources of 10 KB were taken and no report");
    }
    drop(stream);
    emu.finish();
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_not_ended_as_if_it_were_whole() {
    let Scene { emu, server } = scene().await;
    let mut open = Open::post(&server, "/v1/probe").await;
    open.send("ftp://x/y\n").await;
    open.until("not_http_url").await;
    open.0.write_all(b"no chunk\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = open.0.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"), "{rest:?}");
    emu.finish();
}

#[tokio::test]
async fn health_and_metrics_say_how_it_goes() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", portrait());
    let lost = emu.serve("/lost.jpg", portrait());
    emu.script(&lost, [Fate::judge().reset()]);
    let health = answer(client().get(server.url("/healthz"))).await;
    assert_eq!((health.status, health.json()), (200, json!({"ledger": "reachable"})));
    for url in [image.url(), image.url(), lost.url(), "ftp://x/y"] {
        server.detect(url).await;
    }
    let metrics = answer(client().get(server.url("/metrics"))).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        r#"emo_preflight_verdicts_total{verdict="accepted"} 2"#,
        r#"emo_preflight_verdicts_total{verdict="failed"} 1"#,
        r#"emo_preflight_verdicts_total{verdict="rejected_local"} 1"#,
        "emo_preflight_calls_total 2",
        "emo_preflight_images_certain_total 1",
        "emo_preflight_images_unknown_total 1",
        "emo_preflight_throttled_total 0",
        "emo_preflight_waiting 0",
        "emo_preflight_in_flight 0",
        "emo_preflight_ledger_errors_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    // A slot that a busy machine misses is booked again.
    for (name, range) in [
        ("reservations_total", 2.0..20.0),
        ("slot_wait_seconds_total", 0.0..60.0),
        ("reserving_seconds_total", 0.0..60.0),
    ] {
        let start = format!("emo_preflight_{name} ");
        let found: f64 =
            metrics.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap();
        assert!(range.contains(&found), "{name}: {found}");
    }
    let not_served = answer(client().get(server.url("/api/v1/models"))).await;
    assert_eq!((not_served.status, not_served.code().as_str()), (404, "Preflight.NotServed"));
    let not_served: Value = not_served.json();
    assert!(not_served["message"].as_str().unwrap().contains("--pass-through"));
    emu.finish();
}
