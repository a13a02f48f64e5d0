//! A proxy between a client and the server that delays what passes, or cuts the connection at one
//! request of its choice.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the server has seen the request.
    Before(u64),
    /// Once the server has answered it, and before the client knows.
    After(u64),
}

pub struct Proxy {
    port: u16,
    requests: Arc<AtomicU64>,
}

impl Proxy {
    /// Every way takes `delay` longer.
    pub fn delaying(server: u16, delay: Duration) -> Self {
        Self::start(server, delay, None)
    }

    /// Requests are counted from 0 over all connections; one is cut, all others pass.
    pub fn cutting(server: u16, cut: Cut) -> Self {
        Self::start(server, Duration::ZERO, Some(cut))
    }

    fn start(server: u16, delay: Duration, cut: Option<Cut>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
                let counter = Arc::clone(&counter);
                let (back, to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                let is_cut = Arc::new(std::sync::atomic::AtomicBool::new(false));
                let cutting = Arc::clone(&is_cut);
                std::thread::spawn(move || {
                    pass(upstream, back, delay, |_| !is_cut.load(Ordering::SeqCst))
                });
                std::thread::spawn(move || {
                    let server = to.try_clone().unwrap();
                    pass(client, to, delay, |_| {
                        let request = counter.fetch_add(1, Ordering::SeqCst);
                        match cut {
                            Some(Cut::Before(at)) if at == request => {
                                cutting.store(true, Ordering::SeqCst);
                                let _ = server.shutdown(Shutdown::Both);
                                false
                            }
                            // The answer is swallowed, and the connection with it.
                            Some(Cut::After(at)) if at == request => {
                                cutting.store(true, Ordering::SeqCst);
                                true
                            }
                            _ => true,
                        }
                    });
                });
            }
        });
        Self { port, requests }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many requests have come so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Copies one way until the other end is gone or `goes_on` says no, then ends both.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration, goes_on: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..read];
        if !goes_on(bytes) {
            break;
        }
        std::thread::sleep(delay);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
