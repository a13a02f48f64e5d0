//! The vendor's endpoint: the service's bytes where it was asked, ours where it was not.

use std::time::Duration;

use emo_preflight::emulator::{Fate, Picture};
use emo_preflight::serve::ServeOptions;
use emo_preflight::{AddressPolicy, ApiKey, Ledger, Preflight, ProbeOptions};
use serde_json::json;
use tokio::net::TcpListener;

use super::scene::{
    Answer, JsonBody as _, KEY, PATH, Scene, answer, client, detect_at, gate_on, scene, scene_with,
    start,
};
use crate::rig::portrait;

/// What the emulator's answers to the same fate have in common: all but the id it counts up.
fn without_id(answer: &Answer) -> String {
    let body = String::from_utf8(answer.body.clone()).unwrap();
    let id = answer.json()["request_id"].as_str().unwrap_or_default().to_owned();
    body.replace(&id, "ID")
}

#[tokio::test]
async fn where_the_service_was_asked_its_own_bytes_come_and_come_again() {
    let Scene { emu, server } = scene().await;
    for (name, fate, verdict, certainty) in [
        ("passed", Fate::judge(), "accepted", "images=1, certainty=certain"),
        (
            "boxes",
            Fate::boxes([250.0, 200.0, 450.0, 400.0], [100.0, 50.0, 600.0, 700.0]),
            "box_mismatch",
            "images=1, certainty=certain",
        ),
        ("model", Fate::refused_by_model(), "rejected_remote", "images=1, certainty=certain"),
        (
            "many",
            Fate::refused_with("InvalidFile.MultiHuman"),
            "rejected_remote",
            "images=1, certainty=certain",
        ),
        (
            "shape 2",
            Fate::error(400, "InvalidFile.NoHuman"),
            "rejected_remote",
            "images=0, certainty=none",
        ),
        (
            "shape 3",
            Fate::error_in_output(400, "InvalidFile.FacePose"),
            "rejected_remote",
            "images=0, certainty=none",
        ),
        (
            "billed error",
            Fate::error_with_usage(400, "InvalidFile.FullFace"),
            "rejected_remote",
            "images=1, certainty=certain",
        ),
        ("extra", Fate::judge().with_extra_fields(), "accepted", "images=1, certainty=certain"),
        ("unreadable", Fate::malformed_box(), "failed", "images=1, certainty=certain"),
    ] {
        let direct = emu.serve(&format!("/direct-{name}.jpg"), portrait());
        let through = emu.serve(&format!("/through-{name}.jpg"), portrait());
        emu.script(&direct, [fate.clone()]);
        emu.script(&through, [fate]);
        let expected =
            detect_at(&format!("http://{}{PATH}", emu.addr()), direct.url(), "1:1").await;
        let first = server.detect(through.url()).await;
        assert_eq!(first.status, expected.status, "{name}");
        assert_eq!(without_id(&first), without_id(&expected), "{name}");
        assert_eq!(first.verdict.as_deref(), Some(verdict), "{name}");
        assert_eq!(first.billing.as_deref(), Some(certainty), "{name}");
        assert_eq!(first.from_ledger.as_deref(), Some("false"), "{name}");
        let again = server.detect(through.url()).await;
        let expected = Answer { from_ledger: Some("true".to_owned()), ..first };
        assert_eq!(again, expected, "{name}");
        assert_eq!(emu.calls_for(&through), 1, "{name}");
    }
    emu.finish();
}

#[tokio::test]
async fn a_ledger_on_disk_gives_the_same_bytes_to_the_next_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let Scene { emu, server } = scene_with(|gate| gate, ServeOptions::default()).await;
    let mut answers = Vec::new();
    for (name, fate) in [
        ("a", Fate::judge().with_extra_fields()),
        ("b", Fate::error(400, "InvalidFile.NoHuman")),
        ("c", Fate::refused_by_model()),
    ] {
        let image = emu.serve(&format!("/{name}.jpg"), portrait());
        emu.script(&image, [fate]);
        answers.push((image, Vec::new()));
    }
    drop(server);
    for _ in 0..2 {
        let ledger = Ledger::open(&path).await.unwrap();
        let gate = gate_on(&emu.base_url()).ledger(ledger).build().await.unwrap();
        let server = start(gate, ServeOptions::default()).await;
        for (image, so_far) in &mut answers {
            let answer = server.detect(image.url()).await;
            so_far.push((answer.status, answer.body));
        }
    }
    for (image, so_far) in &answers {
        assert_eq!(so_far[0], so_far[1]);
        assert_eq!(emu.calls_for(image), 1);
    }
    emu.finish();
}

#[tokio::test]
async fn what_the_service_refuses_and_cannot_be_repeated_passes_through_too() {
    let Scene { emu, server } = scene().await;
    for (status, code) in [
        (401, "InvalidApiKey"),
        (400, "Arrearage"),
        (403, "Workspace.AccessDenied"),
        (400, "InvalidParameter"),
        (400, "SomethingNew"),
    ] {
        let image = emu.serve(&format!("/{code}.jpg"), portrait());
        emu.script(&image, [Fate::error(status, code)]);
        let answer = server.detect(image.url()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert_eq!(answer.billing.as_deref(), Some("images=0, certainty=none"));
        // A free question: the account may be in order now. The server has not stopped.
        let again = server.detect(image.url()).await;
        assert_eq!((again.status, again.verdict.as_deref()), (200, Some("accepted")));
    }
    emu.finish();
}

#[tokio::test]
async fn a_throttled_call_is_repeated_here_and_not_by_the_client() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/busy.jpg", portrait());
    emu.script(&image, [Fate::throttled_retry_after(1)]);
    let answer = server.detect(image.url()).await;
    assert_eq!((answer.status, emu.calls_for(&image)), (200, 2));
    emu.finish();
}

#[tokio::test]
async fn a_lost_answer_is_said_to_be_lost_however_often_it_is_asked_for() {
    let Scene { emu, server } = scene().await;
    for (name, fate) in [
        ("reset", Fate::judge().reset()),
        ("cut", Fate::judge().cut_off()),
        ("page", Fate::html_504()),
        ("no bill", Fate::raw(200, "application/json", r#"{"output":{}}"#)),
    ] {
        let image = emu.serve(&format!("/{name}.jpg"), portrait());
        emu.script(&image, [fate]);
        for _ in 0..3 {
            let answer = server.detect(image.url()).await;
            assert_eq!(
                (answer.status, answer.code().as_str(), answer.billing.as_deref()),
                (502, "Preflight.BillingUnknown", Some("images=0, certainty=unknown")),
                "{name}"
            );
            let id = answer.json()["request_id"].as_str().unwrap().to_owned();
            assert!(id.starts_with("preflight-"), "{name}: {id}");
        }
        assert_eq!(emu.calls_for(&image), 1, "{name}");
    }
    emu.finish();
}

/// A page is no answer to a client either. The server outlives what stands in front of the service.
#[tokio::test]
async fn what_is_not_the_service_stops_calls_and_not_the_server() {
    let Scene { emu, server } = scene().await;
    let page = |status| Fate::raw(status, "text/html", "<html>Please log in</html>");
    let serve = |n: u32| emu.serve(&format!("/{n}.jpg"), Picture::jpeg(640 + n, 800));
    let images: Vec<_> = (0..4).map(serve).collect();
    for (image, status) in images.iter().zip([302, 200, 404]) {
        emu.script(image, [page(status)]);
    }
    let stopped = (503, "Preflight.Stopped", "images=0, certainty=none");
    let lost = (502, "Preflight.BillingUnknown", "images=0, certainty=unknown");
    for (image, expected, verdict) in [
        (&images[0], stopped, "failed"),
        (&images[1], lost, "failed"),
        (&images[2], stopped, "failed"),
        // From here on nothing is called for a while.
        (&images[3], stopped, "skipped"),
        (&images[0], stopped, "skipped"),
    ] {
        let answer = server.detect(image.url()).await;
        let found = (answer.status, &*answer.code(), answer.billing.as_deref().unwrap());
        assert_eq!((found, answer.verdict.as_deref()), (expected, Some(verdict)));
        let said = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(expected == lost || said.contains("must lead to the service"), "{said}");
    }
    assert_eq!(emu.calls(), 3);
    let health = answer(client().get(server.url("/healthz"))).await;
    assert_eq!(health.status, 200);
    emu.finish();
}

#[tokio::test]
async fn every_rejection_of_the_local_stage_has_its_row() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = "http://127.0.0.1:1/a.jpg".to_owned();
    let mut probe = ProbeOptions::default();
    probe.addresses = AddressPolicy::Any;
    probe.timeout = Duration::from_secs(3);
    probe.max_header_bytes = 1_024;
    let Scene { emu, server } = scene_with(|gate| gate.probe(probe), ServeOptions::default()).await;
    let jpeg_behind = |bytes: usize| {
        let mut file = vec![0xFF, 0xD8];
        while file.len() < bytes {
            file.extend([0xFF, 0xE1, 0x02, 0x02]);
            file.extend([0; 512]);
        }
        file.extend(Picture::jpeg(640, 640).body().get(2..).unwrap());
        Picture::bytes("image/jpeg", file)
    };
    let without_height = {
        let mut file = Picture::jpeg(640, 640).body().to_vec();
        let sof = file.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2])).unwrap();
        file[sof + 5] = 0;
        file[sof + 6] = 0;
        Picture::bytes("image/jpeg", file)
    };
    let cut = Picture::png(640, 640).body()[..20].to_vec();
    let served = |name: &str, image: Picture| emu.serve(name, image).url().to_owned();
    let rows = [
        (served("/a.gif", Picture::gif(640, 640)), "InvalidFile.Format", "unsupported_format"),
        (served("/b", Picture::html()), "InvalidFile.Format", "not_an_image"),
        (served("/c", Picture::bytes("image/png", cut)), "InvalidFile.Format", "corrupt_header"),
        (served("/d", Picture::jpeg(300, 640)), "InvalidFile.Resolution", "shortest_side"),
        (served("/e", Picture::png(7_200, 640)), "InvalidFile.Resolution", "longest_side"),
        ("ftp://example.org/a.jpg".to_owned(), "InvalidURL", "not_http_url"),
        ("/home/me/a.jpg".to_owned(), "InvalidURL", "not_http_url"),
        ("oss://bucket/a.jpg".to_owned(), "InvalidURL", "not_http_url"),
        (served("/f", Picture::status(404)), "InvalidURL", "not_found"),
        (format!("http://{}/", silent.local_addr().unwrap()), "InvalidURL.Timeout", "timeout"),
        (refused, "InvalidURL.ConnectionRefused", "network"),
        (served("/g", Picture::status(500)), "InvalidURL.ConnectionRefused", "http_status"),
        (served("/h", Picture::redirect("/h")), "InvalidURL.ConnectionRefused", "redirects"),
        (
            served("/i", Picture::redirect("file:///x")),
            "InvalidURL.ConnectionRefused",
            "bad_redirect",
        ),
        (served("/j", jpeg_behind(4_096)), "InvalidURL.ConnectionRefused", "header_too_long"),
        (served("/k", without_height), "InvalidURL.ConnectionRefused", "size_deferred"),
    ];
    for (url, code, why) in rows {
        let answer = server.detect(&url).await;
        let json = answer.json();
        assert_eq!((answer.status, json["code"].as_str()), (400, Some(code)), "{why}: {json}");
        assert_eq!(answer.billing.as_deref(), Some("images=0, certainty=none"), "{why}");
        assert!(json.get("usage").is_none() && json.get("output").is_none(), "{why}");
        assert!(json["message"].as_str().unwrap().contains("must"), "{why}: {json}");
        assert!(json["request_id"].as_str().unwrap().starts_with("preflight-"), "{why}");
    }
    assert_eq!(emu.calls(), 0);
    emu.finish();
}

#[tokio::test]
async fn private_addresses_stay_refused_for_what_callers_ask_to_fetch() {
    let gate = Preflight::builder(ApiKey::new(KEY).unwrap())
        .base_url("http://127.0.0.1:9/api/v1")
        .build()
        .await
        .unwrap();
    let server = start(gate, ServeOptions::default()).await;
    for url in ["http://127.0.0.1/a.jpg", "http://169.254.169.254/latest", "http://[::1]/a.jpg"] {
        let answer = server.detect(url).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidURL"), "{url}");
    }
}

#[tokio::test]
async fn the_cap_and_a_service_that_is_not_there_have_their_rows() {
    let Scene { emu, server } = scene_with(|gate| gate.max_calls(1), ServeOptions::default()).await;
    let images: Vec<_> = (0..3).map(|n| emu.serve(&format!("/{n}.jpg"), portrait())).collect();
    assert_eq!(server.detect(images[0].url()).await.status, 200);
    for image in &images[1..] {
        let answer = server.detect(image.url()).await;
        assert_eq!((answer.status, answer.code().as_str()), (429, "Preflight.CapReached"));
        assert_eq!(answer.verdict.as_deref(), Some("skipped"));
    }
    // What is known costs nothing, cap or no cap.
    assert_eq!(server.detect(images[0].url()).await.status, 200);
    assert_eq!(emu.billed(), 1);

    let gate = gate_on("http://127.0.0.1:9/api/v1").build().await.unwrap();
    let server = start(gate, ServeOptions::default()).await;
    let answer = server.detect(images[0].url()).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "Preflight.Stopped"));
    assert_eq!(answer.billing.as_deref(), Some("images=0, certainty=none"));
}

#[tokio::test]
async fn a_request_that_the_service_would_refuse_is_refused_without_it() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", portrait());
    let whole = json!({"model": "emo-detect-v1", "input": {"image_url": image.url()},
        "parameters": {"ratio": "1:1"}});
    let without = |key: &str| {
        let mut body = whole.clone();
        body.as_object_mut().unwrap().remove(key);
        body.to_string()
    };
    let twice = whole.to_string().replacen('{', r#"{"model":"other","#, 1);
    let url_twice = format!(
        r#"{{"model":"emo-detect-v1","input":{{"image_url":"{0}","image_url":"{0}?b"}},"parameters":{{"ratio":"1:1"}}}}"#,
        image.url()
    );
    for (body, status, code) in [
        (without("model"), 400, "BadRequest.EmptyModel"),
        (without("input"), 400, "BadRequest.EmptyInput"),
        (without("parameters"), 400, "BadRequest.EmptyParameters"),
        (whole.to_string().replace("1:1", "2:1"), 400, "InvalidParameter.Ratio"),
        (whole.to_string().replace("emo-detect-v1", " "), 400, "BadRequest.EmptyModel"),
        (whole.to_string().replace("emo-detect-v1", "emoji-detect-v1"), 404, "Preflight.NotServed"),
        ("[1]".to_owned(), 400, "InvalidParameter"),
        (format!("[{whole}]"), 400, "InvalidParameter"),
        ("{".to_owned(), 400, "InvalidParameter"),
        (String::new(), 400, "InvalidParameter"),
        (twice, 400, "InvalidParameter"),
        (url_twice, 400, "InvalidParameter"),
        (r#"{"model":7}"#.to_owned(), 400, "InvalidParameter"),
    ] {
        let request = client().post(server.url(PATH)).header("content-type", "application/json");
        let answer = answer(request.body(body.clone())).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body}");
    }
    let asynchronous = client().post(server.url(PATH)).header("x-dashscope-async", "enable");
    let answer_to = answer(asynchronous.json_body(&whole)).await;
    assert_eq!((answer_to.status, answer_to.code().as_str()), (403, "AccessDenied"));
    let typed = client().post(server.url(PATH)).header("content-type", "text/plain");
    assert_eq!(answer(typed.body(whole.to_string())).await.code(), "InvalidParameter");
    assert_eq!(answer(client().get(server.url(PATH))).await.status, 405);
    assert_eq!(emu.calls(), 0);
    emu.finish();
}

#[tokio::test]
async fn one_image_asked_for_by_many_at_once_is_one_call() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", portrait());
    emu.script(&image, [Fate::judge().late(Duration::from_millis(300))]);
    let all = (0..50).map(|_| server.detect(image.url()));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer.body == answers[0].body && answer.status == 200));
    assert_eq!((emu.billed(), emu.calls()), (1, 1));
    emu.finish();
}
