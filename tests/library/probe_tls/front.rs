//! What listens on loopback and speaks TLS, or fails to.

use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::server::TlsStream;

use crate::common::Origin;

/// A handshake that was completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) version: ProtocolVersion,
    pub(crate) alpn: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) handshakes: Vec<Handshake>,
}

/// A listening TLS origin; it ends when dropped.
pub(crate) struct Front {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Front {
    /// Speaks TLS and leaves the rest to `talk`, which also gets the connection's number, from 0.
    pub(crate) async fn start<F, T>(acceptor: TlsAcceptor, talk: F) -> Self
    where
        F: Fn(TlsStream<TcpStream>, usize) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let talk = Arc::new(talk);
        Self::listen(move |stream, connection, seen| {
            let (acceptor, talk) = (acceptor.clone(), Arc::clone(&talk));
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let tls = stream.get_ref().1;
                let handshake = Handshake {
                    version: tls.protocol_version().unwrap(),
                    alpn: tls.alpn_protocol().map(|name| String::from_utf8(name.into()).unwrap()),
                };
                seen.lock().unwrap().handshakes.push(handshake);
                talk(stream, connection).await;
            }
        })
        .await
    }

    /// Speaks TLS before an origin that does not.
    pub(crate) async fn before(origin: &Origin, acceptor: TlsAcceptor) -> Self {
        let port = origin.port();
        Self::start(acceptor, move |mut stream, _| async move {
            let mut behind = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut behind).await;
        })
        .await
    }

    /// Speaks no TLS: answers whatever comes first with these bytes, and then does this.
    pub(crate) async fn broken(answer: &'static [u8], then: Then) -> Self {
        Self::listen(move |mut stream, _, _| async move {
            let mut hello = [0; 4_096];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(answer).await;
            match then {
                // Until the peer hangs up.
                Then::Hang => while stream.read(&mut hello).await.is_ok_and(|length| length > 0) {},
                Then::Close => {
                    let _ = stream.shutdown().await;
                }
                Then::Reset => stream.set_zero_linger().unwrap(),
            }
        })
        .await
    }

    async fn listen<F, T>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize, Arc<Mutex<Seen>>) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Seen>>::default();
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let connection = noted.lock().unwrap().connections;
                noted.lock().unwrap().connections += 1;
                tokio::spawn(serve(stream, connection, Arc::clone(&noted)));
            }
        });
        Self { port, seen, task }
    }

    /// `https://127.0.0.1:PORT/` and `path`, which is given without its slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}/{path}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Hang,
    Close,
    Reset,
}
