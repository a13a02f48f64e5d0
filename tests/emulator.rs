//! The stand-in over real sockets on loopback, seen as bytes rather than through an HTTP client.

#![cfg(feature = "emulator")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, EmulatorBuilder, Fate, Picture, Served};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

// ---- the documented request and its answers

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
    for (name, picture, code) in [
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
        let pic = emu.serve(name, picture);
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
async fn pictures_are_fetched_from_loopback_through_redirects() {
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
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(call(&emu, &body(pic.url(), "1:1")).await.status, 200);
    }
    let sixth = call(&emu, &body(pic.url(), "1:1")).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "this machine is too slow to tell");
    assert_eq!(sixth.error(), (429, "Throttling.RateQuota".to_owned()));
    assert_eq!(sixth.json()["message"], "Requests rate limit exceeded, please try again later.");
    assert_eq!(sixth.header("retry-after"), None);
    assert_eq!((emu.calls(), emu.billed(), emu.calls_for(&pic)), (6, 5, 6));
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(call(&emu, &body(pic.url(), "1:1")).await.status, 200);
    emu.finish();
}

// ---- fates

#[tokio::test]
async fn each_fate_has_its_bytes_and_its_bill() {
    let id = "c56f62df-724e-9c19-96bd-000000000001";
    let throttled = json!({"code": "Throttling.RateQuota", "request_id": id,
        "message": "Requests rate limit exceeded, please try again later."});
    let pass = json!({"output": {"check_pass": true, "face_bbox": [140, 100, 260, 220],
        "ext_bbox": [50, 0, 350, 300]}, "usage": {"image_count": 1}, "request_id": id});
    let mut passed_free = pass.clone();
    passed_free.as_object_mut().unwrap().remove("usage");
    let mut extra = pass.clone();
    extra["trace"] = json!({"spans": [1, 2, 3]});
    extra["output"]["humanoid"] = true.into();
    extra["output"]["score"] = json!(0.93);
    extra["usage"]["image_tokens"] = Value::Null;
    let refused = "The request was refused.";
    let no_human = "No human is found in the image.";
    for (name, fate, status, json, billed) in [
        ("judge", Fate::judge(), 200, pass.clone(), 1),
        ("judge unbilled", Fate::judge().billed(false), 200, pass.clone(), 0),
        (
            "refused_by_model",
            Fate::refused_by_model(),
            200,
            json!({"output": {"check_pass": false, "code": "", "message": ""},
                "usage": {"image_count": 1}, "request_id": id}),
            1,
        ),
        (
            "refused_with",
            Fate::refused_with("InvalidFile.NoHuman"),
            200,
            json!({"output": {"check_pass": false, "code": "InvalidFile.NoHuman", "message": no_human},
                "usage": {"image_count": 1}, "request_id": id}),
            1,
        ),
        (
            "error",
            Fate::error(400, "InvalidFile.NoHuman"),
            400,
            json!({"code": "InvalidFile.NoHuman", "message": no_human, "request_id": id}),
            0,
        ),
        (
            "error billed",
            Fate::error(500, "InternalError").billed(true),
            500,
            json!({"code": "InternalError", "message": refused, "request_id": id}),
            1,
        ),
        (
            "error_in_output",
            Fate::error_in_output(400, "InvalidFile.NoHuman"),
            400,
            json!({"output": {"code": "InvalidFile.NoHuman", "message": no_human}, "request_id": id}),
            0,
        ),
        (
            "error_inside_200",
            Fate::error_inside_200("BailianGateway.Workspace.NotAuthorised"),
            200,
            json!({"code": "BailianGateway.Workspace.NotAuthorised", "message": refused, "request_id": id}),
            0,
        ),
        (
            "error_with_usage",
            Fate::error_with_usage(500, "InternalError"),
            500,
            json!({"code": "InternalError", "message": refused, "usage": {"image_count": 1}, "request_id": id}),
            1,
        ),
        ("throttled", Fate::throttled(), 429, throttled.clone(), 0),
        ("throttled_retry_after", Fate::throttled_retry_after(3), 429, throttled, 0),
        ("without_usage", Fate::without_usage(), 200, passed_free, 1),
        (
            "boxes",
            Fate::boxes([1.0, 2.5, -3.0, 4e300], [0.0, f64::NAN, 2.0, 3.0]),
            200,
            json!({"output": {"check_pass": true, "face_bbox": [1, 2.5, -3, 4e300],
                "ext_bbox": [0, null, 2, 3]}, "usage": {"image_count": 1}, "request_id": id}),
            1,
        ),
        (
            "missing_box",
            Fate::missing_box(),
            200,
            json!({"output": {"check_pass": true, "face_bbox": [302, 286, 610, 593]},
                "usage": {"image_count": 1}, "request_id": id}),
            1,
        ),
        (
            "malformed_box",
            Fate::malformed_box(),
            200,
            json!({"output": {"check_pass": true, "face_bbox": [302, 286, 610],
                "ext_bbox": ["71", "9", "840", "778"]}, "usage": {"image_count": 1}, "request_id": id}),
            1,
        ),
        ("with_extra_fields", Fate::judge().with_extra_fields(), 200, extra, 1),
        ("raw json", Fate::raw(201, "application/json", "{\"a\":1}"), 201, json!({"a": 1}), 0),
        (
            "no such status",
            Fate::error(99, "X"),
            500,
            json!({"code": "X", "message": refused, "request_id": id}),
            0,
        ),
    ] {
        let (emu, pic) = with_fate(fate).await;
        let answer = call(&emu, &body(pic.url(), "1:1")).await;
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(answer.json(), json, "{name}");
        let retry_after = (name == "throttled_retry_after").then_some("3");
        assert_eq!(answer.header("retry-after"), retry_after, "{name}");
        assert_eq!(emu.billed(), billed, "{name}");
        let received = &emu.received()[0];
        assert_eq!((received.status, received.billed), (Some(status), billed == 1), "{name}");
        emu.finish();
    }
}

#[tokio::test]
async fn answers_that_are_not_the_service_s_json() {
    let (emu, pic) = with_fate(Fate::malformed_json()).await;
    let answer = call(&emu, &body(pic.url(), "1:1")).await;
    assert_eq!((answer.status, emu.billed()), (200, 1));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert!(answer.body.starts_with(b"{\"output\":{"));
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());

    let (emu, pic) = with_fate(Fate::html_504()).await;
    let answer = call(&emu, &body(pic.url(), "1:1")).await;
    assert_eq!((answer.status, emu.billed()), (504, 1));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert!(answer.body.starts_with(b"<html>"));

    let (emu, pic) = with_fate(Fate::redirect(307, "http://127.0.0.1:9/again")).await;
    let answer = call(&emu, &body(pic.url(), "1:1")).await;
    assert_eq!((answer.status, emu.billed()), (307, 0));
    assert_eq!(answer.header("location"), Some("http://127.0.0.1:9/again"));

    let (emu, pic) = with_fate(Fate::redirect(307, "not\na header")).await;
    let answer = call(&emu, &body(pic.url(), "1:1")).await;
    assert_eq!((answer.status, answer.header("location")), (307, None));
}

#[tokio::test]
async fn a_reset_comes_before_any_byte_and_is_billed() {
    let (emu, pic) = with_fate(Fate::judge().reset()).await;
    let request = post(emu.addr(), &body(pic.url(), "1:1"));
    let mut stream = TcpStream::connect(emu.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let error = stream.read_to_end(&mut answer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(answer.is_empty());
    assert_eq!(emu.billed(), 1);
    let received = &emu.received()[0];
    assert_eq!((received.status, received.billed), (None, true));
    emu.finish();
}

#[tokio::test]
async fn a_cut_off_answer_promises_more_than_it_sends() {
    for fate in [Fate::judge().cut_off(), Fate::raw(200, "text/plain", "").cut_off()] {
        let (emu, pic) = with_fate(fate).await;
        let answer = call(&emu, &body(pic.url(), "1:1")).await;
        let promised: usize = answer.header("content-length").unwrap().parse().unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body.len(), if promised == 1 { 0 } else { promised / 2 });
        assert!(promised > answer.body.len());
        emu.finish();
    }
}

#[tokio::test]
async fn a_late_answer_is_late_and_fates_compose() {
    let late = Duration::from_millis(120);
    let (emu, pic) =
        with_fate(Fate::error_with_usage(500, "InternalError").late(late).cut_off()).await;
    let begun = Instant::now();
    let answer = call(&emu, &body(pic.url(), "1:1")).await;
    assert!(begun.elapsed() >= late);
    assert_eq!((answer.status, emu.billed()), (500, 1));
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
}

#[tokio::test]
async fn a_client_that_hangs_up_is_billed_all_the_same() {
    let emu = start(Emulator::builder()).await;
    // The picture's host answers only after the client has gone.
    let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/face.png", host.local_addr().unwrap());
    let pic = emu.elsewhere(&url);
    let mut client = TcpStream::connect(emu.addr()).await.unwrap();
    client.write_all(post(emu.addr(), &body(&url, "1:1")).as_bytes()).await.unwrap();
    let (mut fetch, _) = host.accept().await.unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((emu.calls_for(&pic), emu.billed()), (1, 0));
    let file = Picture::png(400, 400);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", file.body().len());
    fetch.write_all(head.as_bytes()).await.unwrap();
    fetch.write_all(file.body()).await.unwrap();
    until(|| emu.billed_for(&pic) == 1).await;
    assert_eq!(emu.received()[0].status, Some(200));
    emu.finish();
}

#[tokio::test]
async fn fates_are_taken_in_order_and_for_pictures_elsewhere_too() {
    let emu = start(Emulator::builder().rps(None)).await;
    let pic = emu.elsewhere("https://example.com/a.jpg?Signature=x");
    emu.script(&pic, [Fate::throttled(), Fate::refused_by_model()]);
    emu.script(&pic, [Fate::boxes([1.0; 4], [2.0; 4])]);
    for status in [429, 200, 200] {
        assert_eq!(call(&emu, &body(pic.url(), "1:1")).await.status, status);
    }
    assert_eq!((emu.calls_for(&pic), emu.billed_for(&pic)), (3, 2));
    emu.finish();
}

// ---- pictures

#[tokio::test]
async fn pictures_are_served_by_range() {
    let emu = start(Emulator::builder()).await;
    let bytes: Vec<u8> = (0..=99).collect();
    let pic = emu.serve("/a", Picture::bytes("image/png", bytes.clone()));
    let whole = emu.serve("/b", Picture::bytes("image/png", bytes.clone()).ignoring_range());
    let etag = get(&emu, "/a", "").await.header("etag").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'));
    for (path, range, status, content_range, body) in [
        ("/a", "", 200, None, &bytes[..]),
        ("/a?Expires=1", "range: bytes=0-9\r\n", 206, Some("bytes 0-9/100"), &bytes[..10]),
        ("/a", "range: bytes=90-\r\n", 206, Some("bytes 90-99/100"), &bytes[90..]),
        ("/a", "range: bytes=90-200\r\n", 206, Some("bytes 90-99/100"), &bytes[90..]),
        ("/a", "range: bytes=-5\r\n", 206, Some("bytes 95-99/100"), &bytes[95..]),
        ("/a", "range: bytes=100-\r\n", 416, Some("bytes */100"), &[]),
        ("/a", "range: bytes=0-1,4-5\r\n", 200, None, &bytes[..]),
        ("/a", "range: bytes=0-9\r\nif-range: \"other\"\r\n", 200, None, &bytes[..]),
        ("/b", "range: bytes=0-9\r\n", 200, None, &bytes[..]),
    ] {
        let answer = get(&emu, path, range).await;
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(answer.header("content-type"), Some("image/png"));
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
        assert_eq!(answer.body, body, "{range}");
    }
    let held = format!("range: bytes=0-9\r\nif-range: {etag}\r\n");
    assert_eq!(get(&emu, "/a", &held).await.status, 206);
    assert_eq!((emu.fetches_of(&pic), emu.fetches_of(&whole)), (10, 1));
    assert_eq!((emu.calls(), emu.billed()), (0, 0));

    emu.serve("/a", Picture::bytes("image/png", vec![1]));
    assert_ne!(get(&emu, "/a", "").await.header("etag"), Some(etag.as_str()));
    assert_eq!(emu.fetches_of(&pic), 11, "another picture under the path counts on");
    emu.finish();
}

#[tokio::test]
async fn other_things_are_served_whole() {
    let emu = start(Emulator::builder()).await;
    emu.serve("/gone", Picture::status(410));
    emu.serve("/to", Picture::redirect("/gone"));
    emu.serve("/page", Picture::html());
    let gone = get(&emu, "/gone", "range: bytes=0-3\r\n").await;
    assert_eq!((gone.status, gone.header("content-type")), (410, Some("text/html")));
    assert_eq!(gone.header("content-range"), None);
    let to = get(&emu, "/to", "").await;
    assert_eq!((to.status, to.header("location")), (302, Some("/gone")));
    let page = get(&emu, "/page", "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    emu.finish();
}

// ---- what nobody scripted

#[tokio::test]
async fn finish_tells_what_nobody_scripted() {
    for (name, method, path, status, found) in [
        ("unserved", "GET", "/nope?secret=1", 404, "GET /nope: nobody"),
        ("method", "GET", ENDPOINT, 404, "nobody serves this path"),
        ("path", "POST", "/api/v1/services/other", 404, "POST /api/v1/services/other"),
        ("head", "HEAD", "/face.png", 405, "HEAD /face.png: pictures"),
    ] {
        let emu = start(Emulator::builder()).await;
        emu.serve("/face.png", Picture::png(400, 400));
        let answer = send(emu.addr(), method, path, "", "").await.unwrap();
        assert_eq!(answer.status, status, "{name}");
        let text = finish_panics(&emu);
        assert!(text.contains(found) && !text.contains("secret"), "{name}: {text}");
    }

    let emu = start(Emulator::builder()).await;
    let missing = format!("http://{}/missing.png", emu.addr());
    let answer = call(&emu, &body(&missing, "1:1")).await;
    assert_eq!(answer.error(), (400, "InvalidURL".to_owned()));
    assert!(finish_panics(&emu).contains("does not serve /missing.png"));

    let (emu, _pic) = with_fate(Fate::throttled()).await;
    assert!(finish_panics(&emu).contains("1 fates of /face.png were never taken"));

    let emu = start(Emulator::builder()).await;
    let (_other, foreign) = with_fate(Fate::judge()).await;
    emu.script(&foreign, [Fate::judge()]);
    assert!(finish_panics(&emu).contains("a picture of another emulator"));
}

#[tokio::test]
#[should_panic(expected = "the emulator saw what nobody scripted")]
async fn finish_panics_in_a_test() {
    let (emu, _pic) = with_fate(Fate::judge()).await;
    emu.finish();
}

#[tokio::test]
async fn forgiving_keeps_no_notes() {
    let emu = start(Emulator::builder().forgiving()).await;
    let pic = emu.serve("/face.png", Picture::png(400, 400));
    assert_eq!(get(&emu, "/nope", "").await.status, 404);
    assert_eq!(call(&emu, &body(pic.url(), "1:1")).await.status, 200);
    assert_eq!((emu.calls(), emu.billed(), emu.billed_for(&pic)), (1, 1, 1));
    assert!(emu.received().is_empty() && emu.unscripted().is_empty());
    emu.finish();
}

// ---- the server itself

#[tokio::test]
async fn it_listens_on_loopback_only_and_stops_when_dropped() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = Emulator::builder().listen(everywhere).start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    let emu = start(Emulator::builder()).await;
    let address = emu.addr();
    assert_eq!(emu.base_url(), format!("http://{address}/api/v1"));
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(get(&emu, "/", "").await.status, 404);
    drop(emu);
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_connection_carries_several_requests() {
    let emu = start(Emulator::builder()).await;
    emu.serve("/a", Picture::bytes("image/png", vec![7; 3]));
    let mut stream = TcpStream::connect(emu.addr()).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(&[7; 3]) {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
    }
    emu.finish();
}

#[test]
fn it_can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Emulator>();
    shared::<Served>();
    shared::<Fate>();
    shared::<Picture>();
}

// ---- helpers

const ENDPOINT: &str = "/api/v1/services/aigc/image2video/face-detect";

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and code of an error answer, whose keys must be the documented ones.
    fn error(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(keys(&json), ["code", "message", "request_id"]);
        (self.status, json["code"].as_str().unwrap().to_owned())
    }
}

async fn start(builder: EmulatorBuilder) -> Emulator {
    builder.start().await.unwrap()
}

async fn with_fate(fate: Fate) -> (Emulator, Served) {
    let emu = start(Emulator::builder()).await;
    let pic = emu.serve("/face.png", Picture::png(400, 400));
    emu.script(&pic, [fate]);
    (emu, pic)
}

fn body(image_url: &str, ratio: &str) -> Value {
    json!({
        "model": "emo-detect-v1",
        "input": {"image_url": image_url},
        "parameters": {"ratio": ratio},
    })
}

async fn call(emu: &Emulator, body: &Value) -> Answer {
    let headers = "authorization: Bearer sk-test\r\ncontent-type: application/json\r\n";
    send(emu.addr(), "POST", ENDPOINT, headers, &body.to_string()).await.unwrap()
}

async fn get(emu: &Emulator, path: &str, headers: &str) -> Answer {
    send(emu.addr(), "GET", path, headers, "").await.unwrap()
}

fn post(address: SocketAddr, body: &Value) -> String {
    let headers = "authorization: Bearer sk-test\r\ncontent-type: application/json\r\n";
    request(address, "POST", ENDPOINT, headers, &body.to_string())
}

fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let request = request(address, method, path, headers, body);
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Ok(Answer { status: head[9..12].parse().unwrap(), head, body: answer[end + 4..].to_vec() })
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn finish_panics(emu: &Emulator) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| emu.finish())).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

async fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
