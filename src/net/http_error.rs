//! What an HTTP client's errors say, of image fetches and of the paid call.

use std::error::Error;
use std::io;

/// An error with its causes.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An error, what caused it, and so on.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e| e.source())
}

/// Whether this process, or this machine, has no file descriptor left: EMFILE, ENFILE. That is our own
/// trouble, not the other side's.
pub(crate) fn lacks_descriptor(error: &(dyn Error + 'static)) -> bool {
    let is_ours = |e: &io::Error| cfg!(unix) && matches!(e.raw_os_error(), Some(23 | 24));
    causes(error).any(|e| e.downcast_ref::<io::Error>().is_some_and(is_ours))
}

/// Whether a time ran out below us: of TCP, or of a ping over HTTP/2.
pub(crate) fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let timed_out = |e: &io::Error| e.kind() == io::ErrorKind::TimedOut;
    causes(error).any(|e| {
        e.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
            || e.downcast_ref::<io::Error>().is_some_and(timed_out)
    })
}
