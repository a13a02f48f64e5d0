//! What a [`ImageFetch`] makes of an answer about the image: the file (200), a part of it (206), or
//! that it ends sooner (416). Its requests are in `fetch.rs`.

use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_RANGE, ETAG, HeaderMap};

use super::body::drain;
use super::error::{FetchError, cut_short, unusable};
use super::fetch::{ImageFetch, Next};
use super::head::{coding, excerpt, packed_wrong, text_of};
use super::range::{ByteRange, ContentRange};
use crate::header::Shortcut;
use crate::net::inflate::{Coding, Inflater};

impl ImageFetch<'_> {
    /// A 200: the file from its first byte, whatever was asked.
    pub(super) async fn whole(&mut self, response: Response<Incoming>) -> Result<Next, FetchError> {
        let coding = coding(response.headers())?;
        // Either the file changed (If-Range) or this origin forgot its ranges. What was said with a body
        // that never came is no word on this one.
        self.without_ranges();
        // Of a compressed body the length is its own.
        let length = response.body().size_hint().exact().filter(|_| coding.is_none());
        if !self.progress.note_whole(text_of(response.headers(), ETAG), length) {
            return Ok(self.changed());
        }
        self.refuse_length(length)?;
        match coding {
            None => self.read(response, 0, None).await,
            Some(coding) => self.unpack(response, coding).await,
        }
    }

    /// A 206: exactly the part asked for, of the file met before.
    pub(super) async fn part(
        &mut self,
        response: Response<Incoming>,
        asked: ByteRange,
        jump: Option<Shortcut>,
    ) -> Result<Next, FetchError> {
        if coding(response.headers())?.is_some() {
            // A part of what is compressed cannot be unpacked: take it whole.
            drain(response.into_body()).await;
            return Ok(self.without_ranges());
        }
        let claimed = text_of(response.headers(), CONTENT_RANGE);
        let range = claimed.as_deref().and_then(ContentRange::parse);
        let Some((range, part)) = range.and_then(|r| r.answers(asked).map(|part| (r, part))) else {
            let claimed = claimed.as_deref().map_or_else(
                || "no Content-Range".to_owned(),
                |claimed| format!("Content-Range \"{}\"", excerpt(claimed)),
            );
            return Err(unusable(&format!("206 with {claimed} where {asked} was asked for")).into());
        };
        if !self.progress.note(text_of(response.headers(), ETAG), range.total) {
            return Ok(self.changed());
        }
        match jump {
            // What lies behind a chain is a header about to end, not one that goes on: a longer
            // part would only cost TCP a round trip.
            Some(jump) => self.land(response, jump, part).await,
            None => {
                self.progress.lengthen();
                self.read(response, part.first, Some(part)).await
            }
        }
    }

    /// Reads the part behind a jump whole: only together do its first bytes show whether the
    /// landing is good. If it is not, the progress goes on from where it was.
    async fn land(
        &mut self,
        response: Response<Incoming>,
        jump: Shortcut,
        part: ByteRange,
    ) -> Result<Next, FetchError> {
        let most = part.last.saturating_sub(part.first).saturating_add(1);
        let mut landing = Vec::new();
        let mut body = self.body(response);
        while length(&landing) < most {
            let Some(bytes) = body.next().await? else {
                return Err(cut_short(most, length(&landing)));
            };
            landing.extend_from_slice(&bytes);
            self.spent.bytes = self.spent.bytes.saturating_add(length(&bytes));
        }
        if length(&landing) > most || !body.ends().await {
            return Err(unusable(MORE_THAN_SAID).into());
        }
        self.progress.land(jump, &landing);
        Ok(self.progress.answer().map_or(Next::Again, Next::Known))
    }

    /// Feeds a body to the reader. A stream is hung up on as soon as the answer is known; a part
    /// is read to its end, so that its connection can serve again.
    async fn read(
        &mut self,
        response: Response<Incoming>,
        from: u64,
        part: Option<ByteRange>,
    ) -> Result<Next, FetchError> {
        let mut body = self.body(response);
        let mut at = from;
        let broke_off = loop {
            if part.is_none()
                && let Some(answer) = self.progress.answer()
            {
                return Ok(Next::Known(answer));
            }
            if part.is_some_and(|part| at > part.last) {
                if !body.ends().await {
                    return Err(unusable(MORE_THAN_SAID).into());
                }
                break None;
            }
            let bytes = match body.next().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    break part
                        .filter(|part| at <= part.last)
                        .map(|part| cut_short(part.last + 1 - from, at - from));
                }
                Err(trouble) => break Some(trouble),
            };
            let length = length(&bytes);
            self.spent.bytes = self.spent.bytes.saturating_add(length);
            if part.is_some_and(|part| at.saturating_add(length) > part.last.saturating_add(1)) {
                return Err(unusable(MORE_THAN_SAID).into());
            }
            if !self.progress.feed(at, &bytes) {
                return Ok(self.changed());
            }
            at = at.saturating_add(length);
            if part.is_none() && self.progress.answer().is_none() {
                self.refuse_if_too_long(at)?;
            }
        };
        if let Some(trouble) = broke_off {
            // What is known stays known, whatever became of the bytes behind it.
            return self.progress.answer().map(Next::Known).ok_or(trouble);
        }
        let is_at_end = self.progress.version.total.is_some_and(|total| at >= total);
        let answer = match part.is_none() || is_at_end {
            true => self.progress.end(at),
            false => self.progress.answer(),
        };
        Ok(answer.map_or(Next::Again, Next::Known))
    }

    /// Feeds a compressed body to the reader. Both what arrives and what comes of it is bounded.
    async fn unpack(
        &mut self,
        response: Response<Incoming>,
        coding: Coding,
    ) -> Result<Next, FetchError> {
        let mut body = self.body(response);
        let mut inflater = Inflater::new(coding);
        let mut at = 0_u64;
        loop {
            let arrived = body.next().await?;
            if let Some(bytes) = &arrived {
                self.spent.bytes = self.spent.bytes.saturating_add(length(bytes));
                inflater.push(bytes);
            }
            loop {
                let part = match (&arrived, inflater.next().map_err(|e| packed_wrong(&e))?) {
                    (_, Some(part)) => part,
                    (Some(_), None) => break,
                    (None, None) => {
                        let rest = inflater.finish().map_err(|e| packed_wrong(&e))?;
                        if !self.progress.feed(at, &rest) {
                            return Ok(self.changed());
                        }
                        let end = self.progress.end(at.saturating_add(length(&rest)));
                        return Ok(end.map_or(Next::Again, Next::Known));
                    }
                };
                if !self.progress.feed(at, &part) {
                    return Ok(self.changed());
                }
                at = at.saturating_add(length(&part));
                if let Some(answer) = self.progress.answer() {
                    return Ok(Next::Known(answer));
                }
                self.refuse_if_longer_than(at)?;
            }
        }
    }

    pub(super) fn beyond_the_end(
        &mut self,
        headers: &HeaderMap,
        first: u64,
    ) -> Result<Next, FetchError> {
        let total = text_of(headers, CONTENT_RANGE)
            .as_deref()
            .and_then(ContentRange::parse)
            .and_then(|range| range.total);
        match total {
            Some(total) if !self.progress.note(None, Some(total)) => Ok(self.changed()),
            Some(total) if total <= first => {
                Ok(self.progress.end(total).map_or(Next::Again, Next::Known))
            }
            // Some origins refuse a range that is longer than a tiny file: take it whole.
            _ if self.ranges => Ok(self.without_ranges()),
            _ => Err(unusable("416 although no range was asked for").into()),
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

const MORE_THAN_SAID: &str = "206 with more bytes than its Content-Range says";
