//! What `serve` adds: `cargo bench --features cli --bench serve` prints, of one run on this machine,
//!
//! - the latency of one request at a time, beside the fetch of the image's header alone,
//! - requests a second from 64 connections, beside a bare axum handler that answers the same bytes.
//!
//! Client, server, origin and ledger (SQLite) are all on it. Contenders take turns, round by round, and each
//! figure is the median of its rounds. It ends with an error where an answer is not what it must be.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, Picture};
use emo_preflight::serve::{ServeOptions, serve};
use emo_preflight::{AddressPolicy, ApiKey, Ledger, Preflight, ProbeOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATH: &str = "/api/v1/services/aigc/image2video/face-detect";
const ROUNDS: usize = 7;
const CONNECTIONS: usize = 64;
const IMAGES: usize = 500;

/// Requests to one server, each with how its answer must begin.
struct Contender {
    name: &'static str,
    address: SocketAddr,
    requests: Arc<Vec<(Vec<u8>, &'static str)>>,
}

#[tokio::main]
async fn main() {
    let emu = Emulator::builder().rps(None).forgiving().start().await.unwrap();
    let portrait = Picture::jpeg(640, 800);
    let known: Vec<String> = (0..IMAGES)
        .map(|n| emu.serve(&format!("/{n}.jpg"), portrait.clone()).url().to_owned())
        .collect();
    let rejected = emu.serve("/small.jpg", Picture::jpeg(300, 300)).url().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let mut probe = ProbeOptions::default();
    probe.addresses = AddressPolicy::Any;
    probe.per_host = CONNECTIONS;
    let gate = Preflight::builder(ApiKey::new("sk-any").unwrap())
        .base_url(emu.base_url())
        .probe(probe)
        .calls_per_second(1_000.0)
        .ledger(Ledger::open(folder.path().join("ledger.db")).await.unwrap())
        .build()
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = listener.local_addr().unwrap();
    let forever = std::future::pending();
    tokio::spawn(serve(listener, gate.clone(), ServeOptions::default(), forever));
    let bare = bare_handler().await;
    let post = |url: &String| {
        let body = format!(
            r#"{{"model":"emo-detect-v1","input":{{"image_url":"{url}"}},"parameters":{{"ratio":"1:1"}}}}"#
        );
        format!(
            "POST {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-any\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let get = |url: &String| {
        let path = url.split_at(url.rfind('/').unwrap()).1;
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nrange: bytes=0-4095\r\n\r\n").into_bytes()
    };
    let all = |urls: &[String], status: &'static str| {
        Arc::new(urls.iter().map(|url| (post(url), status)).collect::<Vec<_>>())
    };
    // Everything is paid for before anything is measured.
    let warm_up = Contender { name: "", address: served, requests: all(&known, "HTTP/1.1 200") };
    crowd(&warm_up, known.len()).await;
    assert_eq!(gate.spent().images, IMAGES as u64);

    let fetches = known.iter().map(|url| (get(url), "HTTP/1.1 206")).collect();
    let contenders = [
        Contender {
            name: "the header's fetch alone",
            address: emu.addr(),
            requests: Arc::new(fetches),
        },
        Contender {
            name: "serve, an image that the ledger knows",
            address: served,
            requests: all(&known, "HTTP/1.1 200"),
        },
        Contender {
            name: "serve, an image that is rejected here",
            address: served,
            requests: all(&[rejected], "HTTP/1.1 400"),
        },
        Contender {
            name: "a bare axum handler",
            address: bare,
            requests: all(&known, "HTTP/1.1 200"),
        },
    ];
    let mut latencies = vec![Vec::new(); contenders.len()];
    let mut rates = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, (latency, rate)) in
            contenders.iter().zip(latencies.iter_mut().zip(&mut rates))
        {
            latency.push(one_at_a_time(contender, 1_000).await);
            rate.push(crowd(contender, 20_000).await);
        }
    }
    println!(
        "| | median of one at a time | over the fetch | requests a second, {CONNECTIONS} at a time |"
    );
    println!("|---|---:|---:|---:|");
    let fetch = median(latencies[0].clone());
    for (contender, (latency, rate)) in contenders.iter().zip(latencies.into_iter().zip(rates)) {
        let latency = median(latency);
        let over = latency.saturating_sub(fetch);
        let rate = median(rate);
        println!("| {} | {latency:.0?} | {over:.0?} | {rate:.0} |", contender.name);
    }
    assert_eq!(gate.spent().images, IMAGES as u64, "nothing was paid for again");
}

/// The median of so many answers, one after the other on one connection.
async fn one_at_a_time(contender: &Contender, count: usize) -> Duration {
    let mut connection = Connection::open(contender.address).await;
    let mut times = Vec::new();
    for n in 0..count {
        let (request, start) = &contender.requests[n % contender.requests.len()];
        let begun = Instant::now();
        connection.ask(request, start).await;
        times.push(begun.elapsed());
    }
    median(times)
}

/// Answers a second, from many connections.
async fn crowd(contender: &Contender, count: usize) -> f64 {
    let begun = Instant::now();
    let asking = (0..CONNECTIONS).map(|connection| {
        let (address, requests) = (contender.address, Arc::clone(&contender.requests));
        tokio::spawn(async move {
            let mut open = Connection::open(address).await;
            for n in (connection..count).step_by(CONNECTIONS) {
                let (request, start) = &requests[n % requests.len()];
                open.ask(request, start).await;
            }
        })
    });
    for asked in futures_util::future::join_all(asking).await {
        asked.unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(65_536) }
    }

    /// Sends a request and reads its answer, whose length is in its head.
    async fn ask(&mut self, request: &[u8], start: &str) {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        loop {
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "an answer");
            let Some(head) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&self.buffer[..head]).unwrap().to_ascii_lowercase();
            let (_, length) = text.split_once("content-length: ").unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if self.buffer.len() >= head + 4 + length {
                assert!(self.buffer.starts_with(start.as_bytes()), "{text}");
                return;
            }
        }
    }
}

/// What axum takes by itself: it reads the body and answers as many bytes as the service does.
async fn bare_handler() -> SocketAddr {
    use axum::http::header::CONTENT_TYPE;
    const ANSWER: &str = r#"{"output":{"check_pass":true,"ext_bbox":[80,52,560,532],"face_bbox":[224,224,416,416]},"request_id":"c56f62df-724e-9c19-96bd-000000000001","usage":{"image_count":1}}"#;
    let app = axum::Router::new().route(
        PATH,
        axum::routing::post(|body: axum::body::Bytes| async move {
            let call: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(call["model"], "emo-detect-v1");
            ([(CONTENT_TYPE, "application/json")], ANSWER)
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let service = hyper_util::service::TowerToHyperService::new(app.clone());
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service),
            );
        }
    });
    address
}

fn median<T: PartialOrd + Copy>(mut all: Vec<T>) -> T {
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all[all.len() / 2]
}
