//! The judgement: fetches the image from loopback, decodes and measures it.

use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use image::{ImageFormat, ImageReader};
use serde_json::json;
use tokio::net::TcpStream;
use url::{Host, Position, Url};

use super::boxes::{self, Ratio};
use super::fate::{Answer, message_of};
use super::state::State;

/// What the emulator calls itself when it fetches an image.
pub(super) const AGENT: &str = concat!("emo-preflight-emulator/", env!("CARGO_PKG_VERSION"));

pub(super) const NOT_LOOPBACK: &str =
    "the emulator fetches images by plain HTTP from loopback addresses and localhost only";

/// Passes an image that meets the documented limits, and says which it breaks otherwise.
pub(super) async fn judge(state: &State, url: &Url, ratio: Ratio) -> Answer {
    let fetched = tokio::time::timeout(state.config.fetch_timeout, fetch(state, url)).await;
    let measured = match fetched {
        Ok(Ok(file)) => measure(state, file).await,
        Ok(Err(flaw)) => Err(flaw),
        Err(_) => Err(Flaw::new("InvalidURL.Timeout")),
    };
    match measured {
        Ok((width, height)) => Answer::judged(json!({
            "check_pass": true,
            "face_bbox": boxes::face(width, height),
            "ext_bbox": boxes::ext(width, height, ratio),
        })),
        Err(flaw) => Answer::error(400, flaw.code, flaw.message),
    }
}

/// Whether a URL's host is this machine, decided without asking a resolver.
pub(super) fn is_loopback(url: &Url) -> bool {
    !addresses(url).is_empty()
}

/// Where a URL on this machine leads; empty for any other.
fn addresses(url: &Url) -> Vec<SocketAddr> {
    let all: &[IpAddr] = match url.host() {
        Some(Host::Ipv4(ip)) => &[ip.into()],
        Some(Host::Ipv6(ip)) => &[ip.into()],
        Some(Host::Domain("localhost")) => {
            &[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        _ => &[],
    };
    let port = url.port_or_known_default().unwrap_or_default();
    let loopback = all.iter().filter(|ip| ip.to_canonical().is_loopback());
    loopback.map(|ip| SocketAddr::new(*ip, port)).collect()
}

/// Why an image gets no verdict, in the service's words.
struct Flaw {
    code: &'static str,
    message: &'static str,
}

impl Flaw {
    fn new(code: &'static str) -> Self {
        Self { code, message: message_of(code) }
    }
}

async fn fetch(state: &State, url: &Url) -> Result<Bytes, Flaw> {
    let mut url = url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let answer = get(state, &url).await?;
        if answer.status().is_redirection() {
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            url = to.and_then(|to| url.join(to).ok()).ok_or_else(|| Flaw::new("InvalidURL"))?;
            continue;
        }
        if answer.status() != StatusCode::OK {
            break;
        }
        return match Limited::new(answer.into_body(), MAX_FILE).collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Flaw::new("InvalidFile.Size")),
            Err(_) => Err(Flaw::new("InvalidURL")),
        };
    }
    Err(Flaw::new("InvalidURL"))
}

/// A connection for each request: a test's own image server may close after every answer.
async fn get(state: &State, url: &Url) -> Result<Response<Incoming>, Flaw> {
    let addresses = addresses(url);
    if url.scheme() != "http" || addresses.is_empty() {
        return Err(Flaw { code: "InvalidURL", message: NOT_LOOPBACK });
    }
    let stream = TcpStream::connect(addresses.as_slice()).await;
    let stream = stream.map_err(|_| Flaw::new("InvalidURL.ConnectionRefused"))?;
    let invalid = |_| Flaw::new("InvalidURL");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(invalid)?;
    state.spawn(async move {
        // What ends it shows in the answer.
        let _ = connection.await;
    });
    let request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(|_| Flaw::new("InvalidURL"))?;
    sender.send_request(request).await.map_err(invalid)
}

async fn measure(state: &State, file: Bytes) -> Result<(u32, u32), Flaw> {
    // Held until the decoder is done, so that a crowd of large images waits its turn outside memory.
    let permit = Arc::clone(&state.decoders).acquire_owned().await;
    let decoded = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        decode(&file)
    });
    decoded.await.unwrap_or_else(|_| Err(Flaw::new("InvalidFile.Openerror")))
}

fn decode(file: &[u8]) -> Result<(u32, u32), Flaw> {
    let unreadable = |_| Flaw::new("InvalidFile.Openerror");
    let format = image::guess_format(file)
        .ok()
        .filter(|format| FORMATS.contains(format))
        .ok_or_else(|| Flaw::new("InvalidFile.Format"))?;
    let reader = || ImageReader::with_format(Cursor::new(file), format);
    // The sides come first: a small file may claim an image of any size.
    let (width, height) = reader().into_dimensions().map_err(unreadable)?;
    if width.min(height) < SHORTEST || width.max(height) > LONGEST {
        return Err(Flaw::new("InvalidFile.Resolution"));
    }
    reader().decode().map_err(unreadable)?;
    Ok((width, height))
}

const FORMATS: [ImageFormat; 4] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP];

/// Pixels, inclusive, as the vendor page has it.
const SHORTEST: u32 = 400;
const LONGEST: u32 = 7000;

/// Bytes; the page of this model names no limit.
const MAX_FILE: usize = 64 * 1024 * 1024;

const MAX_REDIRECTS: usize = 5;
