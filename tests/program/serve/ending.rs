//! How requests and servers end before their answer.

use std::time::Duration;

use emo_preflight::emulator::Fate;
use emo_preflight::serve::{ServeOptions, serve};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::scene::{PATH, Scene, gate_on, scene, scene_with, until};
use crate::rig::portrait;

#[tokio::test]
async fn a_client_that_hangs_up_before_its_call_left_makes_none() {
    // The first call takes the slot of the next seconds.
    let Scene { emu, server } =
        scene_with(|gate| gate.calls_per_second(PACE), ServeOptions::default()).await;
    let first = emu.serve("/first.jpg", portrait());
    let image = emu.serve("/face.jpg", portrait());
    assert_eq!(server.detect(first.url()).await.status, 200);
    let hung_up = tokio::time::timeout(Duration::from_millis(500), server.detect(image.url()));
    assert!(hung_up.await.is_err());
    until("nobody waits", || server.gate.activity().waiting == 0).await;
    assert_eq!((emu.calls_for(&image), emu.calls()), (0, 1));
    emu.finish();
}

#[tokio::test]
async fn a_client_that_hangs_up_behind_its_call_gets_the_answer_when_it_asks_again() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", portrait());
    emu.script(&image, [Fate::judge().late(Duration::from_secs(1))]);
    let hung_up = tokio::time::timeout(Duration::from_millis(500), server.detect(image.url()));
    assert!(hung_up.await.is_err());
    let answer = server.detect(image.url()).await;
    assert_eq!((answer.status, answer.verdict.as_deref()), (200, Some("accepted")));
    assert_eq!(emu.calls(), 1);
    emu.finish();
}

#[tokio::test]
async fn at_its_end_a_server_answers_whose_call_has_left_and_refuses_the_others() {
    let Scene { emu, mut server } =
        scene_with(|gate| gate.calls_per_second(PACE), ServeOptions::default()).await;
    let under_way = emu.serve("/under-way.jpg", portrait());
    let waiting = emu.serve("/waiting.jpg", portrait());
    emu.script(&under_way, [Fate::judge().late(Duration::from_secs(2))]);
    let (emu, address) = (&emu, server.address);
    let paths = [under_way.url().to_owned(), waiting.url().to_owned()];
    let url = format!("http://{address}{}", super::scene::PATH);
    let ask = |path: String| {
        let url = url.clone();
        tokio::spawn(async move { super::scene::detect_at(&url, &path, "1:1").await })
    };
    let [first, second] = paths;
    let first = ask(first);
    until("the first call has left", || emu.calls() == 1).await;
    let second = ask(second);
    until("the second waits", || server.gate.activity().waiting == 1).await;
    let idle = tokio::net::TcpStream::connect(address).await.unwrap();
    server.stop();
    let second = second.await.unwrap();
    assert_eq!((second.status, second.code().as_str()), (503, "Preflight.Stopped"));
    let first = first.await.unwrap();
    assert_eq!((first.status, first.verdict.as_deref()), (200, Some("accepted")));
    server.ended().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    drop(idle);
    assert_eq!(emu.calls_for(&waiting), 0);
    emu.finish();
}

#[tokio::test]
async fn the_gate_of_a_server_that_has_ended_is_still_open() {
    let Scene { emu, mut server } = scene().await;
    let image = emu.serve("/face.jpg", portrait());
    let gate = server.gate.clone();
    server.stop();
    server.ended().await;
    let report = gate.check(emo_preflight::Source::url(image.url())).await.unwrap();
    assert_eq!(report.verdict.as_str(), "accepted");
    emu.finish();
}

#[tokio::test]
async fn a_server_that_would_call_itself_does_not_start() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://localhost:{}/api/v1", listener.local_addr().unwrap().port());
    let gate = gate_on(&base).build().await.unwrap();
    let started = serve(listener, gate, ServeOptions::default(), std::future::pending()).await;
    assert!(started.unwrap_err().to_string().contains("must not be this server itself"));
}

/// A request as its bytes.
fn request(image: &str) -> String {
    let body = format!(
        r#"{{"model":"emo-detect-v1","input":{{"image_url":"{image}"}},"parameters":{{"ratio":"1:1"}}}}"#
    );
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         \r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn bytes_behind_a_request_do_not_hide_that_the_client_hung_up() {
    let again = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    tokio::join!(
        hang_up_behind("\r\n", false),
        hang_up_behind("\r\n", true),
        hang_up_behind(again, false),
        hang_up_behind(again, true),
    );
}

async fn hang_up_behind(behind: &str, reset: bool) {
    let Scene { emu, server } =
        scene_with(|gate| gate.calls_per_second(PACE), ServeOptions::default()).await;
    let first = emu.serve("/first.jpg", portrait());
    let image = emu.serve("/face.jpg", portrait());
    assert_eq!(server.detect(first.url()).await.status, 200);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all((request(image.url()) + behind).as_bytes()).await.unwrap();
    until("its call waits", || server.gate.activity().waiting == 1).await;
    if reset {
        stream.set_zero_linger().unwrap();
    }
    drop(stream);
    until("nobody waits", || server.gate.activity().waiting == 0).await;
    assert_eq!(emu.calls(), 1);
    emu.finish();
}

/// Fewer than there are places, and more.
#[tokio::test]
async fn a_stream_whose_client_hung_up_makes_no_more_calls() {
    tokio::join!(hang_up_on_a_stream(3), hang_up_on_a_stream(70));
}

async fn hang_up_on_a_stream(count: usize) {
    // On a busy machine they may wait only after the next slot: then with slots further apart.
    for pace in [PACE, PACE / 10.0] {
        if hang_up_in_time(count, pace).await {
            return;
        }
    }
    panic!("the client hangs up before a second call");
}

/// Whether all waited before the next slot came.
async fn hang_up_in_time(count: usize, pace: f64) -> bool {
    let Scene { emu, server } =
        scene_with(|gate| gate.calls_per_second(pace), ServeOptions::default()).await;
    let images: Vec<_> = (0..=count).map(|n| emu.serve(&format!("/{n}.jpg"), portrait())).collect();
    // It takes the slot of the next seconds.
    assert_eq!(server.detect(images[count].url()).await.status, 200);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let lines: String = images[..count].iter().map(|image| format!("{}\n", image.url())).collect();
    let request = format!(
        "POST /v1/check HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-ndjson\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{lines}\r\n",
        lines.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let waiting = count.min(64) as u64;
    let all_wait = || server.gate.activity().waiting == waiting || emu.calls() > 1;
    until("its calls wait", all_wait).await;
    if emu.calls() > 1 {
        return false;
    }
    drop(stream);
    until("nobody waits", || server.gate.activity().waiting == 0).await;
    assert_eq!(emu.calls(), 1);
    emu.finish();
    true
}

#[tokio::test]
async fn at_its_end_a_server_waits_for_no_half_request_and_ends_no_stream_as_if_it_were_whole() {
    let Scene { emu, mut server } =
        scene_with(|gate| gate.calls_per_second(PACE), ServeOptions::default()).await;
    let first = emu.serve("/first.jpg", portrait());
    let waiting = emu.serve("/waiting.jpg", portrait());
    let mut half = TcpStream::connect(server.address).await.unwrap();
    let whole = request(first.url());
    half.write_all(&whole.as_bytes()[..whole.len() - 9]).await.unwrap();
    let lines = format!("{}\n{}\n", first.url(), waiting.url());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "POST /v1/check HTTP/1.1\r\nhost: a\r\ncontent-type: application/jsonl\r\n\
         content-length: {}\r\n\r\n{lines}",
        lines.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    until("one has its answer", || server.gate.spent().images == 1).await;
    until("the other waits", || server.gate.activity().waiting == 1).await;
    server.stop();
    let mut answer = String::new();
    half.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("Preflight.Stopped"),
        "{answer}"
    );
    let mut came = Vec::new();
    let _ = stream.read_to_end(&mut came).await;
    let came = String::from_utf8_lossy(&came).into_owned();
    assert_eq!(came.matches("\"accepted\"").count(), 1, "{came}");
    assert!(!came.ends_with("0\r\n\r\n"), "{came}");
    server.ended().await;
    assert_eq!(emu.calls(), 1);
    emu.finish();
}

/// A slot is 3.5 s behind the other: so long is waited for, and a test has time for what it does before.
const PACE: f64 = 0.3;
