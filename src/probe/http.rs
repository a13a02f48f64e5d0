//! The HTTP client of image fetches: hyper's, over connections that the guard allows.
//!
//! What a general client adds (redirects, proxies, cookies, decoding, asking again) a fetch must not
//! have, and it costs as much time as all the rest of one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, IF_RANGE, RANGE, USER_AGENT,
};
use hyper::{Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;
use url::Url;

use super::ProbeOptions;
use super::guard::{GuardedResolver, Names};
use super::range::ByteRange;
use super::turns::InTurns;
use crate::net::{ConfigError, tls};

/// A client and its connections.
pub(super) struct Http {
    /// Over connections that were kept.
    kept: Pool,
    /// Over connections that nobody used before.
    fresh: Pool,
    /// What every request says.
    headers: HeaderMap,
}

type Pool = Client<InTurns<HttpsConnector<HttpConnector<GuardedResolver>>>, Empty<Bytes>>;

impl Http {
    pub(super) fn new(options: &ProbeOptions, names: Arc<dyn Names>) -> Result<Self, ConfigError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, user_agent(&options.user_agent)?);

        let tls = tls::config(&[b"h2", b"http/1.1"], &options.extra_roots)?;
        let policy = options.addresses.clone();
        let mut tcp = HttpConnector::new_with_resolver(GuardedResolver { policy, names });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // A kept connection that died unnoticed is to be found out before it is used.
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));

        let mut client = Client::builder(TokioExecutor::new());
        client
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(options.per_host)
            .http1_max_buf_size(READ_BUFFER)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_max_concurrent_reset_streams(RESET_STREAMS)
            // A dead connection would be asked by every image that is under way: it is found out
            // before the patience with it ends.
            .http2_keep_alive_interval(options.progress_timeout / 4)
            .http2_keep_alive_timeout(options.progress_timeout / 2);
        let connector = InTurns(HttpsConnector::from((tcp, tls)));
        let kept = client.build(connector.clone());
        let fresh = client.pool_max_idle_per_host(0).build(connector);
        Ok(Self { kept, fresh, headers })
    }

    /// The head of what an origin answers; of a file that must still be the one of `etag`, if one
    /// is given (RFC 9110, section 13.1.5).
    pub(super) async fn get(
        &self,
        target: &Target,
        range: Option<ByteRange>,
        etag: Option<&str>,
        over: Connections,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = target.uri.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        let range = range.map(|range| HeaderValue::try_from(range.to_string()));
        let etag = etag.map(HeaderValue::from_str);
        for (name, value) in [(RANGE, range), (IF_RANGE, etag)] {
            // Digits, and what came in a header itself, can be sent in one.
            if let Some(Ok(value)) = value {
                headers.insert(name, value);
            }
        }
        if let Some(authorization) = &target.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let pool = match over {
            Connections::Kept => &self.kept,
            Connections::Fresh => &self.fresh,
        };
        pool.request(request).await
    }
}

/// Which connections a request may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Connections {
    /// Any that is there.
    Kept,
    /// A new one: those that were kept have failed, and may all be dead.
    Fresh,
}

fn user_agent(text: &str) -> Result<HeaderValue, ConfigError> {
    let value = HeaderValue::from_str(text).ok().filter(|value| value.to_str().is_ok());
    value.ok_or_else(|| {
        ConfigError::Option(format!("the User-Agent must be printable ASCII, found {text:?}"))
    })
}

/// A URL as HTTP carries it: userinfo travels in a header (RFC 7617).
pub(super) struct Target {
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl Target {
    /// `None` for a URL that HTTP cannot carry, such as one of more than 64 KiB.
    pub(super) fn of(url: &Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            let uri = Uri::from_maybe_shared(Bytes::copy_from_slice(url.as_str().as_bytes()));
            return Some(Self { uri: uri.ok()?, authorization: None });
        }
        let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
        let (user, password) = (url.username(), url.password().unwrap_or_default());
        let credentials = [decoded(user), decoded(password)].join(&b':');
        let basic = format!("Basic {}", BASE64_STANDARD.encode(credentials));
        let mut authorization = HeaderValue::try_from(basic).ok()?;
        authorization.set_sensitive(true);
        let mut url = url.clone();
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some(Self { authorization: Some(authorization), ..Self::of(&url)? })
    }
}

/// Bytes an origin may send beyond what has been read: a stream that is hung up on costs little.
const STREAM_WINDOW: u32 = 128 * 1_024;

/// Streams hung up on that are remembered, since what was on its way for one that is forgotten
/// would cost the connection.
const RESET_STREAMS: usize = 1_024;

/// Bytes read ahead on one HTTP/1.1 connection. An answer's head has to fit; a stream faster than
/// us fills it, so it decides how much memory hundreds of connections take.
const READ_BUFFER: usize = 64 * 1_024;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;
