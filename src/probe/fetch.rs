//! The loop that feeds the header reader from a URL: ranges where the origin knows them, a stream
//! that is hung up on where it does not, our own redirects.

use std::error::Error;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use hyper::body::Incoming;
use hyper::header::LOCATION;
use hyper::{Response, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::body::{Body, drain, error_body};
use super::content::Content;
use super::error::{
    FetchError, broken, busy, private, refused_by_status, unanswered, undetermined, unusable,
    within,
};
use super::guard::PrivateAddress;
use super::head::{error_words, excerpt, retry_after};
use super::http::{Connections, Target};
use super::prefix::Prefix;
use super::progress::{Answer, ImageProgress, Version};
use super::redirect::{is_redirect, location, target};
use super::{LocalRejection, Shared};
use crate::header::{Format, Header};
use crate::net::http_error::{causes, is_timeout};
use crate::net::url_text::printable;
use crate::report::{Fetch, Reason, ReasonCode};

/// Where an image lay, redirects followed, and what was read of it.
pub(crate) struct Origin {
    url: Url,
    /// Whether parts of it can be asked for there.
    pub(super) ranges: bool,
    pub(super) version: Version,
    pub(super) prefix: Prefix,
}

/// Reads the header of the image at `url`. What is taken from the network is added to `spent`, whatever
/// the outcome.
pub(super) async fn fetch(
    shared: &Shared,
    mut url: Url,
    spent: Fetch,
) -> (Result<(Header, Origin), LocalRejection>, Fetch) {
    // It is not sent, and would count for a URL too long to be sent.
    url.set_fragment(None);
    let progress = ImageProgress::to_header(shared.prefix());
    let (found, spent) = transfer(shared, url, true, progress, spent).await;
    let header = found.and_then(|(answer, origin)| match answer {
        Answer::Header(Ok(header)) => Ok((header, origin)),
        Answer::Header(Err(error)) => Err(LocalRejection::of_header(&error)),
        _ => Err(changed()),
    });
    (header, spent)
}

/// Reads what an image whose header is known lacks of its content. `spent` is what was taken so far, which
/// this adds to.
pub(super) async fn fetch_content(
    shared: &Shared,
    Origin { url, ranges, version, prefix }: Origin,
    format: Format,
    spent: Fetch,
) -> (Result<(Content, Origin), LocalRejection>, Fetch) {
    // Where the samples lie is told by the length.
    let ranges = ranges && version.total.is_some();
    let progress = ImageProgress::to_content(format, version, prefix);
    let (found, spent) = transfer(shared, url, ranges, progress, spent).await;
    let content = found.and_then(|(answer, origin)| match answer {
        Answer::Content(content) => Ok((content, origin)),
        _ => Err(changed()),
    });
    (content, spent)
}

/// Reads the rest of an image whose first bytes are known, up to `most` bytes in all. `spent` is what was
/// taken so far, which this adds to.
#[cfg(feature = "faces")]
pub(super) async fn fetch_whole(
    shared: &Shared,
    Origin { url, ranges, version, prefix }: Origin,
    most: usize,
    spent: Fetch,
) -> (Result<Vec<u8>, LocalRejection>, Fetch) {
    let progress = ImageProgress::to_whole(version, prefix.up_to(most));
    let (found, spent) = transfer(shared, url, ranges, progress, spent).await;
    let bytes = found.and_then(|(answer, origin)| match answer {
        Answer::Whole => Ok(origin.prefix.into_bytes()),
        _ => Err(changed()),
    });
    (bytes, spent)
}

async fn transfer(
    shared: &Shared,
    url: Url,
    ranges: bool,
    progress: ImageProgress,
    before: Fetch,
) -> (Result<(Answer, Origin), LocalRejection>, Fetch) {
    let Some(target) = Target::of(&url) else {
        let rejection = LocalRejection::rejected(Reason::new(ReasonCode::NotHttpUrl, UNSENDABLE));
        return (Err(rejection), before);
    };
    let mut transfer = ImageFetch {
        shared,
        url,
        target,
        taken: Duration::from_millis(before.elapsed_ms),
        end: None,
        progress,
        ranges,
        over: Connections::Kept,
        has_been_silent: false,
        spent: Fetch::default(),
    };
    // All of it may be here already.
    let outcome = match transfer.progress.answer() {
        Some(answer) => Ok(answer),
        None => transfer.run().await,
    };
    let elapsed_ms = u64::try_from(transfer.taken.as_millis()).unwrap_or(u64::MAX);
    let spent = before.and(Fetch { elapsed_ms, ..transfer.spent });
    let ImageFetch { url, ranges, progress, .. } = transfer;
    let (version, prefix) = (progress.version, progress.prefix);
    (outcome.map(|answer| (answer, Origin { url, ranges, version, prefix })), spent)
}

/// One image's way through requests, redirects and repeats.
pub(super) struct ImageFetch<'a> {
    pub(super) shared: &'a Shared,
    url: Url,
    target: Target,
    /// What counts against the time-out. Waiting for one's turn is not the origin's fault, and is
    /// not in it.
    taken: Duration,
    /// When that is over, unless the request under way ends before; none where no clock counts that
    /// far.
    end: Option<Instant>,
    pub(super) progress: ImageProgress,
    /// Off once the origin has shown that it makes no sense of Range.
    pub(super) ranges: bool,
    over: Connections,
    has_been_silent: bool,
    pub(super) spent: Fetch,
}

/// How one request ended, short of a rejection.
pub(super) enum Next {
    /// The answer is known.
    Known(Answer),
    /// Ask again, from where the reader now is.
    Again,
}

impl ImageFetch<'_> {
    async fn run(&mut self) -> Result<Answer, LocalRejection> {
        let mut pauses = RETRIES.with_jitter_seed(fastrand::u64(..)).build();
        let mut kept = None;
        loop {
            let (host, place) = match kept.take() {
                Some(kept) => kept,
                None => {
                    let host = self.shared.hosts.named(host_of(&self.url));
                    let place = host.enter().await;
                    (host, place)
                }
            };
            let patience = self.left();
            host.until_welcome(patience).await.map_err(|asked| busy(patience, asked))?;
            let begun = Instant::now();
            self.end = begun.checked_add(self.left());
            let next = self.request().await;
            self.taken += begun.elapsed();
            // A connection goes back to the pool in a task of its own: who comes next is to find
            // it there.
            turn_of_others().await;
            match next {
                Ok(Next::Known(answer)) => return Ok(answer),
                Ok(Next::Again) => {
                    // Whoever has begun goes on: to queue anew for each part would keep all
                    // images of a busy host unfinished.
                    kept = (host_of(&self.url) == host.name).then_some((host, place));
                }
                Err(FetchError::Final(rejection)) => return Err(rejection),
                Err(FetchError::OutOfTime) => return self.out_of_time(),
                Err(FetchError::NoDescriptor(rejection)) => {
                    // Nothing was sent: that counts as no repeat.
                    drop(place);
                    self.spent.requests = self.spent.requests.saturating_sub(1);
                    if NO_DESCRIPTOR >= self.left() {
                        return Err(rejection);
                    }
                    tokio::time::sleep(NO_DESCRIPTOR).await;
                    self.taken += NO_DESCRIPTOR;
                }
                Err(FetchError::Passing { rejection, wait }) => {
                    if let Some(wait) = wait {
                        // Before the place is free: whoever gets it next is to know.
                        host.leave_alone(wait);
                    }
                    drop(place);
                    self.over = Connections::Fresh;
                    let Some(pause) = pauses.next() else { return Err(rejection) };
                    if wait.unwrap_or_default().max(pause) >= self.left() {
                        // The wait could only end in a time-out, which says less.
                        return Err(rejection);
                    }
                    if !self.ranges {
                        // What broke off was a stream, and the next one begins at byte 0 again.
                        self.progress.begin_again();
                    }
                    tracing::debug!(url = %printable(&self.url), ?pause, "repeating an image fetch");
                    tokio::time::sleep(pause).await;
                    self.taken += pause;
                }
            }
        }
    }

    fn left(&self) -> Duration {
        self.shared.options.timeout.saturating_sub(self.taken)
    }

    pub(super) fn body(&self, response: Response<Incoming>) -> Body {
        Body::new(response.into_body(), self.shared.options.progress_timeout, self.end)
    }

    fn out_of_time(&mut self) -> Result<Answer, LocalRejection> {
        if let Some(answer) = self.progress.answer() {
            // What stalled was the rest of a part, which nobody needs.
            return Ok(answer);
        }
        let (limit, bytes, what) = (self.shared.options.timeout, self.spent.bytes, self.what());
        let message = format!("{what} must arrive within {limit:?}, found {bytes} bytes by then");
        Err(undetermined(ReasonCode::Timeout, message))
    }

    async fn request(&mut self) -> Result<Next, FetchError> {
        self.shared.options.addresses.judge_literal(&self.url).map_err(|e| private(&e))?;
        let left = self.most().saturating_sub(self.spent.bytes);
        let asked = self.ranges.then(|| self.progress.next_range(left));
        let jump =
            self.progress.jump().filter(|jump| asked.is_some_and(|asked| asked.first == jump.at));
        if let (Some(asked), Some(total)) = (asked, self.progress.version.total)
            && asked.first >= total
        {
            // What an origin answers to a range beyond its file is not about the image.
            return Ok(self.progress.end(total).map_or(Next::Again, Next::Known));
        }
        self.refuse_if_too_long(0)?;
        // A file that changes between two requests must not be read as one.
        let etag = self.progress.version.etag.as_deref().filter(|_| asked.is_some());
        let request = self.shared.http.get(&self.target, asked, etag, self.over);
        self.spent.requests += 1;
        let span = self.shared.options.progress_timeout;
        let response = within(span, self.end, request, || silent(span, &mut self.has_been_silent))
            .await?
            .map_err(|e| self.unsent(&e))?;
        match response.status() {
            StatusCode::OK => self.whole(response).await,
            StatusCode::PARTIAL_CONTENT => match asked {
                Some(asked) => self.part(response, asked, jump).await,
                None => Err(unusable("206 although no range was asked for").into()),
            },
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let first = asked.map_or(0, |asked| asked.first);
                self.beyond_the_end(response.headers(), first)
            }
            status if is_redirect(status) => {
                let to = response.headers().get(LOCATION).map(location);
                drain(response.into_body()).await;
                self.redirect(to.as_deref())
            }
            status => {
                let wait = retry_after(response.headers());
                let body = error_body(response.into_body()).await;
                Err(refused_by_status(status, wait, error_words(&body).as_deref()))
            }
        }
    }

    /// Refuses to read on where too much was taken: of a header in all, of a whole file `read` in one go.
    pub(super) fn refuse_if_too_long(&self, read: u64) -> Result<(), LocalRejection> {
        self.refuse_if_longer_than(if self.progress.is_header() { self.spent.bytes } else { read })
    }

    /// Refuses a file that has no end after `found` bytes.
    pub(super) fn refuse_if_longer_than(&self, found: u64) -> Result<(), LocalRejection> {
        let (most, what) = (self.most(), self.what());
        if found < most {
            return Ok(());
        }
        let message = format!("{what} must end within {most} bytes, found {found} without an end");
        Err(undetermined(self.too_long(), message))
    }

    /// Refuses a file that says that it is longer than what may be read of it.
    pub(super) fn refuse_length(&self, length: Option<u64>) -> Result<(), LocalRejection> {
        let most = self.most();
        match length.filter(|length| *length > most && !self.progress.is_header()) {
            None => Ok(()),
            Some(length) => {
                let message = format!(
                    "an image whose origin gives no ranges must have at most {most} bytes, found {length}"
                );
                Err(undetermined(self.too_long(), message))
            }
        }
    }

    /// How many bytes may be taken in all.
    fn most(&self) -> u64 {
        let options = &self.shared.options;
        self.progress.most().unwrap_or(match self.progress.is_header() {
            true => options.max_header_bytes,
            false => options.max_image_bytes,
        })
    }

    fn what(&self) -> &'static str {
        if self.progress.is_header() { "header" } else { "image" }
    }

    fn too_long(&self) -> ReasonCode {
        match self.progress.is_header() {
            true => ReasonCode::HeaderTooLong,
            false => ReasonCode::ImageTooLong,
        }
    }

    fn redirect(&mut self, location: Option<&str>) -> Result<Next, FetchError> {
        let to = target(&self.url, location)?;
        if self.spent.redirects == MOST_REDIRECTS {
            return Err(undetermined(
                ReasonCode::TooManyRedirects,
                format!(
                    "there must be at most {MOST_REDIRECTS} redirects, found one more to {}",
                    excerpt(&printable(&to))
                ),
            )
            .into());
        }
        self.spent.redirects += 1;
        let target = Target::of(&to);
        self.target = target.ok_or_else(|| undetermined(ReasonCode::BadRedirect, UNSENDABLE))?;
        self.url = to;
        Ok(Next::Again)
    }

    /// The file is another than it was. Its header is then read in one go: one answer is of one version.
    pub(super) fn changed(&mut self) -> Next {
        match self.progress.is_header() {
            true => self.without_ranges(),
            false => Next::Known(Answer::Changed),
        }
    }

    /// Asks for the whole file from here on.
    pub(super) fn without_ranges(&mut self) -> Next {
        self.ranges = false;
        self.progress.begin_again();
        Next::Again
    }

    /// Why a request got no answer. Not all of them left.
    fn unsent(&mut self, error: &(dyn Error + 'static)) -> FetchError {
        if let Some(refused) = causes(error).find_map(|e| e.downcast_ref::<PrivateAddress>()) {
            self.spent.requests -= 1;
            return FetchError::Final(private(refused));
        }
        if is_timeout(error) {
            // The connection did not even answer a ping (RFC 9113, section 6.7).
            return silent(self.shared.options.progress_timeout, &mut self.has_been_silent);
        }
        broken(error)
    }
}

/// A file that is another each time it is asked for.
pub(super) fn changed() -> LocalRejection {
    undetermined(
        ReasonCode::ChangedMeanwhile,
        "the file must stay the same while it is read, found another twice",
    )
}

/// Once, what kept silent may have been a kept connection that died unnoticed, behind a NAT say;
/// twice, it is the origin.
fn silent(span: Duration, before: &mut bool) -> FetchError {
    let rejection = unanswered(span);
    if std::mem::replace(before, true) {
        return FetchError::Final(rejection);
    }
    FetchError::Passing { rejection, wait: None }
}

/// Lets those run that this worker has at hand. Tokio's own `yield_now` also looks after its sockets
/// first, which takes as long as a fiftieth of a fetch.
async fn turn_of_others() {
    let mut is_over = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

const UNSENDABLE: &str = "URL must be one that HTTP can carry, found one that it cannot";

/// How long is waited for a file descriptor, each time.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

const MOST_REDIRECTS: u32 = 5;

/// Two retries, about 0.2 s and 0.4 s later.
const RETRIES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_max_times(2)
    .with_jitter();
