//! A stand-in for the service on loopback, for tests and demonstrations.
//!
//! It is made from the vendor's documentation and from what public code says of the service; nobody
//! compared it with the live one. **It looks at no faces**: an image that can be fetched, decoded and
//! is of a documented size passes, with boxes computed from its size alone. EXIF orientation is
//! ignored; the boxes are in the image as stored.
//!
//! It speaks plain HTTP/1.1, listens on loopback and fetches images from loopback only, so a test
//! cannot reach out by mistake. It does not know accounts, workspaces, free quotas or `oss://` URLs;
//! it does not do the sister models, video synthesis or asynchronous tasks; it inspects no content.
//! One emulator is one account: 5 requests a second, refused ones counted.
//!
//! What it does do: it checks a request as the service would ([error table](#error-answers)), judges the
//! image it fetched itself, counts what it billed, and on request misbehaves ([`Fate`]). It also serves
//! the images ([`Emulator::serve`]), so a test needs nothing else. [`Emulator::finish`] fails a test that
//! did what nobody scripted.
//!
//! # Example
//!
//! ```
//! use emo_preflight::emulator::{Emulator, Fate, Picture};
//!
//! # // Stands for the user's own client: one POST, the answer's status and body.
//! # async fn detect(base: &str, key: &str, image: &str) -> (u16, serde_json::Value) {
//! #     use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! #     let host = base.trim_start_matches("http://").trim_end_matches("/api/v1");
//! #     let body = serde_json::json!({"model": "emo-detect-v1", "input": {"image_url": image},
//! #         "parameters": {"ratio": "1:1"}}).to_string();
//! #     let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
//! #     stream.write_all(format!("POST /api/v1/services/aigc/image2video/face-detect HTTP/1.1\r\n\
//! #         host: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
//! #         content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
//! #     let mut answer = String::new();
//! #     stream.read_to_string(&mut answer).await.unwrap();
//! #     let (head, body) = answer.split_once("\r\n\r\n").unwrap();
//! #     (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
//! # }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! let emu = Emulator::builder().api_key("sk-test").start().await?;
//! let pic = emu.serve("/face.jpg", Picture::jpeg(640, 800));
//! emu.script(&pic, [Fate::throttled()]);
//!
//! // `detect` is the code under test, told to use `emu.base_url()`.
//! let (status, answer) = detect(&emu.base_url(), "sk-test", pic.url()).await;
//! assert_eq!((status, answer["code"].as_str()), (429, Some("Throttling.RateQuota")));
//!
//! let (status, answer) = detect(&emu.base_url(), "sk-test", pic.url()).await;
//! assert_eq!((status, answer["output"]["check_pass"].as_bool()), (200, Some(true)));
//!
//! assert_eq!(emu.calls_for(&pic), 2);
//! assert_eq!(emu.billed(), 1);
//! emu.finish();
//! # Ok(()) }
//! ```
//!
//! # Error answers
//!
//! All are unbilled, `{"code", "message", "request_id"}`, and checked in this order:
//!
//! | HTTP | code | when |
//! |---|---|---|
//! | 404 | `NotFound` | any other path, or another method; images answer 405 to other methods |
//! | 401 | `InvalidApiKey` | no bearer key, or not the one the builder was told |
//! | 403 | `AccessDenied` | `X-DashScope-Async` is there |
//! | 400 | `InvalidParameter` | Content-Type is not `application/json` |
//! | 429 | `Throttling.RateQuota` | more requests in one second than allowed |
//! | 400 | `InvalidParameter` | the body is not a JSON object |
//! | 400 | `BadRequest.EmptyModel`, `.EmptyInput`, `.EmptyParameters` | `model`, `input.image_url`, `parameters` missing or empty |
//! | 400 | `InvalidParameter.Ratio` | `parameters.ratio` is neither `"1:1"` nor `"3:4"` |
//! | 404 | `ModelNotFound` | not the builder's model |
//! | 400 | `InvalidURL` | not http(s), not on loopback, more than 5 redirects, a status other than 200 |
//! | 400 | `InvalidURL.ConnectionRefused`, `.Timeout` | the image's host refuses, or takes over 10 s |
//! | 400 | `InvalidFile.Size` | over 64 MiB (the emulator's own limit) |
//! | 400 | `InvalidFile.Format`, `.Openerror`, `.Resolution` | not JPEG, PNG, BMP or WebP; not decodable; a side outside 400 to 7000 px |

mod boxes;
mod connection;
mod download;
mod endpoint;
mod fate;
mod judge;
mod picture;
mod reply;
mod state;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use url::Url;

pub use self::fate::Fate;
pub use self::picture::Picture;
pub use self::state::Received;
use self::state::{Config, Key, State};

/// A running stand-in. Dropping it stops the server and everything it still does.
///
/// For an example see [the module](self).
pub struct Emulator {
    state: Arc<State>,
}

impl Emulator {
    /// Starts from the defaults: a free port of 127.0.0.1, any key, `emo-detect-v1`, 5 requests a second.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder(Config {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_key: None,
            model: "emo-detect-v1".to_owned(),
            rps: Some(5),
            fetch_timeout: Duration::from_secs(10),
            forgiving: false,
        })
    }

    /// `http://ADDRESS:PORT/api/v1`, to be used in place of the service's base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/api/v1", self.addr())
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.state.config.address
    }

    /// Serves an image under a path, whatever query a request adds (signed URLs have one).
    ///
    /// A drawing becomes an image of its own under each path: the path is written into it. The same
    /// [bytes](Picture::bytes) are the same image everywhere.
    ///
    /// A second image under the same path takes the first one's place; counters and fates stay.
    pub fn serve(&self, path: &str, image: Picture) -> Served {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let plain = format!("http://{}{slash}{path}", self.addr());
        // A client's URL type escapes and tidies the path; the look-up must find that form.
        let (url, path) = match Url::parse(&plain) {
            Ok(url) => (url.to_string(), url.path().to_owned()),
            Err(_) => (plain, path.to_owned()),
        };
        let image = image.named(&path);
        let key = Key::Here(path);
        self.state.serve(key.clone(), Some(image));
        Served { url, key }
    }

    /// A handle for an image that somebody else serves, by the exact URL calls will name, so that fates
    /// can be scripted for it and its calls counted.
    ///
    /// Calls without a fate are judged, which takes an image on loopback.
    pub fn elsewhere(&self, url: &str) -> Served {
        let key = Url::parse(url)
            .map_or_else(|_| Key::Elsewhere(url.to_owned()), |url| self.state.key(&url));
        if matches!(key, Key::Elsewhere(_)) {
            self.state.serve(key.clone(), None);
        }
        Served { url: url.to_owned(), key }
    }

    /// Queues fates for calls that name this image: each call takes one, in order, once it has passed
    /// the checks and the rate limit. With none left, calls are judged.
    pub fn script(&self, image: &Served, fates: impl IntoIterator<Item = Fate>) {
        self.state.script(&image.key, fates);
    }

    /// Images billed so far.
    pub fn billed(&self) -> u64 {
        self.state.totals().billed
    }

    /// Images billed so far for one image.
    pub fn billed_for(&self, image: &Served) -> u64 {
        self.state.counts_of(&image.key).billed
    }

    /// POSTs that arrived whole at the endpoint, refused and throttled ones included.
    pub fn calls(&self) -> u64 {
        self.state.totals().calls
    }

    /// As [`calls`](Self::calls), of those whose `image_url` is this image's.
    pub fn calls_for(&self, image: &Served) -> u64 {
        self.state.counts_of(&image.key).calls
    }

    /// GETs of this image, the emulator's own not counted; 0 for one [`elsewhere`](Self::elsewhere).
    pub fn fetches_of(&self, image: &Served) -> u64 {
        self.state.counts_of(&image.key).fetches
    }

    /// Every POST to the endpoint so far, in order of arrival; nothing under
    /// [`forgiving`](EmulatorBuilder::forgiving).
    pub fn received(&self) -> Vec<Received> {
        self.state.received()
    }

    /// What nobody scripted so far, one line each; see [`finish`](Self::finish).
    pub fn unscripted(&self) -> Vec<String> {
        self.state.unscripted()
    }

    /// Asserts that all that happened was meant to, for the end of a test.
    ///
    /// # Panics
    ///
    /// On any of these so far:
    /// - a request for a path nobody serves, or with a method nobody expects;
    /// - a call that no correct client makes: without a key, with `X-DashScope-Async`, with another
    ///   Content-Type, with a body that is no JSON or lacks something;
    /// - a call for an image that this emulator should serve and does not, or that is not on loopback
    ///   and has no fate;
    /// - a fate that no call took.
    pub fn finish(&self) {
        let mut faults = self.unscripted();
        for (image, left) in self.state.untaken() {
            faults.push(format!("{left} fates of {image} were never taken"));
        }
        assert!(
            faults.is_empty(),
            "the emulator saw what nobody scripted:\n  {}",
            faults.join("\n  ")
        );
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.state.stop();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

/// Settings of an [`Emulator`] that is about to start.
///
/// For an example see [the module](self).
#[must_use]
pub struct EmulatorBuilder(Config);

impl EmulatorBuilder {
    /// Where to listen; loopback only. Default 127.0.0.1, a free port.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.0.address = address;
        self
    }

    /// The one key that is taken; any other is answered 401. Default: any key that is not empty.
    pub fn api_key(mut self, key: &str) -> Self {
        self.0.api_key = Some(key.to_owned());
        self
    }

    /// The one model that is there. Default `emo-detect-v1`.
    pub fn model(mut self, name: &str) -> Self {
        self.0.model = name.to_owned();
        self
    }

    /// Requests allowed in any one second, refused ones counted; `None` for no limit. Default `Some(5)`.
    ///
    /// Source: the vendor page names 5 a second; that the window slides and counts what it refused is
    /// the strictest reading.
    pub fn rps(mut self, limit: Option<u32>) -> Self {
        self.0.rps = limit;
        self
    }

    /// How long the emulator's own fetch of an image may take, redirects included. Default 10 s.
    pub fn fetch_timeout(mut self, limit: Duration) -> Self {
        self.0.fetch_timeout = limit;
        self
    }

    /// Notes neither requests nor what nobody scripted, so that memory stays flat: for a stand-in that
    /// runs on its own rather than in a test.
    pub fn forgiving(mut self) -> Self {
        self.0.forgiving = true;
        self
    }

    /// Binds and serves, on the tokio runtime this is awaited on. Dropping the future leaves nothing
    /// bound.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an address that is not loopback; else what the operating system says.
    pub async fn start(self) -> io::Result<Emulator> {
        let Self(mut config) = self;
        if !config.address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the emulator listens on loopback only, not on {}", config.address),
            ));
        }
        let listener = TcpListener::bind(config.address).await?;
        config.address = listener.local_addr()?;
        let state = Arc::new(State::new(config));
        state.spawn(connection::run(listener, Arc::clone(&state)));
        Ok(Emulator { state })
    }
}

/// An image of one [`Emulator`]: its URL, and the handle for scripts and counters. Displays as the URL.
///
/// For an example see [the module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Served {
    url: String,
    key: Key,
}

impl Served {
    /// The image's absolute URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}
