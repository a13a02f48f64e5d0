//! Images as an origin serves them.

use emo_preflight::emulator::{Emulator, Picture};

use super::wire::{get, start};

#[tokio::test]
async fn images_are_served_by_range() {
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
    assert_eq!(emu.fetches_of(&pic), 11, "another image under the path counts on");
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
