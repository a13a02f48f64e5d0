//! An image is its bytes: one image is paid for once whatever its URL, and no other gets its verdict.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use emo_preflight::emulator::{Fate, Picture};
use emo_preflight::{AspectRatio, Report, RunOptions, Source};
use futures_util::stream::{self, StreamExt as _};

use super::scene::{Scene, code};
use crate::common::{
    Origin, Request, Step, answer, chunked, gzip, icc_jpeg, image, jpeg, png, ranged, ranged_with,
    whole,
};

/// A file on an origin that can be exchanged.
#[derive(Clone)]
struct Files(Arc<Mutex<Vec<u8>>>);

impl Files {
    fn new(file: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(file.to_vec())))
    }

    fn put(&self, file: &[u8]) {
        *self.0.lock().unwrap() = file.to_vec();
    }

    /// An origin that answers whatever URL with the file, as `how` does.
    async fn serve(
        &self,
        how: impl Fn(&Request, &[u8]) -> Vec<Step> + Send + Sync + 'static,
    ) -> Origin {
        let files = self.clone();
        Origin::start(move |request| {
            let file = files.0.lock().unwrap().clone();
            match request.header("user-agent") {
                // The service's own download is not what these tests are about.
                Some(agent) if agent.starts_with("emo-preflight/") => how(request, &file),
                _ => whole(&file),
            }
        })
        .await
    }
}

/// A verdict on what is no image behind its header.
fn passes() -> Fate {
    Fate::boxes([150.0, 150.0, 250.0, 250.0], [100.0, 100.0, 300.0, 300.0])
}

/// As another process asks.
async fn check(scene: &Scene, url: &str) -> Report {
    let report = scene.gate().await.check(Source::url(url)).await.unwrap();
    assert_eq!(report.verdict.as_str(), "accepted", "{url}: {report:?}");
    report
}

fn tagged(request: &Request, file: &[u8]) -> Vec<Step> {
    let sum: u64 = file.iter().enumerate().map(|(n, byte)| (n as u64 + 1) * u64::from(*byte)).sum();
    ranged_with(request, file, &[&format!("ETag: \"{sum}\"")])
}

#[tokio::test]
async fn one_image_is_paid_for_once_whatever_its_url() {
    let origin = Files::new(&image()).serve(ranged).await;
    let mirror = Files::new(&image()).serve(|_, file| whole(file)).await;
    let scene = Scene::new().await;
    let first = origin.url("photos/s.jpg");
    let named = scene.emulator.elsewhere(&first);
    scene.emulator.script(&named, [passes(), passes()]);
    assert!(!check(&scene, &first).await.from_ledger);
    for url in [
        origin.url("photos/s.jpg"),
        origin.url("photos/s.jpg?auth_key=1790000000-0-0-0123456789abcdef"),
        origin.url("photos/s.jpg?sign=0123abcd&t=6ab0f1c2"),
        origin.url("photos/s.jpg?hdnts=exp=1~hmac=ab"),
        origin.url("photos/s.jpg?ex=1&is=2&hm=3&"),
        origin.url("photos/s.jpg?token=BOB&e=jpg"),
        origin.url("photos/x/../s.jpg"),
        origin.url("头像.jpg"),
        origin.url("%E5%A4%B4%E5%83%8F.jpg"),
        mirror.url("elsewhere"),
    ] {
        let report = check(&scene, &url).await;
        assert!(report.from_ledger, "{url}");
        let is_written_alike = url == first || url.contains("/x/../");
        let other = Some(first.as_str()).filter(|_| !is_written_alike);
        assert_eq!(report.same_as.as_deref(), other, "{url}");
    }
    // The label decides nothing, in either direction.
    let gate = scene.gate().await;
    for (url, label) in [(&first, "7"), (&mirror.url("b"), "7"), (&first, "8")] {
        let labelled = Source::url(url).image_id(label);
        assert!(gate.check(labelled).await.unwrap().from_ledger, "{url} {label}");
    }
    assert_eq!(scene.emulator.calls(), 1);
    // Another ratio is another question.
    let half = Source::url(first).ratio(AspectRatio::Portrait);
    assert!(!gate.check(half).await.unwrap().from_ledger);
    assert_eq!(scene.emulator.calls(), 2);
}

/// A WebP of one profile in front, and of padding behind.
fn webp(person: u8) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x20\0\0\0".to_vec();
    file.extend([0x7f, 2, 0, 0x1f, 3, 0]); // 640 × 800, less one each
    for (name, bytes) in [
        (b"ICCP", vec![9; 30_000]),
        (b"VP8 ", [b"\x10\0\0\x9d\x01\x2a\x80\x02\x20\x03", &vec![person; 40_000][..]].concat()),
        (b"XMP ", vec![b' '; 8_000]),
    ] {
        file.extend(name);
        file.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        file.extend(bytes);
    }
    let riff = u32::try_from(file.len() - 8).unwrap().to_le_bytes();
    file.splice(4..8, riff);
    file
}

/// A BMP with white borders, of one length whoever is on it.
fn bordered_bmp(person: u8) -> Vec<u8> {
    let mut file = Picture::bmp(420, 400).body().to_vec();
    let pixels = file.len() - 54;
    file[54..].fill(255);
    file[54 + pixels / 3..54 + pixels / 3 + 60_000].fill(person);
    file
}

/// A part, with what the origin takes for the whole's length.
fn part_of(request: &Request, file: &[u8], total: fn(usize, usize) -> usize) -> Vec<Step> {
    let Some((first, last)) = request.range() else { return whole(file) };
    let last = last.min(file.len() - 1);
    let range = format!("Content-Range: bytes {first}-{last}/{}", total(first, last));
    answer("206 Partial Content", &[&range], &file[first..=last])
}

/// Only the first part has a tag, as where replicas answer in turn.
fn tagged_once(request: &Request, file: &[u8]) -> Vec<Step> {
    match request.range() {
        Some((0, _)) => ranged_with(request, file, &["ETag: \"1\""]),
        _ => ranged(request, file),
    }
}

#[tokio::test]
async fn another_image_gets_no_old_verdict() {
    let one_start = || {
        [0, 1].map(|person| {
            let mut file = jpeg(640, 800, 0, 60_000);
            file[50_000..].fill(person);
            file
        })
    };
    let with_profile = |person: u8| {
        let mut file = icc_jpeg(|_| 1_000);
        let end = file.len();
        file[end - 40_000..].fill(person);
        file
    };
    type How = fn(&Request, &[u8]) -> Vec<Step>;
    let no_length: How = |_, file| chunked("200 OK", &[], file, 1_000);
    let no_ranges: How = |_, file| whole(file);
    for (name, how, files) in [
        ("BMP with white borders", ranged as How, [1, 2].map(bordered_bmp)),
        ("the same, with a tag", tagged, [1, 2].map(bordered_bmp)),
        ("WebP between profile and padding", ranged, [1, 2].map(webp)),
        ("JPEG behind a profile", ranged, [1, 2].map(with_profile)),
        ("the same without ranges", no_ranges, [1, 2].map(with_profile)),
        ("the same without length", no_length, [1, 2].map(with_profile)),
        ("one start, one length, no tag", ranged, one_start()),
        ("a part's length as the whole's", |r, f| part_of(r, f, |a, z| z + 1 - a), one_start()),
        ("a part's end as the whole's", |r, f| part_of(r, f, |_, z| z + 1), one_start()),
        ("a tag on the first part only", tagged_once, one_start()),
    ] {
        let store = Files::new(&files[0]);
        let origin = store.serve(how).await;
        let scene = Scene::new().await;
        let image = scene.emulator.elsewhere(&origin.url("photo"));
        scene.emulator.script(&image, [passes(), passes()]);
        // A, B, and A again at one URL: each is paid for once.
        for (n, calls) in [(0, 1), (1, 2), (0, 2), (1, 2)] {
            store.put(&files[n]);
            let report = check(&scene, image.url()).await;
            assert_eq!(scene.emulator.calls(), calls, "{name}: {n} {report:?}");
        }
    }
}

/// `[requests, bytes]` that a check takes from the origin.
async fn taken(scene: &Scene, url: &str) -> [u64; 2] {
    let fetch = check(scene, url).await.fetch.unwrap();
    [u64::from(fetch.requests), fetch.bytes]
}

#[tokio::test]
async fn what_it_takes_to_know_an_image() {
    let small = png(640, 800, 9_000);
    let large = png(640, 800, 2_000_000);
    let bmp = bordered_bmp(1);
    let all = bmp.len() as u64;
    let mut huge = Picture::bmp(1_000, 500).body().to_vec();
    huge[100] = 7;
    for (name, file, first, without_tag) in [
        ("small", &small, [2, 9_000], [2, 9_000]),
        ("large", &large, [3, 3 * 4_096], [3, 3 * 4_096]),
        ("BMP", &bmp, [2, all], [2, all]),
        ("BMP of more than a MiB", &huge, [16, 16 * 4_096], [16, 16 * 4_096]),
    ] {
        for (has_tag, again) in [(true, [1, 4_096]), (false, without_tag)] {
            let how = if has_tag { tagged } else { ranged };
            let origin = Files::new(file).serve(how).await;
            let scene = Scene::new().await;
            let image = scene.emulator.elsewhere(&origin.url("photo"));
            scene.emulator.script(&image, [passes()]);
            assert_eq!(taken(&scene, image.url()).await, first, "{name} {has_tag}");
            assert_eq!(taken(&scene, image.url()).await, again, "{name} {has_tag}");
            // At a URL that was not met before.
            let other = taken(&scene, &origin.url("photo?again")).await;
            assert_eq!(other, first, "{name} {has_tag}");
        }
    }
}

/// It is one image whichever way its bytes come.
#[tokio::test]
async fn one_content_whichever_way_it_comes() {
    let file = jpeg(640, 800, 30_000, 1_300_000);
    type How = fn(&Request, &[u8]) -> Vec<Step>;
    let scene = Scene::new().await;
    let mut origins = Vec::new();
    for (name, how) in [
        ("ranges", ranged as How),
        ("whole", |_, file| whole(file)),
        ("no length", |_, file| chunked("200 OK", &[], file, 60_000)),
        ("gzip", |_, file| answer("200 OK", &["Content-Encoding: gzip"], &gzip(file))),
        ("no total", |request, file| {
            let Some((first, last)) = request.range() else { return whole(file) };
            let range = format!("Content-Range: bytes {first}-{last}/*");
            answer("206 Partial Content", &[&range], &file[first..=last])
        }),
        ("a tag for each answer", |request, file| {
            ranged_with(request, file, &[&format!("ETag: \"{}\"", request.index)])
        }),
        ("ranges once", |request, file| match request.index {
            0 => ranged(request, file),
            _ => whole(file),
        }),
    ] {
        let origin = Files::new(&file).serve(how).await;
        if origins.is_empty() {
            let image = scene.emulator.elsewhere(&origin.url("photo"));
            scene.emulator.script(&image, [passes()]);
        }
        let report = check(&scene, &origin.url("photo")).await;
        assert_eq!(report.from_ledger, !origins.is_empty(), "{name}: {report:?}");
        origins.push(origin);
    }
    assert_eq!(scene.emulator.calls(), 1);
}

#[tokio::test]
async fn what_has_no_content_is_not_called_for() {
    let file = jpeg(640, 800, 0, 300_000);
    let counter = AtomicUsize::new(0);
    let origin = Origin::start(move |request| match request.path.as_str() {
        // Another file at each request.
        "/changes" => {
            let n = counter.fetch_add(1, Ordering::Relaxed);
            ranged(request, &jpeg(640, 800, 0, 300_000 + n))
        }
        "/long" => whole(&file),
        "/just" => chunked("200 OK", &[], &jpeg(640, 800, 0, 200_000), 1_000),
        "/endless" => chunked("200 OK", &[], &file, 1_000),
        "/middle" if request.range().is_some_and(|(first, _)| first > 0) => {
            answer("403 Forbidden", &[], b"")
        }
        _ => ranged(request, &file),
    })
    .await;
    let scene = Scene::new().await;
    let gate = scene
        .gate_with(|builder| {
            let mut probe = emo_preflight::ProbeOptions::default();
            probe.addresses = emo_preflight::AddressPolicy::Any;
            probe.max_image_bytes = 200_000;
            builder.probe(probe)
        })
        .await;
    for (path, says) in [
        ("changes", "changed_meanwhile"),
        ("long", "image_too_long"),
        ("endless", "image_too_long"),
        ("middle", "http_status"),
    ] {
        let report = gate.check(Source::url(origin.url(path))).await.unwrap();
        assert_eq!(report.verdict.as_str(), "undetermined", "{path}: {report:?}");
        assert_eq!(code(&report), Some(says), "{path}: {report:?}");
    }
    assert_eq!(scene.emulator.calls(), 0);
    assert_eq!(scene.number("SELECT COUNT(*) FROM attempt").await, 0);
    let just = scene.emulator.elsewhere(&origin.url("just"));
    scene.emulator.script(&just, [passes()]);
    let report = gate.check(Source::url(just.url())).await.unwrap();
    assert_eq!(report.verdict.as_str(), "accepted", "as long as it may be: {report:?}");
}

/// Of equal images at once, wherever they lie, one is called for.
#[tokio::test]
async fn one_image_twice_in_flight_is_one_call() {
    let scene = Scene::new().await;
    let drawing = Picture::bytes("image/png", Picture::png(420, 400).body().to_vec());
    let sources: Vec<Source> = (0..8)
        .map(|n| scene.emulator.serve(&format!("/{n}.png"), drawing.clone()))
        .map(|image| Source::url(image.url()))
        .collect();
    let gates = [scene.gate().await, scene.gate().await];
    let runs = gates.iter().map(|gate| {
        let run = gate.run(stream::iter(sources.clone()), RunOptions::default());
        run.collect::<Vec<Report>>()
    });
    let reports = futures_util::future::join_all(runs).await.concat();
    assert_eq!((scene.emulator.calls(), scene.emulator.billed()), (1, 1));
    let asked = reports.iter().find(|report| !report.from_ledger).unwrap();
    for report in &reports {
        assert_eq!(report.verdict, asked.verdict);
        let other = Some(&asked.source).filter(|source| **source != report.source);
        assert_eq!(report.same_as.as_ref(), other);
    }
}

/// What may have been billed is not asked about at another URL either.
#[tokio::test]
async fn an_unknown_bill_is_the_images() {
    let scene = Scene::new().await;
    let drawing = Picture::bytes("image/png", Picture::png(420, 400).body().to_vec());
    let [first, other] =
        ["/a.png", "/b.png"].map(|path| scene.emulator.serve(path, drawing.clone()));
    scene.emulator.script(&first, [Fate::judge().reset()]);
    super::scene::check(&scene.gate().await, &first).await;
    let report = super::scene::check(&scene.gate().await, &other).await;
    assert_eq!((code(&report), report.from_ledger), (Some("billing_unknown"), true));
    assert_eq!(report.same_as.as_deref(), Some(first.url()));
    let retry = scene.gate_with(|builder| builder.retry_unknown(true)).await;
    assert_eq!(super::scene::check(&retry, &other).await.verdict.as_str(), "accepted");
    assert_eq!(scene.emulator.calls(), 2);
}
