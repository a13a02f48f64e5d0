//! What an HTTP client's errors say, of image fetches and of the paid call.

/// An HTTP error with its causes and without its URL, which may carry a signature.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    // The first text names the URL; what follows says what happened.
    let texts: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
    match texts.as_slice() {
        [] if error.is_timeout() => "time-out".to_owned(),
        [] => "the request could not be made".to_owned(),
        texts => texts.join(": "),
    }
}

/// An error, what caused it, and so on.
pub(crate) fn causes(
    error: &reqwest::Error,
) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |e| e.source())
}
