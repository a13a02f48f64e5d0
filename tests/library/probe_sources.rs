//! What a source may be: texts that are web addresses, texts that are not, and local files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::table::{self, probe, said};
use crate::common::{Origin, image, in_time, jpeg, png, ranged};
use emo_preflight::{AddressPolicy, Probe, ProbeOptions, Report, RunOptions, Source};
use futures_util::stream::{self, StreamExt as _};

#[tokio::test]
async fn what_is_no_web_address_is_refused_without_a_request() {
    let probe = probe(&table::options());
    for (text, mentions) in [
        ("", "http or https URL"),
        ("portrait.jpg", "local path"),
        ("/home/me/portrait.jpg", "local path"),
        (r"C:\portrait.jpg", "scheme"),
        ("//127.0.0.1/a.jpg", "local path"),
        ("ftp://127.0.0.1/a.jpg", "ftp"),
        ("file:///etc/passwd", "file"),
        ("data:image/png;base64,iVBORw0KGgo=", "data"),
        ("javascript:alert(1)", "javascript"),
        ("oss://bucket/a.jpg", "oss"),
        ("http://", "host"),
        ("https:///", "host"),
        ("http://:80/", "host"),
        ("http://user@/a", "host"),
        ("http://127.0.0.1:99999/a", "port"),
        ("http://127.0.0.1:65536/a", "port"),
        ("http://127.0.0.1:-1/a", "port"),
        ("http://127.0.0.1:x/a", "port"),
        ("http://[::1/a", "IPv6"),
        ("http://[fe80::1%25lo]/a", "IPv6"),
        ("http://256.0.0.1/a", "IPv4"),
        (r"http://127.0.0.1\@example.org/a.jpg", r"'\'"),
        (r"http://127.0.0.1/a\b.jpg", r"'\'"),
        (r"http://127.0.0.1/a.jpg?b=\", r"'\'"),
        (r"http://\127.0.0.1/a.jpg", r"'\'"),
        (r"http:\\127.0.0.1\a.jpg", "host"),
        (r"portraits\a.jpg", "local path"),
        ("http://a b/c", "' '"),
        ("http://127.0.0.1/a b", "' '"),
        (" http://127.0.0.1/a", "' '"),
        ("http://127.0.0.1/a\n", r"'\n'"),
        ("http://127.0.0.1/a\r\nHost: b", r"'\r'"),
        ("ht\ttp://127.0.0.1/a", r"'\t'"),
        ("http://127.0.0.1/a\0b", r"'\0'"),
        ("http://127.0.0.1/a\u{a0}b", r"'\u{a0}'"),
        ("http://xn--a/", "domain"),
        ("http://exa%00mple/", "domain"),
        ("http://exa%0ample/", "domain"),
    ] {
        let report = probe.check(Source::url(text)).await;
        assert_eq!(said(&report), "rejected_local/not_http_url", "{text:?}");
        let message = &report.reasons[0].message;
        assert!(message.contains(mentions), "{text:?}: {message:?} lacks {mentions:?}");
        assert_eq!((report.fetch, report.source.as_str()), (None, text));
    }
}

#[tokio::test]
async fn a_web_address_is_taken_in_any_case_and_script() {
    let origin = Origin::start(|r| ranged(r, &image())).await;
    let mut options = table::options();
    options.addresses = AddressPolicy::Any;
    let probe = probe(&options);
    let port = origin.port();
    for (text, path) in [
        (format!("HTTP://127.0.0.1:{port}/a.JPG"), "/a.JPG"),
        (format!("hTTp://LOCALHOST:{port}/"), "/"),
        (format!("http://127.0.0.1:{port}"), "/"),
        (format!("http://127.0.0.1:{port}?a=b"), "/?a=b"),
        (format!("http://ｌｏｃａｌｈｏｓｔ:{port}/全/像.jpg"), "/%E5%85%A8/%E5%83%8F.jpg"),
        // Signed addresses: nothing may be decoded and encoded again.
        (
            format!("http://127.0.0.1:{port}/a%2Fb%20c+d?Signature=x%2By%3D&Expires=1"),
            "/a%2Fb%20c+d?Signature=x%2By%3D&Expires=1",
        ),
        (format!("http://127.0.0.1:{port}/a#fragment"), "/a"),
        (format!("http://127.0.0.1:{port}/a|b^c[d]{{e}}?`f'"), "/a|b^c[d]%7Be%7D?`f%27"),
    ] {
        let report = probe.check(Source::url(&text)).await;
        assert_eq!(said(&report), "eligible", "{text}: {report:?}");
        assert_eq!(report.source, text);
        assert_eq!(origin.requests().last().unwrap().path, path);
    }
}

#[tokio::test]
async fn a_web_address_may_be_long_but_not_endless() {
    let origin = Origin::start(|r| ranged(r, &image())).await;
    let probe = probe(&table::options());
    let long = |part: &str| part.repeat(100_000);
    let port = origin.port();
    for (name, rest, path) in [
        ("60,000 characters", format!("{port}/{}", "a".repeat(60_000)), "a".repeat(60_000)),
        // None of this is asked for.
        ("a fragment", format!("{port}/a#{}", long("a")), "a".to_owned()),
        ("steps up", format!("{port}/{}a", long("../")), "a".to_owned()),
        ("zeros", format!("{}{port}/a", long("0")), "a".to_owned()),
    ] {
        let report = probe.check(Source::url(format!("http://127.0.0.1:{rest}"))).await;
        assert_eq!(said(&report), "eligible", "{name}");
        assert_eq!(origin.requests().last().unwrap().path, format!("/{path}"), "{name}");
    }

    let asked = origin.requests().len();
    let (user, host) = ("user:word@127.0.0.1", "127.0.0.1");
    for (name, endless) in [
        ("a query", format!("http://{host}:{port}/a?k={}", table::SECRET.repeat(8_000))),
        ("a path", format!("http://{host}:{port}/{}", long("a"))),
        ("a path in UTF-8", format!("http://{host}:{port}/{}", long("ü"))),
        ("a path behind a user", format!("http://{user}:{port}/{}", long("a"))),
        ("a host", format!("http://{}:{port}/a", long("a"))),
        ("a host of many labels", format!("http://{}a:{port}/a", long("a."))),
        ("a host in UTF-8", format!("http://{}:{port}/a", long("ü"))),
    ] {
        let report = probe.check(Source::url(&endless)).await;
        assert_eq!(said(&report), "rejected_local/not_http_url", "{name}");
        assert_eq!(report.fetch.unwrap_or_default().requests, 0, "{name}");
        assert!(report.reasons[0].message.len() < 200, "{name}: {report:?}");
        assert!(!table::shows_secret(&report), "{name}");
        assert_eq!(report.source, endless, "{name}");
    }
    assert_eq!(origin.requests().len(), asked);
}

#[tokio::test]
async fn a_bad_line_costs_itself_and_no_other() {
    let origin = Origin::start(|r| ranged(r, &image())).await;
    let sources = [
        Source::unreadable("{\"image_url\"", "the line is JSON"),
        Source::url(origin.url("a")),
        Source::url("no URL"),
    ];
    let run = probe(&table::options()).run(stream::iter(sources), RunOptions::default());
    let mut reports: Vec<Report> = run.collect().await;
    reports.sort_by_key(|report| report.index);
    let says: Vec<_> = reports.iter().map(said).collect();
    assert_eq!(says, ["rejected_local/bad_input", "eligible", "rejected_local/not_http_url"]);
    assert_eq!(reports[0].reasons[0].message, "the line is JSON");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    type Change = fn(&mut ProbeOptions);
    let changes: [(Change, &str); 6] = [
        (|o| o.per_host = 0, "requests per host"),
        (|o| o.timeout = Duration::ZERO, "local stage's time-out"),
        (|o| o.progress_timeout = Duration::ZERO, "progress"),
        (|o| o.max_header_bytes = 1_023, "1024"),
        (|o| o.user_agent = "a\nb".to_owned(), r#"printable ASCII, found "a\nb""#),
        (|o| o.user_agent = "porträts".to_owned(), r#"printable ASCII, found "porträts""#),
    ];
    for (change, mentions) in changes {
        let mut options = ProbeOptions::default();
        change(&mut options);
        let error = Probe::new(options).unwrap_err().to_string();
        assert!(error.contains(mentions), "{error:?} lacks {mentions:?}");
    }
}

#[tokio::test]
async fn settings_without_measure_work() {
    let origin = Origin::start(|r| ranged(r, &image())).await;
    let mut options = table::options();
    options.per_host = usize::MAX;
    options.timeout = Duration::MAX;
    options.max_header_bytes = u64::MAX;
    let report = probe(&options).check(Source::url(origin.url("a"))).await;
    assert_eq!(said(&report), "eligible", "{report:?}");
}

// ---- local files

#[tokio::test]
async fn local_files_are_read_where_that_was_asked_for() {
    let dir = Dir::new("local_files");
    fs::create_dir(dir.path("folder.png")).unwrap();
    let far = jpeg(640, 800, 3_000_000, 4_000_000);
    // 54 bytes of headers, 480 rows of 640 pixels in 24 bits.
    let mut bmp = vec![0; 54 + 480 * 640 * 3];
    for (at, bytes) in
        [(0, &b"BM"[..]), (14, &[40]), (18, &[0x80, 2]), (22, &[0xe0, 1]), (28, &[24])]
    {
        bmp[at..at + bytes.len()].copy_from_slice(bytes);
    }
    for (path, says, size) in [
        (dir.file("whole.bmp", &bmp), "eligible", Some((640, 480))),
        (dir.file("cut.bmp", &bmp[..bmp.len() - 1]), "rejected_local/corrupt_header", None),
        (dir.file("good.jpg", &image()), "eligible", Some((640, 800))),
        (dir.file("bad name ü.png", &image()), "eligible", Some((640, 800))),
        // No network, so no cap on what is taken from it.
        (dir.file("far.jpg", &far), "eligible", Some((640, 800))),
        (dir.file("small.png", &png(64, 64, 99)), "rejected_local/shortest_side_below_min", None),
        (dir.file("cut.jpg", &far[..5_000]), "rejected_local/corrupt_header", None),
        (dir.file("empty.jpg", b""), "rejected_local/not_an_image", None),
        (dir.file("page.jpg", b"<html></html>"), "rejected_local/not_an_image", None),
        (dir.path("missing.jpg"), "rejected_local/not_found", None),
        (dir.path("missing/too.jpg"), "rejected_local/not_found", None),
        (dir.path("folder.png"), "undetermined/unreadable_file", None),
        (dir.path("good.jpg/no-folder"), "undetermined/unreadable_file", None),
        (PathBuf::new(), "rejected_local/not_found", None),
        (PathBuf::from("a\0b"), "undetermined/unreadable_file", None),
    ] {
        let report = local(&path).await;
        assert_eq!(said(&report), says, "{path:?}: {report:?}");
        assert_eq!(report.fetch, None);
        if size.is_some() {
            assert_eq!(report.image.map(|image| (image.width, image.height)), size, "{path:?}");
        }
    }
    // Not asked for: not even whether the file is there is told.
    let report = probe(&table::options()).check(Source::url(text(&dir.path("good.jpg")))).await;
    assert_eq!(said(&report), "rejected_local/not_http_url");
    let mut options = table::options();
    options.local_files = true;
    // Asked for, and still a URL.
    let origin = Origin::start(|r| ranged(r, &image())).await;
    assert_eq!(said(&probe(&options).check(Source::url(origin.url("a"))).await), "eligible");
    let report = probe(&options).check(Source::url("file:///etc/passwd")).await;
    assert_eq!(said(&report), "rejected_local/not_http_url");
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_not_waited_for() {
    let dir = Dir::new("no_files");
    let pipe = dir.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let link = dir.path("link");
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path("socket")).unwrap();
    for path in [pipe, link, dir.path("socket"), "/dev/zero".into()] {
        let report = in_time("a report", local(&path)).await;
        assert_eq!(said(&report), "undetermined/unreadable_file", "{path:?}");
        assert!(report.reasons[0].message.contains("no regular file"), "{report:?}");
    }
}

async fn local(path: &Path) -> Report {
    let mut options = ProbeOptions::default();
    options.local_files = true;
    probe(&options).check(Source::url(text(path))).await
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A directory of a test's own; it goes with its test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        // A socket's path must be short, so not below the build's directory.
        let name = format!("emo-preflight-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
