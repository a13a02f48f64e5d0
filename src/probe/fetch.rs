//! The loop that feeds the header reader from a URL: ranges where the origin knows them, a stream
//! that is hung up on where it does not, our own redirects.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE,
    LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::guard::PrivateAddress;
use super::range::{ByteRange, ContentRange};
use super::trouble::{
    Trouble, broken, causes, cut_short, private, refused_by_status, undetermined, unusable,
};
use super::version::{Version, VersionBuilder};
use super::{Refusal, Shared};
use crate::header::{Header, HeaderError, HeaderReader, Shortcut, Step};
use crate::key::printable;
use crate::report::{Fetch, Reason, ReasonCode};

/// A header, and the version of the picture it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) header: Header,
    pub(crate) version: Version,
}

/// Reads the header of the picture at `url`. What was taken from the network is counted whatever
/// the outcome.
pub(super) async fn fetch(shared: &Shared, url: Url) -> (Result<Fetched, Refusal>, Fetch) {
    // The clock starts when the first host lets us in: waiting for one's turn is not the origin's
    // fault.
    let permit = shared.hosts.enter(host_of(&url)).await;
    let mut transfer = Transfer {
        shared,
        url,
        begun: Instant::now(),
        reader: HeaderReader::new(),
        version: VersionBuilder::default(),
        ranges: true,
        next_length: FIRST_RANGE,
        restarts: 0,
        bad_landings: 0,
        waiting_after: None,
        spent: Fetch::default(),
    };
    let limit = shared.options.timeout;
    let outcome = match tokio::time::timeout(limit, transfer.run(permit)).await {
        Ok(outcome) => outcome,
        Err(_) => match transfer.answer() {
            // What stalled was the rest of a part, which nobody needs.
            Some(answer) => transfer.conclude(answer),
            None => Err(transfer.waiting_after.take().unwrap_or_else(|| {
                let bytes = transfer.spent.bytes;
                let message =
                    format!("header arrives within {limit:?}, found {bytes} bytes by then");
                undetermined(ReasonCode::Timeout, message)
            })),
        },
    };
    let elapsed = transfer.begun.elapsed();
    transfer.spent.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    (outcome, transfer.spent)
}

struct Transfer<'a> {
    shared: &'a Shared,
    url: Url,
    begun: Instant,
    reader: HeaderReader,
    version: VersionBuilder,
    /// Off once the origin has shown that it makes no sense of Range.
    ranges: bool,
    next_length: u64,
    restarts: u32,
    bad_landings: u32,
    /// Why a repeat is being waited for: should the time run out meanwhile, that says more.
    waiting_after: Option<Refusal>,
    spent: Fetch,
}

/// How one request ended, short of a refusal.
enum Hop {
    /// The answer is known.
    Known(Result<Header, HeaderError>),
    /// Ask again, from where the reader now is.
    Again,
}

impl Transfer<'_> {
    async fn run(
        &mut self,
        first: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> Result<Fetched, Refusal> {
        let mut pauses = RETRIES.with_jitter_seed(self.shared.next_seed()).build();
        let mut permit = first;
        loop {
            // Held while the host works for us, handed back before anything else is waited for.
            let place = match permit.take() {
                Some(place) => Some(place),
                None => self.shared.hosts.enter(host_of(&self.url)).await,
            };
            self.waiting_after = None;
            let hop = self.hop().await;
            if let Err(Trouble::Passing { wait: Some(wait), .. }) = &hop {
                // Before the place is free: whoever gets it next is to know.
                self.shared.hosts.leave_alone(host_of(&self.url), *wait);
            }
            drop(place);
            match hop {
                Ok(Hop::Known(answer)) => return self.conclude(answer),
                Ok(Hop::Again) => {}
                Err(Trouble::Final(refusal)) => return Err(refusal),
                Err(Trouble::Passing { refusal, wait }) => {
                    let left = self.shared.options.timeout.saturating_sub(self.begun.elapsed());
                    if wait.is_some_and(|wait| wait >= left) {
                        // The wait could only end in a time-out, which says less.
                        return Err(refusal);
                    }
                    let Some(pause) = pauses.next() else { return Err(refusal) };
                    if !self.ranges {
                        // What broke off was a stream, and the next one begins at byte 0 again.
                        self.forget();
                    }
                    tracing::debug!(url = %printable(&self.url), ?pause, "repeating an image fetch");
                    self.waiting_after = Some(refusal);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn hop(&mut self) -> Result<Hop, Trouble> {
        self.shared.options.addresses.judge_literal(&self.url).map_err(|e| private(&e))?;
        let asked = self.ranges.then(|| self.next_range()).transpose()?;
        let jump = self.jump().filter(|jump| asked.is_some_and(|asked| asked.first == jump.at));
        let mut request =
            self.shared.http.get(self.url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(asked) = asked {
            request = request.header(RANGE, asked.to_string());
            // A file that changes between two hops must not be read as one.
            if let Some(etag) = self.version.etag() {
                request = request.header(IF_RANGE, etag);
            }
        }
        self.spent.requests += 1;
        let response = request.send().await.map_err(|e| self.unsent(&e))?;
        match response.status() {
            StatusCode::OK => self.whole(response).await,
            StatusCode::PARTIAL_CONTENT => match asked {
                Some(asked) => self.part(response, asked, jump).await,
                None => Err(unusable("206 although no range was asked for").into()),
            },
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let first = asked.map_or(0, |asked| asked.first);
                self.beyond_the_end(&response, first)
            }
            status if REDIRECTS.contains(&status.as_u16()) => {
                let to = text_of(response.headers(), LOCATION);
                drain(response).await;
                self.redirect(to.as_deref())
            }
            status => {
                let wait = retry_after(response.headers());
                drain(response).await;
                Err(refused_by_status(status, wait))
            }
        }
    }

    /// A 200: the file from its first byte, whatever was asked.
    async fn whole(&mut self, response: Response) -> Result<Hop, Trouble> {
        identity_only(response.headers())?;
        if self.version.has_bytes() {
            // Either the file changed (If-Range) or this origin forgot its ranges: begin anew.
            self.restart()?;
        }
        self.ranges = false;
        self.version.note(text_of(response.headers(), ETAG), response.content_length());
        self.read(response, 0, None).await
    }

    /// A 206: exactly the part asked for, of the file met before.
    async fn part(
        &mut self,
        response: Response,
        asked: ByteRange,
        jump: Option<Shortcut>,
    ) -> Result<Hop, Trouble> {
        identity_only(response.headers())?;
        let claimed = text_of(response.headers(), CONTENT_RANGE);
        let range = claimed.as_deref().and_then(ContentRange::parse);
        let Some((range, part)) = range.and_then(|r| r.answers(asked).map(|part| (r, part))) else {
            let claimed = claimed.unwrap_or_else(|| "no Content-Range".to_owned());
            return Err(
                unusable(&format!("206 with {claimed:?} where {asked} was asked for")).into()
            );
        };
        if !self.version.note(text_of(response.headers(), ETAG), range.total) {
            self.restart()?;
            return Ok(Hop::Again);
        }
        self.next_length = self.next_length.saturating_mul(2).min(LONGEST_RANGE);
        match jump {
            Some(jump) => self.land(response, jump, part).await,
            None => self.read(response, part.first, Some(part)).await,
        }
    }

    /// Reads the part behind a jump whole: only together do its first bytes show whether the
    /// landing is good. If it is not, the walk goes on from where it was.
    async fn land(
        &mut self,
        mut response: Response,
        jump: Shortcut,
        part: ByteRange,
    ) -> Result<Hop, Trouble> {
        let most = part.last.saturating_sub(part.first).saturating_add(1);
        let mut landing = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|e| broken(&e))? {
            landing.extend_from_slice(&bytes);
            self.spent.bytes = self.spent.bytes.saturating_add(length(&bytes));
            if length(&landing) > most {
                return Err(unusable(MORE_THAN_SAID).into());
            }
        }
        if length(&landing) < most {
            return Err(cut_short(most, length(&landing)));
        }
        if self.reader.land(jump.at, &landing) {
            let _ = self.reader.feed(jump.at, &landing);
        } else {
            self.bad_landings += 1;
        }
        Ok(self.answer().map_or(Hop::Again, Hop::Known))
    }

    /// A jump worth taking: not announced by a proven liar, within the file, and nothing wanted before it.
    fn jump(&self) -> Option<Shortcut> {
        let jump = self.reader.shortcut().filter(|_| self.bad_landings < MOST_BAD_LANDINGS)?;
        let end = jump.at.saturating_add(u64::try_from(jump.len).ok()?);
        let is_inside = self.version.total().is_some_and(|total| end <= total);
        (is_inside && self.version.is_complete()).then_some(jump)
    }

    /// Feeds a body to the reader. A stream is hung up on as soon as the answer is known; a part
    /// is read to its end, so that its connection can serve again.
    async fn read(
        &mut self,
        mut response: Response,
        from: u64,
        part: Option<ByteRange>,
    ) -> Result<Hop, Trouble> {
        let mut at = from;
        let broke_off = loop {
            if part.is_none()
                && let Some(answer) = self.answer()
            {
                return Ok(Hop::Known(answer));
            }
            let bytes = match response.chunk().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    break part
                        .filter(|part| at <= part.last)
                        .map(|part| cut_short(part.last + 1 - from, at - from));
                }
                Err(error) => break Some(broken(&error)),
            };
            let length = length(&bytes);
            self.spent.bytes = self.spent.bytes.saturating_add(length);
            if part.is_some_and(|part| at.saturating_add(length) > part.last.saturating_add(1)) {
                return Err(unusable(MORE_THAN_SAID).into());
            }
            self.version.feed(at, &bytes);
            // An error is sticky in the reader: it is read off below, after the body.
            let _ = self.reader.feed(at, &bytes);
            at = at.saturating_add(length);
            if part.is_none() && self.answer().is_none() {
                self.refuse_if_too_long()?;
            }
        };
        if let Some(trouble) = broke_off {
            // What is known stays known, whatever became of the bytes behind it.
            return self.answer().map(Hop::Known).ok_or(trouble);
        }
        if part.is_none() || self.version.total().is_some_and(|total| at >= total) {
            return Ok(Hop::Known(self.end(at)));
        }
        Ok(self.answer().map_or(Hop::Again, Hop::Known))
    }

    /// The file ends after `total` bytes.
    fn end(&mut self, total: u64) -> Result<Header, HeaderError> {
        self.version.note_end(total);
        self.reader.eof(total)
    }

    /// The answer, once nothing more is wanted: neither by the reader nor for the version.
    fn answer(&self) -> Option<Result<Header, HeaderError>> {
        match self.reader.step() {
            Ok(Step::Need { .. }) => None,
            Ok(Step::Done(header)) => self.version.is_complete().then_some(Ok(header)),
            Err(error) => Some(Err(error)),
        }
    }

    fn conclude(&self, answer: Result<Header, HeaderError>) -> Result<Fetched, Refusal> {
        match answer {
            Ok(header) => Ok(Fetched { header, version: self.version.build() }),
            Err(error) => Err(Refusal::of_header(&error)),
        }
    }

    fn next_range(&self) -> Result<ByteRange, Refusal> {
        self.refuse_if_too_long()?;
        let wish = match self.reader.step() {
            Ok(Step::Need { at, len }) => Some((at, u64::try_from(len).unwrap_or(u64::MAX))),
            _ => None,
        };
        let jump = self.jump().map(|j| (j.at, u64::try_from(j.len).unwrap_or(u64::MAX)));
        let wish = jump.or(wish);
        // The version may lack bytes that the reader does not want: of a tiny file whose length
        // nobody said, or behind a first transfer that broke off early.
        let missing = self.version.missing_from();
        let first = missing.into_iter().chain(wish.map(|(at, _)| at)).min().unwrap_or(0);
        let end = wish.map_or(first, |(at, length)| at.saturating_add(length));
        let left = self.shared.options.max_header_bytes - self.spent.bytes;
        let wanted = end.saturating_sub(first).max(self.next_length);
        Ok(ByteRange::new(first, wanted.min(left)))
    }

    fn refuse_if_too_long(&self) -> Result<(), Refusal> {
        let most = self.shared.options.max_header_bytes;
        if self.spent.bytes < most {
            return Ok(());
        }
        Err(undetermined(
            ReasonCode::HeaderTooLong,
            format!("header ends within {most} bytes, found {} without an end", self.spent.bytes),
        ))
    }

    fn beyond_the_end(&mut self, response: &Response, first: u64) -> Result<Hop, Trouble> {
        let total = text_of(response.headers(), CONTENT_RANGE)
            .as_deref()
            .and_then(ContentRange::parse)
            .and_then(|range| range.total);
        match total {
            Some(total) if !self.version.note(None, Some(total)) => {
                self.restart()?;
                Ok(Hop::Again)
            }
            Some(total) if total <= first => Ok(Hop::Known(self.end(total))),
            // Some origins refuse a range that is longer than a tiny file: take it whole.
            _ if self.ranges => {
                self.restart()?;
                self.ranges = false;
                Ok(Hop::Again)
            }
            _ => Err(unusable("416 although no range was asked for").into()),
        }
    }

    fn redirect(&mut self, to: Option<&str>) -> Result<Hop, Trouble> {
        let bad = |message: String| Trouble::Final(undetermined(ReasonCode::BadRedirect, message));
        let to = to.ok_or_else(|| bad("a redirect has a Location, found none".to_owned()))?;
        let mut to =
            self.url.join(to).map_err(|e| bad(format!("a redirect leads to a URL: {e}")))?;
        // User and password are for the place that the caller named. These fail only for URLs
        // that cannot have them.
        let _ = to.set_username("");
        let _ = to.set_password(None);
        match (self.url.scheme(), to.scheme()) {
            (_, "https") | ("http", "http") => {}
            (from, to) => {
                return Err(bad(format!("a redirect from {from} leads to {from}, found {to}")));
            }
        }
        if self.spent.redirects == MOST_REDIRECTS {
            return Err(undetermined(
                ReasonCode::TooManyRedirects,
                format!("at most {MOST_REDIRECTS} redirects, found one more to {}", printable(&to)),
            )
            .into());
        }
        self.spent.redirects += 1;
        self.url = to;
        Ok(Hop::Again)
    }

    fn restart(&mut self) -> Result<(), Refusal> {
        if self.restarts == MOST_RESTARTS {
            return Err(unusable("the file changes while it is read"));
        }
        self.restarts += 1;
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        self.reader = HeaderReader::new();
        self.version = VersionBuilder::default();
        self.next_length = FIRST_RANGE;
    }

    /// Why a request got no answer. Not all of them left.
    fn unsent(&mut self, error: &reqwest::Error) -> Trouble {
        if error.is_builder() {
            // Such as more than 64 KiB of it.
            self.spent.requests -= 1;
            let message = "an http or https URL can be asked for, found one that HTTP cannot carry";
            return Trouble::Final(match self.spent.redirects {
                0 => Refusal::rejected(Reason::new(ReasonCode::NotHttpUrl, message)),
                _ => undetermined(ReasonCode::BadRedirect, message),
            });
        }
        if let Some(refused) = causes(error).find_map(|e| e.downcast_ref::<PrivateAddress>()) {
            self.spent.requests -= 1;
            return Trouble::Final(private(refused));
        }
        broken(error)
    }
}

fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Reads the rest of a short body nobody wants, so that its connection can serve again. Nobody
/// waits long for it either.
async fn drain(mut response: Response) {
    if response.content_length().is_some_and(|length| length <= WORTH_DRAINING) {
        let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
        let _ = tokio::time::timeout(WORTH_WAITING, rest).await;
    }
}

fn identity_only(headers: &HeaderMap) -> Result<(), Refusal> {
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut codings = value.split(',').map(str::trim).filter(|coding| !coding.is_empty());
        if let Some(coding) = codings.find(|coding| !coding.eq_ignore_ascii_case("identity")) {
            let message = format!("body is sent as it is, found it encoded as {coding:?}");
            let reason = Reason::new(ReasonCode::EncodedBody, message);
            return Err(Refusal::undetermined(reason.found(coding).required("identity")));
        }
    }
    Ok(())
}

/// Retry-After in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    crate::retry_after::parse(&text_of(headers, RETRY_AFTER)?, std::time::SystemTime::now())
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

const MORE_THAN_SAID: &str = "206 with more bytes than its Content-Range says";

/// Most headers end within it, the version's 1,024 bytes lie in it, and with its headers it
/// arrives in TCP's first window.
const FIRST_RANGE: u64 = 4 * 1_024;

/// Ranges double up to this while a header goes on.
const LONGEST_RANGE: u64 = 64 * 1_024;

const MOST_REDIRECTS: u32 = 5;
const MOST_RESTARTS: u32 = 1;

/// Each costs a request; a chain that is uneven once needs the third.
const MOST_BAD_LANDINGS: u32 = 3;
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];
const WORTH_DRAINING: u64 = 16 * 1_024;
const WORTH_WAITING: Duration = Duration::from_millis(200);

/// Two retries, about 0.2 s and 0.4 s later.
const RETRIES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_max_times(2)
    .with_jitter();
