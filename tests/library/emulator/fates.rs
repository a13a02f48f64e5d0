//! Scripted misbehaviour: bytes and bill.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, Fate, Picture};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::wire::{body, call, post, start, with_fate};

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
    // The image's host answers only after the client has gone.
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
async fn fates_are_taken_in_order_and_for_images_elsewhere_too() {
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

async fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
