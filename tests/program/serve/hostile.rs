//! Clients that do what none should: each ends as documented, and the healthy ones beside them are
//! served.

use std::time::{Duration, Instant};

use emo_preflight::serve::ServeOptions;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::scene::{PATH, Running, Scene, scene, scene_with, until};
use crate::rig::{PATIENCE, portrait};

/// Sends these parts, each a tenth of a second behind the other, and reads what comes until the end.
async fn talk(server: &Running, parts: impl IntoIterator<Item = &[u8]>) -> String {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sending = async {
        for part in parts {
            if writer.write_all(part).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        let mut came = Vec::new();
        let _ = reader.read_to_end(&mut came).await;
        String::from_utf8_lossy(&came).into_owned()
    };
    tokio::select! {
        () = sending => unreachable!(),
        came = tokio::time::timeout(PATIENCE, reading) => came.expect("the connection ends"),
    }
}

/// Sends this and reads the first line of the answer; some connections stay open behind it.
async fn status_of(server: &Running, sent: &str) -> String {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader);
    let reading = tokio::time::timeout(PATIENCE, reader.read_line(&mut line));
    // The server may close before it has all of it.
    let (read, _) = tokio::join!(reading, writer.write_all(sent.as_bytes()));
    read.expect("an answer comes").unwrap();
    line.trim_end().to_owned()
}

/// The first line of an answer.
fn status(answer: &str) -> &str {
    answer.split("\r\n").next().unwrap_or_default()
}

#[tokio::test]
async fn what_is_too_long_or_not_http_gets_a_status() {
    let Scene { emu, server } = scene().await;
    let long_header =
        format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(3_000));
    let long_body = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: 300000\r\n\r\n{}",
        " ".repeat(300_000)
    );
    let endless = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{}",
        format!("10000\r\n{}\r\n", " ".repeat(0x1_0000)).repeat(8)
    );
    for (sent, expected) in [
        (long_header.as_str(), "HTTP/1.1 431 Request Header Fields Too Large"),
        (&many, "HTTP/1.1 431 Request Header Fields Too Large"),
        (&long_path, "HTTP/1.1 431 Request Header Fields Too Large"),
        (&long_body, "HTTP/1.1 413 Payload Too Large"),
        (&endless, "HTTP/1.1 413 Payload Too Large"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01", "HTTP/1.1 400 Bad Request"),
        ("GET / HTTP/9.9\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported"),
    ] {
        let start: String = sent.chars().take(40).collect();
        assert_eq!(status_of(&server, sent).await, expected, "{start:?}");
    }
    assert_eq!(emu.calls(), 0);
    emu.finish();
}

#[tokio::test]
async fn requests_in_one_write_are_answered_in_their_order() {
    let Scene { emu, server } = scene().await;
    let requests = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /api/v1/x HTTP/1.1\r\nhost: a\r\n\r\n\
                    GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = talk(&server, [requests.as_bytes()]).await;
    let at = |text: &str| answer.find(text).unwrap_or_else(|| panic!("no {text} in {answer}"));
    assert!(at("reachable") < at("Preflight.NotServed"));
    assert!(at("Preflight.NotServed") < at("emo_preflight_calls_total"));
    emu.finish();
}

#[tokio::test]
async fn a_client_that_closes_its_half_has_hung_up() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", portrait());
    emu.script(&image, [emo_preflight::emulator::Fate::judge().late(Duration::from_secs(1))]);
    let body = format!(
        r#"{{"model":"emo-detect-v1","input":{{"image_url":"{}"}},"parameters":{{"ratio":"1:1"}}}}"#,
        image.url()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    until("the call has left", || emu.calls() == 1).await;
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
    // Its answer is not lost.
    assert_eq!(server.detect(image.url()).await.verdict.as_deref(), Some("accepted"));
    assert_eq!(emu.billed(), 1);
    emu.finish();
}

/// A byte now and then does not keep a connection: what counts is the whole.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_without_end_are_told_so_after_their_time() {
    let within = Duration::from_secs(1);
    let mut options = ServeOptions::default();
    (options.timing.head_within, options.timing.body_within) = (within, within);
    let Scene { emu, server } = scene_with(|gate| gate, options).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: 50000\r\n\r\n"
    );
    let slow = async |start: &[u8], more: &'static [u8]| {
        let begun = Instant::now();
        let answer = talk(&server, std::iter::once(start).chain(std::iter::repeat(more))).await;
        assert_eq!(status(&answer), "HTTP/1.1 408 Request Timeout");
        assert!(answer.contains("must arrive within 1s, found"), "{answer}");
        assert!(begun.elapsed() >= within, "{:?}", begun.elapsed());
    };
    let healthy = async {
        let image = emu.serve("/face.jpg", portrait());
        assert_eq!(server.detect(image.url()).await.status, 200);
    };
    tokio::join!(
        slow(b"GET /healthz HTTP/1.1\r\nhost: ", b"a"),
        slow(head.as_bytes(), b" "),
        async { assert_eq!(talk(&server, []).await, "", "an idle one ends without words") },
        healthy
    );
    emu.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_so_until_another_ends() {
    let mut options = ServeOptions::default();
    // None is let go for its time.
    options.timing.head_within = 2 * PATIENCE;
    let Scene { emu, server } = scene_with(|gate| gate, options).await;
    let mut open = Vec::new();
    while open.len() < 1_024 {
        open.push(TcpStream::connect(server.address).await.unwrap());
    }
    let request = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = talk(&server, [&request[..]]).await;
    assert_eq!(status(&answer), "HTTP/1.1 503 Service Unavailable");
    assert!(answer.contains("Preflight.Busy"), "{answer}");
    drop(open);
    let request = std::str::from_utf8(request).unwrap();
    let begun = Instant::now();
    while status_of(&server, request).await != "HTTP/1.1 200 OK" {
        assert!(begun.elapsed() < PATIENCE, "none has ended");
    }
    emu.finish();
}

/// A client that takes nothing of its answer is let go.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_let_go() {
    let mut options = ServeOptions::default();
    options.timing.most_blocked = Duration::from_millis(500);
    let Scene { emu, server } = scene_with(|gate| gate, options).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /v1/probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/jsonl\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let line = format!("ftp://{}\n", "x".repeat(60_000));
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    let sending = async { while stream.write_all(chunk.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, sending).await.expect("its connection ends");
    emu.finish();
}
