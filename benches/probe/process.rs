//! Processes of their own: the program, the peers, and an origin for both.

use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::contender::{CONTENDERS, Contender, MOST_HEADER_BYTES};
use crate::files::{self, Picture};
use crate::origin::{Manners, Origin};
use crate::peers::{Peer, client};

/// This program's first argument when it is one of the processes.
pub(crate) const ORIGIN: &str = "as-origin";
pub(crate) const PEER: &str = "as-peer";

/// An origin in a process of its own, which ends when this is dropped.
pub(crate) struct OriginProcess {
    child: Child,
    base: String,
}

impl OriginProcess {
    pub(crate) fn start(ranges: bool) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ORIGIN, if ranges { "ranges" } else { "no-ranges" }])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut base = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut base)?;
        Ok(Self { child, base: base.trim().to_owned() })
    }

    /// So many URLs, of the images in turn.
    pub(crate) fn urls(&self, images: &[Picture], count: usize) -> Vec<String> {
        let names = images.iter().map(|image| image.name).cycle();
        names.take(count).map(|name| format!("{}{name}", self.base)).collect()
    }
}

impl Drop for OriginProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves until stdin ends.
pub(crate) async fn serve_as_origin(ranges: bool) -> io::Result<()> {
    let origin = Origin::start(Manners { ranges, ..Manners::PLAIN }, &files::all()).await?;
    println!("{}", origin.url(""));
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
    Ok(())
}

/// One contender's process at work on many URLs.
pub(crate) struct Work {
    /// From its start to its last line.
    pub(crate) took: Duration,
    child: Child,
    stdin: ChildStdin,
    lines: Vec<String>,
}

impl Work {
    /// Hands the URLs over on stdin and waits for as many lines.
    pub(crate) fn through(
        contender: Contender,
        in_flight: usize,
        urls: &[String],
    ) -> io::Result<Self> {
        let begun = Instant::now();
        let mut child = command(contender, in_flight, urls.len())?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let input = urls.join("\n") + "\n";
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).map(|()| stdin));
        let lines = stdout.lines().take(urls.len()).collect::<io::Result<Vec<_>>>()?;
        let took = begun.elapsed();
        let stdin = writer.join().expect("no panic")?;
        Ok(Self { took, child, stdin, lines })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asserts that every image's sides are right.
    pub(crate) fn finish(mut self, images: &[Picture], urls: &[String]) -> io::Result<()> {
        drop(self.stdin);
        self.child.wait()?;
        assert_eq!(self.lines.len(), urls.len(), "one line a URL");
        for line in &self.lines {
            let line: Value = serde_json::from_str(line)?;
            let source = line["source"].as_str().expect("a source");
            let image = images.iter().find(|image| source.ends_with(image.name));
            let image = image.expect("an image of ours");
            let sides = (line["image"]["width"].as_u64(), line["image"]["height"].as_u64());
            assert_eq!(sides, (Some(image.width.into()), Some(image.height.into())), "{line}");
        }
        Ok(())
    }
}

fn command(contender: Contender, in_flight: usize, urls: usize) -> io::Result<Command> {
    let in_flight = in_flight.to_string();
    Ok(match contender {
        Contender::Ours => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_emo-preflight"));
            command.args(["probe", "--json", "--input", "-", "--allow-private-network"]);
            command.args(["--concurrency", &in_flight, "--per-host", &in_flight]);
            command.args(["--max-header-bytes", &MOST_HEADER_BYTES.to_string()]);
            command
        }
        Contender::Peer(peer) => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([PEER, peer.name(), &in_flight, &urls.to_string()]);
            command
        }
    })
}

/// Reads so many URLs from stdin, and prints a line of JSON for each as soon as it is known.
pub(crate) async fn serve_as_peer(arguments: &[String]) -> io::Result<()> {
    let [name, in_flight, urls] = arguments else { panic!("a peer, how many at a time, of all") };
    let peer = peer_named(name);
    let in_flight: usize = in_flight.parse().expect("a number");
    let lines = io::stdin().lines().take(urls.parse().expect("a number"));
    let urls: Arc<[String]> = lines.collect::<io::Result<_>>()?;
    let next = Arc::new(AtomicUsize::new(0));
    let out = Arc::new(Mutex::new(BufWriter::with_capacity(64 * 1_024, io::stdout())));
    let http = client();
    let workers = (0..in_flight).map(|_| {
        let (urls, next, out) = (Arc::clone(&urls), Arc::clone(&next), Arc::clone(&out));
        let http = http.clone();
        tokio::spawn(async move {
            while let Some(url) = urls.get(next.fetch_add(1, Relaxed)) {
                let line = match peer.look(&http, url).await {
                    Ok((width, height)) => {
                        json!({"source": url, "image": {"width": width, "height": height}})
                    }
                    Err(error) => json!({"source": url, "error": error}),
                };
                writeln!(out.lock().expect("no panic"), "{line}")?;
            }
            io::Result::Ok(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    out.lock().expect("no panic").flush()?;
    // Until then our memory can be looked at.
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

fn peer_named(name: &str) -> Peer {
    let peers = CONTENDERS.into_iter().filter_map(|contender| match contender {
        Contender::Peer(peer) => Some(peer),
        Contender::Ours => None,
    });
    peers.into_iter().find(|peer| peer.name() == name).expect("a peer of this name")
}
