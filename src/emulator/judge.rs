//! The judgement: fetches the image from loopback, decodes and measures it.

use std::io::Cursor;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use image::{ImageFormat, ImageReader};
use serde_json::json;
use url::{Host, Url};

use super::boxes::{self, Ratio};
use super::fate::{Answer, message_of};
use super::state::State;

/// What the emulator calls itself when it fetches an image.
pub(super) const AGENT: &str = concat!("emo-preflight-emulator/", env!("CARGO_PKG_VERSION"));

pub(super) const NOT_LOOPBACK: &str =
    "the emulator fetches images from loopback addresses and from localhost only";

/// Passes an image that meets the documented limits, and says which it breaks otherwise.
pub(super) async fn judge(state: &State, url: &Url, ratio: Ratio) -> Answer {
    let fetched = tokio::time::timeout(state.config.fetch_timeout, fetch(&state.client, url)).await;
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

/// The client that fetches images: loopback names stay on loopback, no proxy, no redirects of its own.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    let loopback =
        [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
    let mut builder = reqwest::Client::builder()
        .user_agent(AGENT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .resolve_to_addrs("localhost", &loopback)
        .http1_only()
        // A test's own image server may close after every answer.
        .pool_max_idle_per_host(0);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Trusts nobody: only http on loopback is ever fetched. Without it reqwest looks for a provider of
    // the process and panics when nobody installed one.
    if let Ok(tls) =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
    {
        let tls = tls.with_root_certificates(rustls::RootCertStore::empty());
        builder = builder.tls_backend_preconfigured(tls.with_no_client_auth());
    }
    builder.build()
}

/// Whether a URL's host is this machine, decided without asking a resolver.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
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

async fn fetch(client: &reqwest::Client, url: &Url) -> Result<Vec<u8>, Flaw> {
    let mut url = url.clone();
    for _ in 0..=MAX_REDIRECTS {
        if !matches!(url.scheme(), "http" | "https") || !is_loopback(&url) {
            return Err(Flaw { code: "InvalidURL", message: NOT_LOOPBACK });
        }
        let answer = client.get(url.clone()).send().await.map_err(|error| {
            if error.is_connect() {
                Flaw::new("InvalidURL.ConnectionRefused")
            } else {
                Flaw::new("InvalidURL")
            }
        })?;
        if !answer.status().is_redirection() {
            return download(answer).await;
        }
        url = answer
            .headers()
            .get(reqwest::header::LOCATION)
            .and_then(|to| to.to_str().ok())
            .and_then(|to| url.join(to).ok())
            .ok_or_else(|| Flaw::new("InvalidURL"))?;
    }
    Err(Flaw::new("InvalidURL"))
}

async fn download(mut answer: reqwest::Response) -> Result<Vec<u8>, Flaw> {
    if answer.status() != reqwest::StatusCode::OK {
        return Err(Flaw::new("InvalidURL"));
    }
    let mut file = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if file.len() + chunk.len() > MAX_FILE => {
                return Err(Flaw::new("InvalidFile.Size"));
            }
            Ok(Some(chunk)) => file.extend_from_slice(&chunk),
            Ok(None) => return Ok(file),
            Err(_) => return Err(Flaw::new("InvalidURL")),
        }
    }
}

async fn measure(state: &State, file: Vec<u8>) -> Result<(u32, u32), Flaw> {
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
