use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use super::*;
use crate::probe::{Probe, ProbeOptions, Shared};
use crate::run::Source;

/// Both sides of each border.
const V4: &[(&str, bool)] = &[
    ("1.0.0.0", true),
    ("8.8.8.8", true),
    ("9.255.255.255", true),
    ("11.0.0.0", true),
    ("100.63.255.255", true),
    ("100.128.0.0", true),
    ("126.255.255.255", true),
    ("128.0.0.0", true),
    ("169.253.255.255", true),
    ("169.255.0.0", true),
    ("172.15.255.255", true),
    ("172.32.0.1", true),
    ("192.0.1.0", true),
    ("192.0.3.0", true),
    ("192.88.98.255", true),
    ("192.88.100.0", true),
    ("192.167.255.255", true),
    ("192.169.0.0", true),
    ("198.17.255.255", true),
    ("198.20.0.1", true),
    ("198.51.99.255", true),
    ("198.51.101.0", true),
    ("203.0.112.255", true),
    ("203.0.114.0", true),
    ("223.255.255.255", true),
    ("0.0.0.0", false),
    ("0.1.2.3", false),
    ("0.255.255.255", false),
    ("10.0.0.0", false),
    ("10.255.255.255", false),
    ("100.64.0.1", false),
    ("100.100.100.200", false),
    ("100.127.255.255", false),
    ("127.0.0.1", false),
    ("127.255.0.9", false),
    ("169.254.0.1", false),
    ("169.254.169.254", false),
    ("172.16.0.1", false),
    ("172.31.255.255", false),
    ("192.0.0.1", false),
    ("192.0.0.9", false),
    ("192.0.0.255", false),
    ("192.0.2.1", false),
    ("192.88.99.1", false),
    ("192.168.1.1", false),
    ("198.18.0.1", false),
    ("198.19.255.255", false),
    ("198.51.100.7", false),
    ("203.0.113.7", false),
    ("224.0.0.1", false),
    ("239.255.255.255", false),
    ("240.0.0.1", false),
    ("255.255.255.254", false),
    ("255.255.255.255", false),
];

const V6: &[(&str, bool)] = &[
    ("2000::1", true),
    ("2001:200::1", true),
    ("2001:db7::1", true),
    ("2001:db9::1", true),
    ("2003::1", true),
    ("2606:4700::1111", true),
    ("2a00:1450:4001::1", true),
    ("3ffe::1", true),
    ("3fff:1000::1", true),
    ("::", false),
    ("::1", false),
    ("::2", false),
    ("64:ff9b:0:1::8.8.8.8", false),
    ("64:ff9b:1::8.8.8.8", false),
    ("100::1", false),
    ("100:0:0:1::1", false),
    ("1fff:ffff::1", false),
    ("2001:1::1", false),
    ("2001:2::1", false),
    ("2001:3::1", false),
    ("2001:4:112::1", false),
    ("2001:10::1", false),
    ("2001:20::1", false),
    ("2001:30::1", false),
    ("2001:1ff:ffff::1", false),
    ("2001:db8::1", false),
    ("3fff::1", false),
    ("3fff:fff:ffff::1", false),
    ("4000::1", false),
    ("5f00::1", false),
    ("8000::1", false),
    ("fbff::1", false),
    ("fc00::1", false),
    ("fd00:ec2::254", false),
    ("fe00::1", false),
    ("fe80::1", false),
    ("febf::1", false),
    ("fec0::1", false),
    ("feff::1", false),
    ("ff02::1", false),
];

fn assert_judged(address: IpAddr, public: bool) {
    assert_eq!(AddressPolicy::PublicOnly.allows(address), public, "{address}");
    assert!(AddressPolicy::Any.allows(address), "{address}");
    assert!(AddressPolicy::PublicAnd(vec![address]).allows(address), "{address}");
}

#[test]
fn addresses_are_judged_by_table() {
    for (text, public) in V4.iter().chain(V6) {
        assert_judged(text.parse().unwrap(), *public);
    }
}

#[test]
fn an_address_that_stands_for_another_is_judged_as_that_one() {
    for (text, public) in V4 {
        let [a, b, c, d] = text.parse::<Ipv4Addr>().unwrap().octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        for stands_for in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            // Teredo: by that server to 8.8.4.4, and by 8.8.8.8 to that client.
            Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !0x0808, !0x0404),
            Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0, 0, !high, !low),
        ] {
            assert_judged(stands_for.into(), *public);
        }
    }
}

// ---- names

type Answers = dyn Fn(usize) -> Vec<IpAddr> + Send + Sync;

/// A resolver that answers as scripted, by the number of the look-up.
struct Names {
    answers: Box<Answers>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn new(answers: impl Fn(usize) -> Vec<IpAddr> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { answers: Box::new(answers), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl super::Names for Names {
    fn find(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let mut asked = self.asked.lock().unwrap();
        let found = (self.answers)(asked.len()).into_iter().map(|ip| SocketAddr::new(ip, 0));
        asked.push(name.to_owned());
        Box::pin(std::future::ready(Ok(found.collect())))
    }
}

/// A probe that finds names as scripted and may connect to these addresses of loopback.
fn probe(names: &Arc<Names>, allowed: Vec<IpAddr>) -> Probe {
    let options =
        ProbeOptions { addresses: AddressPolicy::PublicAnd(allowed), ..ProbeOptions::default() };
    Probe(Arc::new(Shared::new(options, Arc::<Names>::clone(names)).unwrap()))
}

/// A verdict with the code of its first reason.
async fn verdict(probe: &Probe, url: String) -> String {
    let report = probe.check(Source::url(url)).await;
    match report.reasons.first() {
        Some(reason) => format!("{}/{}", report.verdict, reason.code),
        None => report.verdict.to_string(),
    }
}

const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Another address of this machine. macOS has no other in IPv4.
static INSIDE: LazyLock<IpAddr> = LazyLock::new(|| {
    let v4 = Ipv4Addr::new(127, 0, 0, 2);
    let has_it = TcpListener::bind((v4, 0)).is_ok();
    if has_it { v4.into() } else { std::net::Ipv6Addr::LOCALHOST.into() }
});

/// Serves an image at both addresses, on one port, and counts the connections each gets. Each
/// request gets a connection of its own, and `/away` is a redirect on the same host.
fn servers() -> (u16, [Arc<AtomicUsize>; 2]) {
    let (port, listeners) = loop {
        let outside = TcpListener::bind((OUTSIDE, 0)).unwrap();
        let port = outside.local_addr().unwrap().port();
        if let Ok(inside) = TcpListener::bind((*INSIDE, port)) {
            break (port, [outside, inside]);
        }
    };
    let counts = listeners.map(|listener| {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&count);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counting.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream.unwrap();
                let mut request = [0; 4_096];
                let length = stream.read(&mut request).unwrap();
                let away = request[..length].starts_with(b"GET /away ");
                let (head, image): (_, &[u8]) = if away {
                    ("302 Found\r\nLocation: /image", b"")
                } else {
                    ("200 OK", b"\xff\xd8\xff\xc0\0\x0b\x08\x03\x20\x02\x80\x01\x01\x11\0")
                };
                let length = image.len();
                let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n");
                let answer = [head.as_bytes(), b"Connection: close\r\n\r\n", image].concat();
                stream.write_all(&answer).unwrap();
            }
        });
        count
    });
    (port, counts)
}

#[tokio::test]
async fn what_was_judged_is_what_is_connected_to() {
    let (port, [outside, inside]) = servers();
    // Allowed at first, private whenever it is asked again.
    let rebinding = |n| vec![if n == 0 { OUTSIDE } else { *INSIDE }];

    let names = Names::new(rebinding);
    let prober = probe(&names, vec![OUTSIDE]);
    let url = |path| format!("http://rebinding.example:{port}/{path}");
    assert_eq!(verdict(&prober, url("image")).await, "eligible");
    assert_eq!((names.asked().len(), outside.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(verdict(&prober, url("image")).await, "rejected_local/private_address");

    let names = Names::new(rebinding);
    let prober = probe(&names, vec![OUTSIDE]);
    assert_eq!(verdict(&prober, url("away")).await, "rejected_local/private_address");
    assert_eq!((names.asked().len(), outside.load(Ordering::SeqCst)), (2, 2));

    assert_eq!(inside.load(Ordering::SeqCst), 0);
    // The other server would have noticed.
    let prober = probe(&Names::new(|_| vec![*INSIDE]), vec![*INSIDE]);
    assert_eq!(verdict(&prober, url("image")).await, "eligible");
    assert_eq!(inside.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_name_with_a_thousand_addresses_costs_a_few_connections() {
    let (port, [outside, inside]) = servers();
    let many = |n: u16, [a, b]: [u8; 2]| -> Vec<IpAddr> {
        let address = |i: u16| Ipv4Addr::new(a, b, i.to_be_bytes()[0], i.to_be_bytes()[1]).into();
        (0..n).map(address).collect()
    };
    let private = || many(999, [10, 0]);
    // Of loopback too, so that a rejection comes at once.
    let deaf = |n| many(n, [127, 9]);
    for (name, addresses, says, connections) in [
        ("private", private(), "rejected_local/private_address", 0),
        ("private, one allowed", [private(), vec![OUTSIDE]].concat(), "eligible", 1),
        ("one allowed, private", [vec![OUTSIDE], private()].concat(), "eligible", 1),
        ("inside, allowed", vec![*INSIDE, OUTSIDE], "eligible", 1),
        ("a few deaf", [deaf(15), vec![OUTSIDE]].concat(), "eligible", 1),
        ("too many deaf", [deaf(999), vec![OUTSIDE]].concat(), "undetermined/network", 0),
        ("none", vec![], "undetermined/network", 0),
    ] {
        outside.store(0, Ordering::SeqCst);
        let allowed = [deaf(999), vec![OUTSIDE]].concat();
        let prober = probe(&Names::new(move |_| addresses.clone()), allowed);
        assert_eq!(verdict(&prober, format!("http://many.example:{port}/")).await, says, "{name}");
        assert_eq!(outside.load(Ordering::SeqCst), connections, "{name}");
    }
    assert_eq!(inside.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn names_are_looked_up_in_ascii() {
    let (port, _) = servers();
    let names = Names::new(|_| vec![OUTSIDE]);
    let probe = probe(&names, vec![OUTSIDE]);
    for (host, name) in [
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com."),
        ("ex%61mple.com", "example.com"),
        ("ＥＸＡＭＰＬＥ．com", "example.com"),
        ("example。com", "example.com"),
        ("exam\u{ad}ple.com", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u{308}cher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ] {
        assert_eq!(verdict(&probe, format!("http://{host}:{port}/")).await, "eligible", "{host}");
        assert_eq!(names.asked().last().unwrap(), name, "{host}");
    }
}
