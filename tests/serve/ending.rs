//! How requests and servers end before their answer.

use std::time::Duration;

use emo_preflight::emulator::{Fate, Picture};
use emo_preflight::serve::{ServeOptions, serve};

use crate::scene::{Scene, gate_on, scene, scene_with, until};

#[tokio::test]
async fn a_client_that_hangs_up_before_its_call_left_makes_none() {
    // The first call takes the slot of the next five seconds.
    let Scene { emu, server } =
        scene_with(|gate| gate.calls_per_second(0.2), ServeOptions::default()).await;
    let first = emu.serve("/first.jpg", Picture::jpeg(640, 800));
    let image = emu.serve("/face.jpg", Picture::jpeg(640, 800));
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
    let image = emu.serve("/face.jpg", Picture::jpeg(640, 800));
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
        scene_with(|gate| gate.calls_per_second(0.2), ServeOptions::default()).await;
    let under_way = emu.serve("/under-way.jpg", Picture::jpeg(640, 800));
    let waiting = emu.serve("/waiting.jpg", Picture::jpeg(640, 800));
    emu.script(&under_way, [Fate::judge().late(Duration::from_secs(2))]);
    let (emu, address) = (&emu, server.address);
    let paths = [under_way.url().to_owned(), waiting.url().to_owned()];
    let url = format!("http://{address}{}", crate::scene::PATH);
    let ask = |path: String| {
        let url = url.clone();
        tokio::spawn(async move { crate::scene::detect_at(&url, &path, "1:1").await })
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
    let image = emu.serve("/face.jpg", Picture::jpeg(640, 800));
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
