//! The documented request and its answers.

use std::time::Duration;

use emo_preflight::emulator::{Emulator, Fate, Picture};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::wire::{ENDPOINT, body, call, keys, send, start};

#[tokio::test]
async fn the_documented_request_gets_the_documented_keys() {
    let emu = start(Emulator::builder()).await;
    let pic = emu.serve("/face.jpg", Picture::jpeg(640, 800));
    let answer = call(&emu, &body(pic.url(), "1:1")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let json = answer.json();
    assert_eq!(keys(&json), ["output", "request_id", "usage"]);
    assert_eq!(keys(&json["output"]), ["check_pass", "ext_bbox", "face_bbox"]);
    assert_eq!(json["output"]["check_pass"], true);
    assert_eq!(json["output"]["face_bbox"], json!([224, 224, 416, 416]));
    assert_eq!(json["output"]["ext_bbox"], json!([80, 52, 560, 532]));
    assert_eq!(json["usage"], json!({"image_count": 1}));
    assert_eq!(json["request_id"], "c56f62df-724e-9c19-96bd-000000000001");

    let json = call(&emu, &body(pic.url(), "3:4")).await.json();
    assert_eq!(json["output"]["ext_bbox"], json!([80, 0, 560, 640]));

    assert_eq!((emu.calls(), emu.billed()), (2, 2));
    assert_eq!((emu.calls_for(&pic), emu.billed_for(&pic)), (2, 2));
    assert_eq!(emu.fetches_of(&pic), 0, "its own fetches do not count");
    let received = emu.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].method, "POST");
    assert_eq!(received[0].path, ENDPOINT);
    assert_eq!(received[0].image_url.as_deref(), Some(pic.url()));
    assert_eq!(received[0].body, body(pic.url(), "1:1"));
    assert_eq!((received[0].status, received[0].billed), (Some(200), true));
    let key = ("authorization".to_owned(), "Bearer sk-test".to_owned());
    assert!(received[0].headers.contains(&key));
    assert!(received[0].arrived <= received[1].arrived);
    emu.finish();
}

#[tokio::test]
async fn each_format_passes_and_each_flaw_has_its_code() {
    let emu = start(Emulator::builder().rps(None)).await;
    let mut broken = Picture::png(400, 400).body().to_vec();
    broken.truncate(broken.len() / 2);
    for (name, image, code) in [
        ("jpeg", Picture::jpeg(400, 401), ""),
        ("png", Picture::png(400, 400), ""),
        ("bmp", Picture::bmp(401, 400), ""),
        ("webp", Picture::webp(512, 400), ""),
        ("longest", Picture::png(7000, 400), ""),
        ("short", Picture::png(399, 500), "InvalidFile.Resolution"),
        ("long", Picture::png(400, 7001), "InvalidFile.Resolution"),
        ("gif", Picture::gif(640, 800), "InvalidFile.Format"),
        ("heic", Picture::heic(), "InvalidFile.Format"),
        ("html", Picture::html(), "InvalidFile.Format"),
        ("broken", Picture::bytes("image/png", broken), "InvalidFile.Openerror"),
        ("missing", Picture::status(404), "InvalidURL"),
        ("empty", Picture::bytes("image/png", Vec::new()), "InvalidFile.Format"),
    ] {
        let pic = emu.serve(name, image);
        let answer = call(&emu, &body(pic.url(), "1:1")).await;
        if code.is_empty() {
            assert_eq!(answer.json()["output"]["check_pass"], true, "{name}");
            assert_eq!(emu.billed_for(&pic), 1, "{name}");
        } else {
            assert_eq!(answer.error(), (400, code.to_owned()), "{name}");
            assert_eq!(emu.billed_for(&pic), 0, "{name}");
        }
    }
    emu.finish();
}

#[tokio::test]
async fn images_are_fetched_from_loopback_through_redirects() {
    let emu = start(Emulator::builder().rps(None).fetch_timeout(Duration::from_millis(200))).await;
    emu.serve("/face.png", Picture::png(400, 400));
    let once = emu.serve("/once", Picture::redirect("/face.png"));
    let loops = emu.serve("/loops", Picture::redirect("/loops"));
    let away = emu.serve("/away", Picture::redirect("http://192.0.2.1/a.png"));
    let file = emu.serve("/file", Picture::redirect("file:///etc/hostname"));
    let answer = call(&emu, &body(once.url(), "1:1")).await;
    assert_eq!(answer.json()["output"]["check_pass"], true);

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = format!("http://{}/a.png", silent.local_addr().unwrap());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = format!("http://{}/a.png", closed.local_addr().unwrap());
    drop(closed);
    for (url, code) in [
        (loops.url(), "InvalidURL"),
        (away.url(), "InvalidURL"),
        (file.url(), "InvalidURL"),
        (slow.as_str(), "InvalidURL.Timeout"),
        (refused.as_str(), "InvalidURL.ConnectionRefused"),
    ] {
        let answer = call(&emu, &body(url, "1:1")).await;
        assert_eq!(answer.error(), (400, code.to_owned()), "{url}");
    }
    assert_eq!(emu.billed(), 1);
    emu.finish();

    for url in ["http://192.0.2.1/a.png", "https://example.com/a.png", "http://localhost.example/"]
    {
        let answer = call(&emu, &body(url, "1:1")).await;
        assert_eq!(answer.error(), (400, "InvalidURL".to_owned()));
        let message = answer.json()["message"].to_string();
        assert!(message.contains("loopback"), "{message}");
    }
    assert_eq!(emu.unscripted().len(), 3);
}

#[tokio::test]
async fn localhost_is_this_machine_and_a_query_does_not_matter() {
    let emu = start(Emulator::builder()).await;
    let pic = emu.serve("a b/face.png?ignored", Picture::png(400, 400));
    assert_eq!(pic.url(), format!("http://{}/a%20b/face.png", emu.addr()));
    assert_eq!(pic.to_string(), pic.url());
    let url = format!("http://localhost:{}/a%20b/face.png?Signature=x", emu.addr().port());
    let answer = call(&emu, &body(&url, "1:1")).await;
    assert_eq!(answer.json()["output"]["check_pass"], true);
    assert_eq!(emu.calls_for(&pic), 1);
    emu.finish();
}

#[tokio::test]
async fn a_request_is_checked_as_the_service_would() {
    let good = body("http://127.0.0.1:1/a.jpg", "1:1");
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string()
    };
    let without = |name: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(name);
        body.to_string()
    };
    let key = "authorization: Bearer sk-test\r\n";
    let json = "content-type: application/json\r\n";
    let both = format!("{key}{json}");
    let good = good.to_string();
    // headers, body, status, code, whether no correct client sends it
    let rows: Vec<(String, String, u16, &str, bool)> = vec![
        (json.into(), good.clone(), 401, "InvalidApiKey", true),
        (format!("authorization: Bearer  \r\n{json}"), good.clone(), 401, "InvalidApiKey", true),
        (
            format!("authorization: Basic sk-test\r\n{json}"),
            good.clone(),
            401,
            "InvalidApiKey",
            true,
        ),
        (
            format!("authorization: Bearer sk-no\r\n{json}"),
            good.clone(),
            401,
            "InvalidApiKey",
            false,
        ),
        (format!("{both}X-DashScope-Async: enable\r\n"), good.clone(), 403, "AccessDenied", true),
        (key.into(), good.clone(), 400, "InvalidParameter", true),
        (format!("{key}content-type: text/plain\r\n"), good.clone(), 400, "InvalidParameter", true),
        (both.clone(), "{".into(), 400, "InvalidParameter", true),
        (both.clone(), "[]".into(), 400, "InvalidParameter", true),
        (both.clone(), "{}".into(), 400, "BadRequest.EmptyModel", true),
        (both.clone(), with("/model", "".into()), 400, "BadRequest.EmptyModel", true),
        (both.clone(), with("/model", json!(1)), 400, "BadRequest.EmptyModel", true),
        (both.clone(), without("input"), 400, "BadRequest.EmptyInput", true),
        (both.clone(), with("/input", json!({})), 400, "BadRequest.EmptyInput", true),
        (both.clone(), with("/input/image_url", "".into()), 400, "BadRequest.EmptyInput", true),
        (both.clone(), without("parameters"), 400, "BadRequest.EmptyParameters", true),
        (both.clone(), with("/parameters", json!({})), 400, "InvalidParameter.Ratio", true),
        (
            both.clone(),
            with("/parameters/ratio", "4:3".into()),
            400,
            "InvalidParameter.Ratio",
            true,
        ),
        (both.clone(), with("/model", "emo-v1".into()), 404, "ModelNotFound", false),
        (both.clone(), with("/input/image_url", "oss://b/k".into()), 400, "InvalidURL", false),
        (both.clone(), with("/input/image_url", "/a.jpg".into()), 400, "InvalidURL", false),
        (
            format!("{key}content-type: Application/JSON; charset=utf-8\r\n"),
            good.clone(),
            400,
            "InvalidURL.ConnectionRefused",
            false,
        ),
    ];
    let emu = start(Emulator::builder().api_key("sk-test").rps(None)).await;
    let mut complaints = 0;
    for (headers, body, status, code, unscripted) in rows {
        let answer = send(emu.addr(), "POST", ENDPOINT, &headers, &body).await.unwrap();
        assert_eq!(answer.error(), (status, code.to_owned()), "{headers}{body}");
        complaints += usize::from(unscripted);
        assert_eq!(emu.unscripted().len(), complaints, "{headers}{body}");
    }
    assert_eq!(emu.billed(), 0);
    assert_eq!(emu.received()[7].body, "{", "what is no JSON is kept as text");

    let other = start(Emulator::builder().model("my-emo").rps(None)).await;
    let pic = other.serve("/a.png", Picture::png(400, 400));
    let mut request = body(pic.url(), "1:1");
    request["model"] = "my-emo".into();
    assert_eq!(call(&other, &request).await.status, 200);
}

#[tokio::test]
async fn the_sixth_request_of_a_second_is_throttled_and_not_judged() {
    let emu = start(Emulator::builder()).await;
    let pic = emu.serve("/face.png", Picture::png(400, 400));
    emu.script(&pic, Fate::refused_by_model().times(5));
    let asked = body(pic.url(), "1:1");
    for _ in 0..5 {
        assert_eq!(call(&emu, &asked).await.status, 200);
    }
    let mut sixth = call(&emu, &asked).await;
    // Where a machine is slow, another of a later second is the sixth.
    let is_one_second = || {
        let received = emu.received();
        let [first, .., last] = &received[received.len() - 6..] else { panic!("six") };
        last.arrived - first.arrived < Duration::from_millis(990)
    };
    while sixth.status == 200 {
        assert!(!is_one_second(), "the sixth of a second was judged");
        sixth = call(&emu, &asked).await;
    }
    let calls = emu.calls();
    assert_eq!(sixth.error(), (429, "Throttling.RateQuota".to_owned()));
    assert_eq!(sixth.json()["message"], "Requests rate limit exceeded, please try again later.");
    assert_eq!(sixth.header("retry-after"), None);
    assert_eq!((emu.billed(), emu.calls_for(&pic)), (calls - 1, calls));
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(call(&emu, &body(pic.url(), "1:1")).await.status, 200);
    emu.finish();
}
