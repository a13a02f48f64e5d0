//! What goes wrong with a fetch, and what it says of the image.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, timeout};

use super::LocalRejection;
use super::guard::PrivateAddress;
use super::head::excerpt;
use crate::net::http_error::{causes, describe, lacks_descriptor};
use crate::report::{Reason, ReasonCode};

/// Why one request failed.
pub(super) enum FetchError {
    /// A repeat may help; after `wait`, if the origin said so.
    Passing { rejection: LocalRejection, wait: Option<Duration> },
    /// It will not.
    Final(LocalRejection),
    /// This process has no file descriptor left: another fetch will give one back.
    NoDescriptor(LocalRejection),
    /// The time that the image had as a whole is over.
    OutOfTime,
}

/// Does `work` within `span`, and before `end` in any case: one timer for both. `late` says what it
/// means that the span was too short.
pub(super) async fn within<T>(
    span: Duration,
    end: Option<Instant>,
    work: impl Future<Output = T>,
    late: impl FnOnce() -> FetchError,
) -> Result<T, FetchError> {
    let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
    let done = timeout(span.min(left), work).await;
    done.map_err(|_| if left <= span { FetchError::OutOfTime } else { late() })
}

impl From<LocalRejection> for FetchError {
    fn from(rejection: LocalRejection) -> Self {
        Self::Final(rejection)
    }
}

/// A status that brings no image; `said` is what an object store's error body gives for a reason.
pub(super) fn refused_by_status(
    status: StatusCode,
    wait: Option<Duration>,
    said: Option<&str>,
) -> FetchError {
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        let reason = Reason::new(
            ReasonCode::NotFound,
            format!("server must have the image, found {status}{said}"),
        );
        return FetchError::Final(LocalRejection::rejected(reason.found(status.as_u16())));
    }
    let hint = match status {
        StatusCode::FORBIDDEN if said.is_empty() => {
            "; some hosts refuse unknown clients: try --user-agent"
        }
        _ => "",
    };
    let reason = Reason::new(
        ReasonCode::HttpStatus,
        format!("server must answer 200 or 206, found {status}{said}{hint}"),
    );
    let rejection = LocalRejection::undetermined(reason.found(status.as_u16()));
    // A server that ends an idle connection may say 408 just when a request is on its way
    // (RFC 9110, section 15.5.9); 421 and 425 ask for another connection, and for a while.
    let may_pass = matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::MISDIRECTED_REQUEST
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
    );
    if status.is_server_error() || may_pass {
        FetchError::Passing { rejection, wait }
    } else {
        FetchError::Final(rejection)
    }
}

/// A host that asked to be left alone for longer than is waited.
pub(super) fn busy(patience: Duration, asked: Duration) -> LocalRejection {
    let asked = asked.as_secs();
    undetermined(
        ReasonCode::HttpStatus,
        format!(
            "server must be free to ask within {patience:?}, found that its Retry-After was {asked} s"
        ),
    )
}

/// A connection that failed or broke off.
pub(super) fn broken(error: &(dyn Error + 'static)) -> FetchError {
    if lacks_descriptor(error) {
        let message = format!(
            "this process must have a free file descriptor, found: {}; raise its limit (ulimit -n) \
             or take fewer sources at a time (--concurrency)",
            describe(error)
        );
        return FetchError::NoDescriptor(undetermined(ReasonCode::Network, message));
    }
    if let Some(why) = certificate(error) {
        // It will be no better within a second.
        let why = excerpt(&why.to_string());
        let message = format!("server's certificate must hold, found: {why}");
        return FetchError::Final(undetermined(ReasonCode::Network, message));
    }
    let message = format!("server must answer, found: {}", describe(error));
    FetchError::Passing { rejection: undetermined(ReasonCode::Network, message), wait: None }
}

/// A body that ended before its time.
pub(super) fn cut_short(expected: u64, found: u64) -> FetchError {
    let message = format!("transfer of {expected} bytes must be complete, found {found}");
    FetchError::Passing { rejection: undetermined(ReasonCode::Network, message), wait: None }
}

/// A request whose answer did not even begin.
pub(super) fn unanswered(span: Duration) -> LocalRejection {
    undetermined(ReasonCode::Timeout, format!("answer must begin within {span:?}, found nothing"))
}

/// A body that comes too slowly. It is not repeated: the origin is there, and dawdles.
pub(super) fn stalled(least: usize, span: Duration, found: usize) -> FetchError {
    let message =
        format!("at least {least} bytes or the rest must arrive within {span:?}, found {found}");
    let reason = Reason::new(ReasonCode::Timeout, message);
    FetchError::Final(LocalRejection::undetermined(reason.found(found).required(least)))
}

/// An address that may not be connected to.
pub(super) fn private(refused: &PrivateAddress) -> LocalRejection {
    LocalRejection::rejected(Reason::new(ReasonCode::PrivateAddress, refused.to_string()))
}

/// An answer that does not fit what was asked.
pub(super) fn unusable(what: &str) -> LocalRejection {
    undetermined(
        ReasonCode::HttpStatus,
        format!("server's answer must fit the request, found {what}"),
    )
}

/// Nothing can be said of the image.
pub(super) fn undetermined(code: ReasonCode, message: impl Into<String>) -> LocalRejection {
    LocalRejection::undetermined(Reason::new(code, message))
}

/// What is wrong with the origin's certificate, if that is what failed.
fn certificate<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    /// Looks into I/O errors, which pass over what they hold when asked for their source.
    fn held<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
        match error.downcast_ref::<io::Error>() {
            Some(outer) => held(outer.get_ref()?),
            None => error.downcast_ref(),
        }
    }
    causes(error).find_map(held).filter(|e| matches!(e, rustls::Error::InvalidCertificate(_)))
}
