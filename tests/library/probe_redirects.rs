//! Where the local stage may be led, and where it refuses to go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use crate::common::table::{self, check, probe, row, said};
use crate::common::{Origin, answer, head, image, ranged, redirect, refusing_port, status};
use emo_preflight::{AddressPolicy, ProbeOptions, Source, Verdict};

// ---- redirects

#[tokio::test]
async fn redirects_are_followed_five_times() {
    let by = |line: &'static str| {
        row(line, move |r| match r.index {
            0 => answer(line, &["Location: /b"], b"moved"),
            _ => ranged(r, &image()),
        })
        .requests(2)
        .redirects(1)
    };
    let times = |name, times: usize| {
        row(name, move |r| {
            if r.index < times { redirect(&format!("/{}", r.index)) } else { ranged(r, &image()) }
        })
    };
    let to = |name, location: &'static str| {
        row(name, move |r| match r.index {
            0 => answer("302 Found", &[location], b""),
            _ => ranged(r, &image()),
        })
        .requests(2)
        .redirects(1)
    };
    let outcomes = check([
        by("301 Moved Permanently"),
        by("302 Found"),
        by("303 See Other"),
        by("307 Temporary Redirect"),
        by("308 Permanent Redirect"),
        times("five", 5).requests(6).redirects(5),
        times("six", 6).says("undetermined/too_many_redirects").requests(6).redirects(5),
        row("in a circle", |_| redirect("?k=v"))
            .says("undetermined/too_many_redirects")
            .requests(6)
            .redirects(5),
        row("to and fro", |r| redirect(["/a", "/b"][r.index % 2]))
            .says("undetermined/too_many_redirects")
            .requests(6)
            .redirects(5),
        row("to where it is", |_| redirect(""))
            .says("undetermined/too_many_redirects")
            .requests(6)
            .redirects(5),
        to("relative to the directory", "Location: c/../b"),
        to("relative to the host", "Location: /b"),
        to("with blanks around", "Location:   /b  "),
        to("with a fragment", "Location: /b#there"),
        to("with a tab in it", "Location: /\tb"),
        to("given twice", "Location: /b\r\nLocation: http://10.0.0.1/"),
        row("with a fragment too long to be sent", |r| match r.index {
            0 => redirect(&format!("/b#{}", "a".repeat(100_000))),
            _ => ranged(r, &image()),
        })
        .requests(2)
        .redirects(1),
        // Further ranges go where the first was found.
        row("before a second range", |r| match r.path.as_str() {
            "/b" => ranged(r, &crate::common::jpeg(640, 800, 60_000, 90_000)),
            _ => redirect("/b"),
        })
        .requests(3)
        .redirects(1),
        row("at the second range", |r| match (r.path.as_str(), r.index) {
            (_, 1) => redirect("/b"),
            _ => ranged(r, &crate::common::jpeg(640, 800, 60_000, 90_000)),
        })
        .requests(3)
        .redirects(1),
    ])
    .await;
    for outcome in &outcomes[10..17] {
        assert_eq!(outcome.seen.requests[1].path, "/b");
    }
    assert_eq!(outcomes[17].seen.requests[2].path, "/b");
}

#[tokio::test]
async fn a_redirect_leads_to_a_web_address_or_nowhere() {
    let to = |name: &'static str, location: &'static str| {
        row(name, move |_| answer("302 Found", &[location], b""))
            .says("undetermined/bad_redirect")
            .requests(1)
    };
    check([
        row("no Location", |_| status("302 Found"))
            .says("undetermined/bad_redirect")
            .mentions("Location")
            .requests(1),
        to("a file", "Location: file:///etc/passwd").mentions("file"),
        to("data", "Location: data:image/png;base64,AAAA").mentions("data"),
        to("FTP", "Location: ftp://example.org/a.png").mentions("ftp"),
        to("a script", "Location: javascript:alert(1)"),
        to("gopher", "Location: gopher://127.0.0.1:6379/_x"),
        to("no host", "Location: http://"),
        to("no port that exists", "Location: http://127.0.0.1:99999/"),
        to("a broken address", "Location: http://[::1/"),
        to("a blank in the host", "Location: http://a b/"),
        to("a NUL in the host", "Location: http://a%00b/"),
        to("a newline in the host", "Location: http://a%0ab/"),
        to("an address with a scope", "Location: http://[fe80::1%25lo]/"),
        row("a NUL as it is", |_| redirect("/a\0b")).says("undetermined/network").requests(3),
    ])
    .await;
}

#[tokio::test]
async fn user_and_password_are_for_the_source_only() {
    let target = Origin::start(|r| ranged(r, &image())).await;
    let there = target.url("there");
    let origin = Origin::start(move |r| match r.path.as_str() {
        "/absolute" => redirect(&there),
        "/relative" => redirect("/same"),
        "/with" => redirect(&there.replace("//", "//other:word@")),
        _ => ranged(r, &image()),
    })
    .await;
    let probe = probe(&table::options());
    for path in ["absolute", "relative", "with", "direct"] {
        let url = origin.url(path).replace("//", "//us%65r:p%40ss@");
        let report = probe.check(Source::url(url)).await;
        assert_eq!(said(&report), "eligible", "{path}");
    }
    let sent = |origin: &Origin| -> Vec<_> {
        let sent =
            |r: crate::common::Request| (r.path.clone(), r.header("authorization").is_some());
        origin.requests().into_iter().map(sent).collect()
    };
    let expected = [
        ("/absolute", true),
        ("/relative", true),
        ("/same", false),
        ("/with", true),
        ("/direct", true),
    ];
    assert_eq!(sent(&origin), expected.map(|(path, sent)| (path.to_owned(), sent)));
    assert_eq!(sent(&target), vec![("/there".to_owned(), false); 2]);
    // user:p@ss
    assert_eq!(origin.requests()[0].header("authorization"), Some("Basic dXNlcjpwQHNz"));
}

#[tokio::test]
async fn a_redirect_cannot_write_lines_of_its_own_into_a_request() {
    let [outcome] = check([row("newlines", |r| match r.index {
        0 => redirect("/b%0d%0aX-Own: 1?c%00\td"),
        _ => ranged(r, &image()),
    })
    .requests(2)
    .redirects(1)])
    .await;
    let request = &outcome.seen.requests[1];
    assert_eq!(request.path, "/b%0d%0aX-Own:%201?c%00d");
    assert_eq!(request.header("x-own"), None);
}

#[tokio::test]
async fn a_report_is_no_longer_than_the_origin_deserves() {
    let long = "a".repeat(30_000);
    let to = |location: String| move |_: &crate::common::Request| redirect(&location);
    let (range, coding) =
        (format!("Content-Range: bytes {long}"), format!("Content-Encoding: {long}"));
    let outcomes = check([
        row("a redirect too many", to(format!("/{long}")))
            .says("undetermined/too_many_redirects")
            .redirects(5),
        row("a scheme", to(format!("{long}://example.org/"))).says("undetermined/bad_redirect"),
        row("a Content-Range", move |_| answer("206 Partial Content", &[&range], b"a"))
            .says("undetermined/http_status"),
        row("a coding", move |_| answer("200 OK", &[&coding], b"a"))
            .says("undetermined/encoded_body"),
    ])
    .await;
    for outcome in outcomes {
        let json = serde_json::to_string(&outcome.report).unwrap();
        assert!(json.len() < 1_000, "{} bytes: {json:.1000}", json.len());
    }
}

#[tokio::test]
async fn a_redirect_shows_no_secret() {
    let secret = table::SECRET;
    let to = |location: String| move |_: &crate::common::Request| redirect(&location);
    check([
        row("too many", to(format!("/b?sig={secret}")))
            .says("undetermined/too_many_redirects")
            .redirects(5),
        row("no web address", to(format!("ftp://u:{secret}@example.org/?sig={secret}")))
            .says("undetermined/bad_redirect"),
        row("no URL", to(format!("http://u:{secret}@[::1/?sig={secret}")))
            .says("undetermined/bad_redirect"),
        row("a private address", to(format!("http://u:{secret}@10.0.0.1/?sig={secret}")))
            .says("rejected_local/private_address")
            .redirects(1),
        row("too long", to(format!("/?sig={}", secret.repeat(6_000))))
            .says("undetermined/bad_redirect")
            .redirects(1),
    ])
    .await;
    let (_held, port) = refusing_port();
    let origin = Origin::start(to(format!("http://u:{secret}@127.0.0.1:{port}/?s={secret}"))).await;
    let report = probe(&table::options()).check(Source::url(origin.url(""))).await;
    assert_eq!(said(&report), "undetermined/network");
    assert!(!table::shows_secret(&report), "{report:?}");
}

// ---- addresses

/// Ways to write 127.0.0.1 that the URL parser or the resolver reads as it.
const LOOPBACK: &[&str] = &[
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "0x7f000001",
    "0x7f.0.0.1",
    "0X7F.1",
    "2130706433",
    "017700000001",
    "0177.0.0.01",
    "0x7f.0x0.0x0.0x1",
    "0x7f000001.",
    "0177.1.",
    "127%2e0%2E0.1",
    "%31%32%37.0.0.1",
    "１２７．０．０．１",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "0ｘ7f.1",
    "127.0.0\u{ad}.1",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[0000:0:0::FFFF:7F00:0001]",
    "localhost",
    "LOCALHOST",
    "ｌｏｃａｌｈｏｓｔ",
    "8.8.8.8@127.0.0.1",
    "0",
    "0x",
    "0.0.0.0",
];

/// What else is not public; nobody listens there.
const OTHERS: &[&str] = &[
    "127.0.0.3",
    "127.255.255.254",
    "0.1.2.3",
    "10.0.0.1",
    "10.1",
    "012.1",
    "0xa000001",
    "１０.1",
    "172.16.0.1",
    "192.168.1.1",
    "3232235777",
    "169.254.169.254",
    "0xa9fea9fe",
    "100.100.100.200",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "4294967295",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::808:808]",
    "[100::1]",
    "[2001::7f00:1:0:0:f7f7:f7f7]",
    "[2001:0:808:808::80ff:fffe]",
    "[2001:1::1]",
    "[2001:2::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[3fff::1]",
    "[5f00::1]",
    "[fd00::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
];

#[tokio::test]
async fn nothing_connects_to_an_address_that_is_not_public() {
    let (inside, inside_v6) = (Inside::start().await, Inside::start_v6().await);
    let probe = probe(&ProbeOptions::default());
    for host in LOOPBACK.iter().chain(OTHERS).chain(&["[::1]", "[0:0::1]"]) {
        let port = if host.contains("::1]") { inside_v6.port() } else { inside.port() };
        let report = probe.check(Source::url(format!("http://{host}:{port}/a"))).await;
        assert_eq!(said(&report), "rejected_local/private_address", "{host}");
        assert_eq!(report.fetch.unwrap().bytes, 0, "{host}");
    }
    inside.saw(0);
    inside_v6.saw(0);

    // The same texts do lead there where they are allowed to: the listener would have noticed.
    let mut options = table::options();
    options.addresses = AddressPolicy::Any;
    let probe = table::probe(&options);
    for host in LOOPBACK {
        let report = probe.check(Source::url(format!("http://{host}:{}/a", inside.port()))).await;
        assert_eq!(said(&report), "eligible", "{host}");
    }
    assert!(inside.0.as_ref().unwrap().seen().requests.len() == LOOPBACK.len());
    if inside_v6.0.is_some() {
        let url = format!("http://[::1]:{}/a", inside_v6.port());
        assert_eq!(said(&probe.check(Source::url(url)).await), "eligible");
    }
}

#[tokio::test]
async fn nothing_connects_there_behind_a_redirect_either() {
    let (inside, inside_v6) = (Inside::start().await, Inside::start_v6().await);
    // The origin's own address is allowed, and nothing else that is not public.
    let outside = second_loopback();
    let mut options = ProbeOptions::default();
    options.addresses = AddressPolicy::PublicAnd(vec![outside]);
    let probe = probe(&options);
    let origin = Origin::start_on(outside, |r| match r.path.split_once("to=") {
        Some((_, to)) => redirect(&percent_decoded(to)),
        None => ranged(r, &image()),
    })
    .await;
    let start = |to: &str| {
        let to: String = to.bytes().map(|byte| format!("%{byte:02x}")).collect();
        Source::url(origin.url(&format!("?to={to}")))
    };

    let report = probe.check(start("/here")).await;
    assert_eq!(said(&report), "eligible");
    let v6 = ["[::1]"];
    let v6 = v6.iter().filter(|_| outside.is_ipv4());
    for host in LOOPBACK.iter().chain(OTHERS).chain(v6) {
        let port = if *host == "[::1]" { inside_v6.port() } else { inside.port() };
        for to in [format!("http://{host}:{port}/a"), format!("//{host}:{port}/a")] {
            let report = probe.check(start(&to)).await;
            assert_eq!(said(&report), "rejected_local/private_address", "{to}");
            assert_eq!(report.fetch.unwrap().redirects, 1, "{to}");
        }
    }
    inside.saw(0);
    inside_v6.saw(0);
}

#[tokio::test]
async fn slips_of_the_pen_lead_nowhere_else() {
    // The URL parser mends these. Whether they are taken or refused, nothing connects.
    let inside = Inside::start().await;
    let probe = probe(&ProbeOptions::default());
    for start in ["http:///", "http:/", "http:", r"http:\\", r"http:/\", "http:////"] {
        let url = format!("{start}127.0.0.1:{}/a", inside.port());
        let report = probe.check(Source::url(&url)).await;
        assert_eq!(report.verdict, Verdict::RejectedLocal, "{url}: {report:?}");
    }
    inside.saw(0);
}

#[tokio::test]
async fn a_proxy_from_the_environment_is_not_used() {
    let proxy = Origin::start(|_| status("502 Bad Gateway")).await;
    // Variables can be set for another process only: this program, with one test.
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "probe_redirects::behind_a_proxy"]).env_remove("NO_PROXY");
    child.env_remove("no_proxy");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"] {
        child.env(name, proxy.url(""));
    }
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(proxy.seen().connections, 0);
}

/// Here as it is; [`a_proxy_from_the_environment_is_not_used`] runs it with a proxy around it.
#[tokio::test]
async fn behind_a_proxy() {
    let [outcome] = check([row("behind a proxy", |r| ranged(r, &image()))]).await;
    assert_eq!(outcome.seen.connections, 1);
}

/// An address of this machine beside 127.0.0.1. macOS has no other in IPv4.
fn second_loopback() -> IpAddr {
    let v4 = Ipv4Addr::new(127, 0, 0, 2);
    let has_it = std::net::TcpListener::bind((v4, 0)).is_ok();
    if has_it { v4.into() } else { std::net::Ipv6Addr::LOCALHOST.into() }
}

/// A server that only those on this machine are to reach; none where there is no IPv6.
struct Inside(Option<Origin>);

impl Inside {
    async fn start() -> Self {
        Self(Some(Origin::start(|r| ranged(r, &image())).await))
    }

    async fn start_v6() -> Self {
        let ip = Ipv6Addr::LOCALHOST;
        // Bound by hand first: some machines have no IPv6.
        match std::net::TcpListener::bind((ip, 0)) {
            Ok(_) => Self(Some(Origin::start_on(ip.into(), |r| ranged(r, &image())).await)),
            Err(_) => Self(None),
        }
    }

    fn port(&self) -> u16 {
        self.0.as_ref().map_or(80, Origin::port)
    }

    fn saw(&self, connections: usize) {
        if let Some(origin) = &self.0 {
            assert_eq!(origin.seen().connections, connections);
        }
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.split('%').filter(|hex| !hex.is_empty());
    let bytes = bytes.map(|hex| u8::from_str_radix(hex, 16).unwrap()).collect();
    String::from_utf8(bytes).unwrap()
}

/// A path in another encoding than UTF-8, as old servers have it, byte for byte.
#[tokio::test]
async fn a_location_beyond_utf_8_is_kept_as_it_is() {
    let outcomes = check([row("a byte of Latin-1", |r| match r.path.as_str() {
        "/caf%E9.png" => ranged(r, &image()),
        _ => {
            let redirect =
                b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /caf\xe9.png\r\n\r\n";
            vec![crate::common::Step::Bytes(redirect.to_vec())]
        }
    })
    .requests(2)
    .redirects(1)])
    .await;
    assert_eq!(outcomes[0].seen.requests[1].path, "/caf%E9.png");
}

#[tokio::test]
async fn a_location_in_utf_8_is_understood() {
    let [outcome] = check([row("raw UTF-8", |r| match r.index {
        0 => {
            let head = head("302 Found", &["Location: /bücher", "Content-Length: 0"]);
            vec![crate::common::Step::Bytes(head)]
        }
        _ => ranged(r, &image()),
    })
    .requests(2)
    .redirects(1)])
    .await;
    assert_eq!(outcome.seen.requests[1].path, "/b%C3%BCcher");
}
