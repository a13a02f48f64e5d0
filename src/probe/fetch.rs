//! The loop that feeds the header reader from a URL: ranges where the origin knows them, a stream
//! that is hung up on where it does not, our own redirects.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use hyper::StatusCode;
use hyper::header::LOCATION;
use url::Url;

use super::body::start_of;
use super::content::Content;
use super::error::{
    FetchError, broken, busy, private, refused_by_status, unanswered, undetermined, unusable,
    within,
};
use super::guard::PrivateAddress;
use super::head::{error_words, excerpt, retry_after};
use super::http::{Connections, Target};
use super::prefix::Prefix;
use super::progress::{Answer, Goal, ImageProgress};
use super::redirect::{is_redirect, location, target};
use super::time_budget::TimeBudget;
use super::{LocalRejection, Shared};
use crate::header::{Format, Header};
use crate::net::http_error::{causes, is_timeout};
use crate::net::url_text::printable;
use crate::report::{Fetch, Reason, ReasonCode};

/// One image's way through requests, redirects and repeats.
pub(crate) struct ImageFetch {
    pub(super) shared: Arc<Shared>,
    url: Url,
    pub(super) time: TimeBudget,
    pub(super) progress: ImageProgress,
    /// Off once the origin has shown that it makes no sense of Range.
    pub(super) ranges: bool,
    over: Connections,
    has_been_silent: bool,
    /// It was another image when it was first looked at.
    has_changed: bool,
    pub(super) spent: Fetch,
    /// Bytes that were taken before its header was begun.
    before_header: u64,
}

impl ImageFetch {
    pub(super) fn new(shared: Arc<Shared>, mut url: Url) -> Self {
        // It is not sent, and would count for a URL too long to be sent.
        url.set_fragment(None);
        Self {
            url,
            time: TimeBudget::new(shared.options.timeout),
            progress: ImageProgress::to_header(Prefix::new(shared.most_kept())),
            ranges: true,
            over: Connections::Kept,
            has_been_silent: false,
            has_changed: false,
            spent: Fetch::default(),
            before_header: 0,
            shared,
        }
    }

    /// Begins again with an image that has changed; false where that was done before.
    pub(super) fn begin_again(&mut self) -> bool {
        self.ranges = true;
        self.progress = ImageProgress::to_header(Prefix::new(self.shared.most_kept()));
        self.before_header = self.spent.bytes;
        !std::mem::replace(&mut self.has_changed, true)
    }

    /// What was taken from the network so far.
    pub(super) fn fetch(&self) -> Fetch {
        let elapsed_ms = u64::try_from(self.time.taken.as_millis()).unwrap_or(u64::MAX);
        Fetch { elapsed_ms, ..self.spent }
    }

    pub(super) async fn header(&mut self) -> Result<Header, LocalRejection> {
        match self.run().await? {
            Answer::Header(header) => header.map_err(|error| LocalRejection::of_header(&error)),
            _ => Err(changed()),
        }
    }

    /// Reads what an image whose header is known lacks of its content.
    pub(super) async fn content(&mut self, format: Format) -> Result<Content, LocalRejection> {
        // Where the samples lie is told by the length. An image that has changed is read in one go: one
        // answer is of one version.
        self.ranges &= self.progress.total.is_some() && !self.has_changed;
        self.progress.want_content(format);
        let answer = self.run().await;
        self.progress.prefix.limit(self.shared.most_kept());
        match answer? {
            Answer::Content(content) => Ok(content),
            _ => Err(changed()),
        }
    }

    /// Reads the rest of an image whose header is known, up to `most` bytes in all.
    #[cfg(feature = "faces")]
    pub(super) async fn whole(&mut self, most: usize) -> Result<Vec<u8>, LocalRejection> {
        self.progress.prefix.limit(most);
        self.progress.goal = Goal::Whole;
        let answer = self.run().await;
        let bytes = self.progress.prefix.take(super::FIRST_SAMPLE);
        match answer? {
            Answer::Whole => Ok(bytes),
            _ => Err(changed()),
        }
    }

    async fn run(&mut self) -> Result<Answer, LocalRejection> {
        let mut pauses = RETRIES.with_jitter_seed(fastrand::u64(..)).build();
        let mut kept = None;
        loop {
            // All of it may be here already.
            if let Some(answer) = self.progress.answer() {
                return Ok(answer);
            }
            let name = self.url.host_str().unwrap_or_default();
            let (host, place) = match kept.take() {
                Some(kept) => kept,
                None => {
                    let host = self.shared.hosts.named(name);
                    let place = host.enter().await;
                    (host, place)
                }
            };
            let patience = self.time.left();
            host.until_welcome(patience).await.map_err(|asked| busy(patience, asked))?;
            let begun = self.time.begin();
            let done = self.request().await;
            self.time.end(begun);
            // A connection goes back to the pool in a task of its own: the next request is to find it
            // there.
            tokio::task::yield_now().await;
            match done {
                // An image that has begun goes on: to queue again for each part would keep all images
                // of a busy host unfinished.
                Ok(()) => {
                    let is_there = self.url.host_str().is_some_and(|name| name == host.name);
                    kept = is_there.then_some((host, place));
                }
                Err(FetchError::Final(rejection)) => return Err(rejection),
                Err(FetchError::OutOfTime) => return self.out_of_time(),
                Err(FetchError::NoDescriptor(rejection)) => {
                    // Nothing was sent: that counts as no repeat.
                    drop(place);
                    self.spent.requests = self.spent.requests.saturating_sub(1);
                    self.time.pause(NO_DESCRIPTOR, NO_DESCRIPTOR).await.ok_or(rejection)?;
                }
                Err(FetchError::Passing { rejection, wait }) => {
                    if let Some(wait) = wait {
                        // Before the place is free: the next request is to know.
                        host.leave_alone(wait);
                    }
                    drop(place);
                    self.over = Connections::Fresh;
                    let Some(pause) = pauses.next() else { return Err(rejection) };
                    let least = wait.unwrap_or_default().max(pause);
                    self.time.pause(pause, least).await.ok_or(rejection)?;
                    if !self.ranges {
                        // What broke off was a stream, and the next one begins at byte 0 again.
                        self.progress.begin_again();
                    }
                    tracing::debug!(url = %printable(&self.url), ?pause, "repeating an image fetch");
                }
            }
        }
    }

    fn out_of_time(&mut self) -> Result<Answer, LocalRejection> {
        if let Some(answer) = self.progress.answer() {
            // What stalled was the rest of a part, which is not needed.
            return Ok(answer);
        }
        let (limit, bytes, what) = (self.time.most, self.spent.bytes, self.bound().1);
        let message = format!("{what} must arrive within {limit:?}, found {bytes} bytes by then");
        Err(undetermined(ReasonCode::Timeout, message))
    }

    async fn request(&mut self) -> Result<(), FetchError> {
        let Some(target) = Target::of(&self.url) else {
            return Err(FetchError::Final(match self.spent.redirects {
                0 => LocalRejection::rejected(Reason::new(ReasonCode::NotHttpUrl, UNSENDABLE)),
                _ => undetermined(ReasonCode::BadRedirect, UNSENDABLE),
            }));
        };
        self.shared.options.addresses.judge_literal(&self.url).map_err(|e| private(&e))?;
        let left = self.bound().0.saturating_sub(self.spent.bytes - self.before_header);
        let asked = self.ranges.then(|| self.progress.next_range(left));
        let jump =
            self.progress.jump().filter(|jump| asked.is_some_and(|asked| asked.first == jump.at));
        if let (Some(asked), Some(total)) = (asked, self.progress.total)
            && asked.first >= total
        {
            // What an origin answers to a range beyond its file is not about the image.
            return self.end(total);
        }
        self.refuse_if_too_long(0)?;
        // A file that changes between two requests must not be read as one.
        let etag = self.progress.etag.as_deref().filter(|_| asked.is_some());
        let request = self.shared.http.get(&target, asked, etag, self.over);
        self.spent.requests += 1;
        let span = self.shared.options.progress_timeout;
        let silent = || silent(span, &mut self.has_been_silent);
        let response =
            within(span, self.time.end, request, silent).await?.map_err(|e| self.unsent(&e))?;
        match response.status() {
            StatusCode::OK => self.whole_file(response).await,
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
                start_of(response.into_body()).await;
                self.redirect(to.as_deref())
            }
            status => {
                let wait = retry_after(response.headers());
                let body = start_of(response.into_body()).await;
                Err(refused_by_status(status, wait, error_words(&body).as_deref()))
            }
        }
    }

    /// Refuses to read on where too much was taken: of a header in all, of any file in one go.
    pub(super) fn refuse_if_too_long(&self, read: u64) -> Result<(), LocalRejection> {
        let (most, what, too_long) = self.bound();
        let is_header = matches!(self.progress.goal, Goal::Header(_));
        let of_header = self.spent.bytes - self.before_header;
        let found = if is_header { of_header.max(read) } else { read };
        if found < most || (!is_header && found == most) {
            return Ok(());
        }
        let message = format!("{what} must end within {most} bytes, found {found} without an end");
        Err(undetermined(too_long, message))
    }

    /// Refuses a file that says that it is longer than what may be read of it.
    pub(super) fn refuse_length(&self, length: Option<u64>) -> Result<(), LocalRejection> {
        let (most, _, too_long) = self.bound();
        let is_header = matches!(self.progress.goal, Goal::Header(_));
        match length.filter(|length| *length > most && !is_header) {
            None => Ok(()),
            Some(length) => {
                let message = format!(
                    "an image whose origin gives no ranges must have at most {most} bytes, found {length}"
                );
                Err(undetermined(too_long, message))
            }
        }
    }

    /// How many bytes may be taken, of what, and what is said where there are more.
    fn bound(&self) -> (u64, &'static str, ReasonCode) {
        let options = &self.shared.options;
        match self.progress.goal {
            Goal::Header(_) => (options.max_header_bytes, "header", ReasonCode::HeaderTooLong),
            Goal::Samples { .. } => (options.max_image_bytes, "image", ReasonCode::ImageTooLong),
            #[cfg(feature = "faces")]
            Goal::Whole => (self.progress.prefix.most(), "image", ReasonCode::ImageTooLong),
        }
    }

    fn redirect(&mut self, location: Option<&str>) -> Result<(), FetchError> {
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
        self.url = to;
        Ok(())
    }

    /// The file ends after `total` bytes.
    pub(super) fn end(&mut self, total: u64) -> Result<(), FetchError> {
        if self.progress.end(total) { Ok(()) } else { self.changed() }
    }

    /// The file is another than it was. Its header is then read in one go: one answer is of one version.
    pub(super) fn changed(&mut self) -> Result<(), FetchError> {
        match self.progress.goal {
            Goal::Header(_) => {
                self.without_ranges();
                Ok(())
            }
            _ => Err(changed().into()),
        }
    }

    /// Asks for the whole file from here on.
    pub(super) fn without_ranges(&mut self) {
        self.ranges = false;
        self.progress.begin_again();
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

const UNSENDABLE: &str = "URL must be one that HTTP can carry, found one that it cannot";

/// How long is waited for a file descriptor, each time.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

const MOST_REDIRECTS: u32 = 5;

/// Two retries, about 0.2 s and 0.4 s later.
const RETRIES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_max_times(2)
    .with_jitter();
