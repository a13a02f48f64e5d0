//! Clients that do what none should: each ends as documented, and the healthy ones beside them are
//! served.

use std::time::{Duration, Instant};

use emo_preflight::emulator::Picture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::scene::{PATH, Running, Scene, scene};

/// Sends these parts, this far apart, and reads what comes until the end.
async fn talk(server: &Running, parts: &[&[u8]], pause: Duration) -> (String, Duration) {
    let begun = Instant::now();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sending = async {
        for part in parts {
            if writer.write_all(part).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
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
        came = reading => (came, begun.elapsed()),
    }
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
        let (answer, _) = talk(&server, &[sent.as_bytes()], Duration::ZERO).await;
        let start: String = sent.chars().take(40).collect();
        assert_eq!(status(&answer), expected, "{start:?}");
    }
    assert_eq!(emu.calls(), 0);
    emu.finish();
}

#[tokio::test]
async fn requests_in_one_write_are_answered_in_their_order() {
    let Scene { emu, server } = scene().await;
    let requests = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /api/v1/x HTTP/1.1\r\nhost: a\r\n\r\n\
                    GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let (answer, _) = talk(&server, &[requests.as_bytes()], Duration::ZERO).await;
    let at = |text: &str| answer.find(text).unwrap_or_else(|| panic!("no {text} in {answer}"));
    assert!(at("reachable") < at("Preflight.NotServed"));
    assert!(at("Preflight.NotServed") < at("emo_preflight_calls_total"));
    emu.finish();
}

#[tokio::test]
async fn a_client_that_closes_its_half_has_hung_up() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", Picture::jpeg(640, 800));
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
    super::scene::until("the call has left", || emu.calls() == 1).await;
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
    // Its answer is not lost.
    assert_eq!(server.detect(image.url()).await.verdict.as_deref(), Some("accepted"));
    assert_eq!(emu.billed(), 1);
    emu.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_idle_clients_are_let_go_and_healthy_ones_are_served_beside_them() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", Picture::jpeg(640, 800));
    assert_eq!(server.detect(image.url()).await.status, 200);
    let slow_head: Vec<&[u8]> = std::iter::once(&b"GET /healthz HTTP/1.1\r\nhost: "[..])
        .chain(std::iter::repeat_n(&b"a"[..], 60))
        .collect();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: 500\r\n\r\n"
    );
    let slow_body: Vec<&[u8]> =
        std::iter::once(head.as_bytes()).chain(std::iter::repeat_n(&b" "[..], 60)).collect();
    let second = Duration::from_secs(1);
    let idle = async {
        let begun = Instant::now();
        let mut open = Vec::new();
        for _ in 0..5_000 {
            open.push(TcpStream::connect(server.address).await.unwrap());
        }
        (open, begun.elapsed())
    };
    // While thousands do nothing, whoever asks is answered.
    let healthy = async {
        let begun = Instant::now();
        let mut slowest = Duration::ZERO;
        while begun.elapsed() < 5 * second {
            let asked = Instant::now();
            assert_eq!(server.detect(image.url()).await.status, 200);
            slowest = slowest.max(asked.elapsed());
        }
        slowest
    };
    let slow = async {
        tokio::join!(talk(&server, &slow_head, second), talk(&server, &slow_body, second))
    };
    let (first, (mut open, _), slowest) =
        tokio::join!(talk(&server, &[b"GET /healthz HTTP"], second), idle, healthy);
    // The oldest of those that asked nothing made room: this one among them.
    assert_eq!(first.0, "");
    assert!(slowest < 2 * second, "{slowest:?}");
    let mut closed = 0;
    for stream in &mut open {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut byte)).await;
        closed += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    assert!((3_900..=4_100).contains(&closed), "{closed} of 5,000 were closed");
    drop(open);
    let ((head_answer, head_took), (body_answer, body_took)) = slow.await;
    assert_eq!(status(&head_answer), "HTTP/1.1 408 Request Timeout");
    assert_eq!(status(&body_answer), "HTTP/1.1 408 Request Timeout");
    for took in [head_took, body_took] {
        assert!((25 * second..40 * second).contains(&took), "{took:?}");
    }
    emu.finish();
}
