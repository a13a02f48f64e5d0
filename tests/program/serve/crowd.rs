//! Many impatient clients before the program, over a service that loses answers, while it is killed.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, Fate, Served};
use emo_preflight::serve::ServeOptions;
use emo_preflight::{Ledger, PreflightBuilder};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::scene::{Answer, KEY, PATH, client, gate_on, start, until};
use crate::pg;
use crate::rig::{is_slow_tier, portrait, program_with};

/// The program, serving; killed with this.
struct Server(Child);

impl Server {
    fn start(emu: &Emulator, address: SocketAddr, ledger: &str, rps: u32) -> Self {
        let mut command =
            program_with(["serve", "--allow-private-network", "--call-timeout", "60"]);
        command.args(["--base-url", &emu.base_url(), "--listen", &address.to_string()]);
        command.args(["--ledger", ledger, "--rps", &rps.to_string()]);
        command.env("DASHSCOPE_API_KEY", KEY).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), format!("http://{address}/api/v1"));
        Self(child)
    }

    /// The most memory it ever held, in MiB; none where the system does not say.
    fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1_024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where Linux lets it, none that another test's connection could take meanwhile.
fn free_address() -> SocketAddr {
    let host = if cfg!(target_os = "linux") { "127.0.0.2:0" } else { "127.0.0.1:0" };
    std::net::TcpListener::bind(host).unwrap().local_addr().unwrap()
}

/// Asks until there is an answer, waiting for 300 ms at first and for twice as long each time, and through
/// the end of a server too. Says how often it asked.
async fn ask_until_answered(http: reqwest::Client, url: String, image: String) -> (Answer, u32) {
    let body = format!(
        r#"{{"model":"emo-detect-v1","input":{{"image_url":"{image}"}},"parameters":{{"ratio":"1:1"}}}}"#
    );
    for times in 1.. {
        let request = http.post(&url).header("content-type", "application/json");
        let patience = Duration::from_millis(300 << times.min(8));
        let request = request.timeout(patience / 2).body(body.clone());
        let Ok(response) = request.send().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let status = response.status().as_u16();
        let Ok(bytes) = response.bytes().await else { continue };
        let none = || None;
        let (verdict, from_ledger, billing) = (none(), none(), none());
        let answer = Answer { status, verdict, from_ledger, billing, body: bytes.to_vec() };
        return (answer, times);
    }
    unreachable!()
}

/// Where the pace is `kept`, the service refuses what is too close together: a matter of a quiet machine.
async fn crowd(clients: usize, rps: u32, kills: usize, kept: bool) {
    let limit = kept.then_some(rps);
    let emu = Emulator::builder().api_key(KEY).rps(limit).start().await.unwrap();
    let images: Vec<Served> =
        (0..clients).map(|n| emu.serve(&format!("/{n}.jpg"), portrait())).collect();
    for (n, image) in images.iter().enumerate() {
        match n % 5 {
            0 => emu.script(image, [Fate::judge().reset()]),
            1 => emu.script(image, [Fate::judge().late(Duration::from_secs(1))]),
            _ => {}
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db").display().to_string();
    let address = free_address();
    let mut server = Server::start(&emu, address, &ledger, rps);
    let url = format!("http://{address}{PATH}");
    let http = client();
    let begun = Instant::now();
    let asking: Vec<_> = images
        .iter()
        .map(|image| {
            tokio::spawn(ask_until_answered(http.clone(), url.clone(), image.url().into()))
        })
        .collect();
    for kill in 1..=kills {
        let calls = (clients * kill / (kills + 2)) as u64;
        until("more calls", || emu.calls() >= calls).await;
        drop(server);
        server = Server::start(&emu, address, &ledger, rps);
    }
    let mut asked = 0;
    let mut unknown = 0;
    for (image, asking) in images.iter().zip(asking) {
        let (answer, times) = asking.await.unwrap();
        asked += times;
        match answer.status {
            200 => assert!(answer.json()["output"]["check_pass"] == true, "{answer:?}"),
            502 => {
                assert_eq!(answer.code(), "Preflight.BillingUnknown");
                unknown += 1;
            }
            other => panic!("{other}: {answer:?}"),
        }
        // One that a kill met just before it left made none.
        let calls = emu.calls_for(image);
        assert!(
            calls == 1 || kills > 0 && calls == 0 && answer.status == 502,
            "{calls} for {image}"
        );
    }
    let throttled = emu.received().iter().filter(|call| call.status == Some(429)).count();
    let took = begun.elapsed();
    let memory = server.peak_memory();
    println!(
        "{clients} clients asked {asked} times and were answered in {took:.1?}: {} calls, {} billed, \
         {unknown} unknown, {throttled} of status 429, {memory:?} MiB",
        emu.calls(),
        emu.billed()
    );
    assert_eq!(throttled, 0);
    // The lost ones, and of each kill those that were on their way.
    let lost = clients.div_ceil(5);
    assert!(unknown >= lost && (kills > 0 || unknown == lost), "{unknown} of {lost}");
    assert!(asked > u32::try_from(clients).unwrap(), "nobody was impatient");
    assert!(memory.is_none_or(|mib| mib < 64), "{memory:?} MiB");
    assert_eq!(emu.unscripted(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_give_up_and_ask_again_pay_for_each_image_once() {
    crowd(40, 40, 0, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_they_do_when_the_server_is_killed() {
    crowd(60, 40, 2, false).await;
}

/// As the issue of a company would have it: five a second. Takes two minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_the_accounts_own_pace() {
    if !is_slow_tier() {
        println!("NOT RUN: two hundred clients at the account's own pace (EMO_PREFLIGHT_SLOW)");
        return;
    }
    crowd(200, 20, 4, true).await;
    crowd(200, 5, 0, true).await;
    crowd(200, 5, 6, true).await;
}

/// Each sends the longest lines without end and takes nothing of the answers.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_reads_take_little_memory_and_nobody_elses_place() {
    let emu = Emulator::builder().api_key(KEY).rps(None).start().await.unwrap();
    let image = emu.serve("/face.jpg", portrait());
    let address = free_address();
    let server = Server::start(&emu, address, "none", 100);
    let line = format!("{{\"image_url\":\"ftp://x\",\"pad\":\"{}\"}}\n", "x".repeat(60_000));
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    let head = "POST /v1/probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/jsonl\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let sent = Arc::new(AtomicUsize::new(0));
    let streams: Vec<_> = (0..60)
        .map(|_| {
            let (chunk, sent) = (chunk.clone(), Arc::clone(&sent));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(chunk.as_bytes()).await.is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // Until no more is taken; without a bound that would be never.
    let mut before = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let now = sent.load(Ordering::Relaxed);
        if std::mem::replace(&mut before, now) == now && now > 0 {
            break;
        }
    }
    let url = format!("http://{address}{PATH}");
    let (answer, _) = ask_until_answered(client(), url, image.url().to_owned()).await;
    assert_eq!(answer.status, 200);
    let memory = server.peak_memory();
    println!("60 streams that nobody reads: {memory:?} MiB");
    assert!(memory.is_none_or(|mib| mib < 64), "{memory:?} MiB");
    streams.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_are_one_gate() {
    let Some(database) = pg::server().map(pg::Server::database) else { return };
    let emu = Emulator::builder().api_key(KEY).rps(None).start().await.unwrap();
    let image = emu.serve("/face.jpg", portrait());
    emu.script(&image, [Fate::judge().late(Duration::from_millis(500))]);
    let mut servers = Vec::new();
    for _ in 0..2 {
        let ledger = Ledger::connect(&database).await.unwrap();
        let gate: PreflightBuilder = gate_on(&emu.base_url()).ledger(ledger);
        servers.push(start(gate.build().await.unwrap(), ServeOptions::default()).await);
    }
    let (first, second) =
        tokio::join!(servers[0].detect(image.url()), servers[1].detect(image.url()));
    assert_eq!((first.status, &first.body), (200, &second.body));
    assert_eq!((emu.calls(), emu.billed()), (1, 1));
    emu.finish();
}
