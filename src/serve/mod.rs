//! The gate as an HTTP service: it speaks the vendor's endpoint, so a DashScope client in any
//! language stands behind the gate by its base URL alone.
//!
//! It makes no decision of its own: [`Preflight`] judges, books and calls; this module reads
//! requests and words the answers.
//!
//! | request | answer |
//! |---|---|
//! | `POST /api/v1/services/aigc/image2video/face-detect` | the vendor's: see [Answers](#answers) |
//! | `POST /v1/check`, `/v1/probe` | the report of one source as JSON; of a stream of JSON Lines (`application/x-ndjson`) a stream |
//! | `GET /healthz` | 200 while the ledger can be reached, else 503 |
//! | `GET /metrics` | for Prometheus |
//! | anything else | 404 `Preflight.NotServed`, or with [`ServeOptions::pass_through`] the service's |
//!
//! # Example
//!
#![cfg_attr(feature = "emulator", doc = "```")]
#![cfg_attr(not(feature = "emulator"), doc = "```ignore")]
//! use emo_preflight::emulator::Emulator;
//! use emo_preflight::serve::{ServeOptions, serve};
//! use emo_preflight::{ApiKey, Preflight};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = Emulator::builder().start().await?; // in earnest leave out `base_url`
//! let gate = Preflight::builder(ApiKey::new("sk-any")?)
//!     .base_url(service.base_url())
//!     .build()
//!     .await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! println!("base URL: http://{}/api/v1", listener.local_addr()?);
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let server = tokio::spawn(serve(listener, gate.clone(), ServeOptions::default(), async {
//!     let _ = stopped.await;
//! }));
//! // … and when it is to end:
//! let _ = stop.send(());
//! server.await??;
//! gate.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Answers
//!
//! Where the service was asked, now or earlier, its own answer is given: status and body byte for byte.
//! What was refused here has the service's error shape (`code`, `message`, `request_id`), no `usage`,
//! and a `request_id` that begins with `preflight-`:
//!
//! | status | code | of the reasons |
//! |---:|---|---|
//! | 400 | `InvalidFile.Format` | `unsupported_format`, `not_an_image`, `corrupt_header` |
//! | 400 | `InvalidFile.Resolution` | `shortest_side_below_min`, `longest_side_above_max` |
//! | 400 | `InvalidFile.NoHuman` | `no_face` |
//! | 400 | `InvalidFile.MultiHuman` | `several_faces` |
//! | 400 | `InvalidFile.BodyProportion` | `face_too_small` |
//! | 400 | `InvalidFile.Openerror` | `undecodable` |
//! | 400 | `InvalidURL` | `not_http_url`, `private_address`, `not_found`, `bad_input`, `unreadable_file` |
//! | 400 | `InvalidURL.Timeout` | `timeout` |
//! | 400 | `InvalidURL.ConnectionRefused` | what else the local stage could not tell |
//! | 502 | `Preflight.BillingUnknown` | `billing_unknown`: may have been billed, is not repeated |
//! | 429 | `Preflight.CapReached` | `cap_reached` |
//! | 503 | `Preflight.LedgerError` | `ledger_error` |
//! | 503 | `Preflight.Stopped` | the server is about to end, or the service cannot be reached, or what answers there is not the service |
//!
//! Each has `x-emo-preflight-verdict`, `x-emo-preflight-from-ledger` (`true`, `false`) and
//! `x-emo-preflight-billing` (`images=1, certainty=certain`).
//!
//! # Limits
//!
//! HTTP/1.1 alone. A head of at most 16 KiB (431), a body of at most 64 KiB (413), as is a line of a
//! stream; 30 s to send a request (408); a minute in which a client takes nothing of its answer; 1,024 connections, beyond which a
//! new one gets 503; one on which nothing is asked for 30 s is closed. A client that closes its half of the connection
//! has hung up: if its call has not left yet, none is made.

mod answer;
mod body;
mod connections;
mod endpoint;
mod metrics;
mod pass_through;
mod reports;
mod request_log;
mod router;
mod server;
mod socket;
mod timing;
mod token;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use url::{Host, Url};

pub use timing::Timing;
pub use token::{ServerToken, TokenError};

use crate::gate::Preflight;
use crate::net::ConfigError;
use crate::run::{RunOptions, Stop};
use metrics::Metrics;
use pass_through::Upstream;
use server::Server;

/// Settings of a server.
///
/// For an example see [the module](self).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServeOptions {
    /// Whether what is not for the gate goes on to the service, with the caller's own key: other
    /// paths, and other models on the same path. Nothing of it is booked. Default off.
    pub pass_through: bool,
    /// What every caller must show. Needed on any address but loopback. Default none.
    pub token: Option<ServerToken>,
    /// Settings of the runs that streams of sources make. They share its concurrency.
    pub run: RunOptions,
    /// The longest that requests under way are waited for at the end. Calls that have left are
    /// recorded all the same. Default 100 s: the call's time-out and 40 s.
    pub grace: Duration,
    /// How long the server waits for its clients.
    pub timing: Timing,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            pass_through: false,
            token: None,
            run: RunOptions::default(),
            grace: Duration::from_secs(100),
            timing: Timing::default(),
        }
    }
}

/// Why there is no server.
///
/// For an example see [the module](self).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The listener is of no use.
    #[error("cannot listen: {0}")]
    Listen(#[from] io::Error),
}

/// Serves on `listener` until `shutdown` is done. Then it takes no new request, answers those whose
/// call has left, refuses the others, and returns. The gate stays open: [close](Preflight::close) it
/// when nobody else needs it.
///
/// Dropping the future closes the listener and all connections; calls that have left are recorded all
/// the same.
///
/// # Errors
/// [`ServeError`] when it must not serve: another address than loopback without a token, or a base URL of
/// the gate that is this server itself.
pub async fn serve(
    listener: TcpListener,
    gate: Preflight,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    let invalid = |what: String| ServeError::Config(ConfigError::Option(what));
    if !address.ip().is_loopback() && options.token.is_none() {
        return Err(invalid(format!(
            "a server on another address than loopback must have a token, found none for {address}"
        )));
    }
    let endpoint = &gate.service().endpoint;
    if leads_to(endpoint, address) {
        return Err(invalid(format!(
            "the service's base URL must not be this server itself, found {}:{}; clients take \
             DASHSCOPE_HTTP_BASE_URL, this server must not",
            endpoint.host_str().unwrap_or_default(),
            address.port()
        )));
    }
    let upstream = match options.pass_through {
        true => Some(Upstream::new(gate.service())?),
        false => None,
    };
    let server = Arc::new(Server {
        metrics: Metrics::new(gate.clone()),
        gate,
        stop: Stop::default(),
        upstream,
        token: options.token,
        on_loopback: address.ip().is_loopback(),
        places: Arc::new(Semaphore::new(options.run.concurrency.clamp(1, Semaphore::MAX_PERMITS))),
        run: options.run,
        timing: options.timing.bounded(),
    });
    connections::accept(listener, server, options.grace, shutdown).await;
    Ok(())
}

/// Whether a request to `url` would come to a server that listens on `address`, as far as can be told.
fn leads_to(url: &Url, address: SocketAddr) -> bool {
    let on_loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || address.ip() == ip,
        Some(Host::Ipv6(ip)) => ip.is_loopback() || address.ip() == ip,
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let reaches = address.ip().is_loopback() || address.ip().is_unspecified();
    on_loopback && url.port_or_known_default() == Some(address.port()) && reaches
        || url.host_str() == Some(&address.ip().to_string())
            && url.port_or_known_default() == Some(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_that_is_the_server_itself_is_told() {
        for (url, address, expected) in [
            ("http://127.0.0.1:8485/api/v1", "127.0.0.1:8485", true),
            ("http://localhost:8485/api/v1", "127.0.0.1:8485", true),
            ("http://[::1]:8485/api/v1", "[::1]:8485", true),
            ("http://127.0.0.1:8485/api/v1", "0.0.0.0:8485", true),
            ("https://192.0.2.7:8485/api/v1", "192.0.2.7:8485", true),
            ("https://192.0.2.8:8485/api/v1", "192.0.2.7:8485", false),
            ("http://127.0.0.1:8484/api/v1", "127.0.0.1:8485", false),
            ("https://dashscope.aliyuncs.com/api/v1", "0.0.0.0:443", false),
        ] {
            let (parsed, address) = (Url::parse(url).unwrap(), address.parse().unwrap());
            assert_eq!(leads_to(&parsed, address), expected, "{url} {address}");
        }
    }
}
