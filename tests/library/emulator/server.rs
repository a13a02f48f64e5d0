//! The server itself, and what it keeps notes of.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use emo_preflight::emulator::{Emulator, Fate, Picture, Served};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{ENDPOINT, body, call, get, send, start, with_fate};

#[tokio::test]
async fn finish_tells_what_nobody_scripted() {
    for (name, method, path, status, found) in [
        ("unserved", "GET", "/nope?secret=1", 404, "GET /nope: nobody"),
        ("method", "GET", ENDPOINT, 404, "nobody serves this path"),
        ("path", "POST", "/api/v1/services/other", 404, "POST /api/v1/services/other"),
        ("head", "HEAD", "/face.png", 405, "HEAD /face.png: images"),
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
    assert!(finish_panics(&emu).contains("an image of another emulator"));
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

fn finish_panics(emu: &Emulator) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| emu.finish())).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}
