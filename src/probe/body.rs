//! The body of one answer, as it comes.

use std::time::Duration;

use reqwest::Response;

/// Reads the rest of a short body nobody wants, so that its connection can serve again. Nobody
/// waits long for it either.
pub(super) async fn drain(mut response: Response) {
    if response.content_length().is_some_and(|length| length <= WORTH_DRAINING) {
        let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
        let _ = tokio::time::timeout(WORTH_WAITING, rest).await;
    }
}

const WORTH_DRAINING: u64 = 16 * 1_024;
const WORTH_WAITING: Duration = Duration::from_millis(200);
