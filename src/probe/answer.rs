//! What a [`ImageFetch`] makes of an answer about the image: the file (200), a part of it (206), or
//! that it ends sooner (416). Its requests are in `fetch.rs`.

use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_RANGE, ETAG, HeaderMap};

use super::body::{Body, start_of};
use super::error::{FetchError, cut_short, unusable};
use super::fetch::ImageFetch;
use super::head::{coding, excerpt, text_of};
use super::progress::length_of;
use super::range::{ByteRange, ContentRange};
use crate::header::Shortcut;
use crate::net::inflate::Coding;

impl ImageFetch {
    /// A 200: the file from its first byte, whatever was asked.
    pub(super) async fn whole_file(
        &mut self,
        response: Response<Incoming>,
    ) -> Result<(), FetchError> {
        let coding = coding(response.headers())?;
        // Either the file changed (If-Range) or this origin forgot its ranges. What was said with a body
        // that never came is no word on this one.
        self.without_ranges();
        // Of a compressed body the length is its own.
        let length = response.body().size_hint().exact().filter(|_| coding.is_none());
        if !self.progress.note_whole(text_of(response.headers(), ETAG), length) {
            return self.changed();
        }
        self.refuse_length(length)?;
        self.read(self.body(response, coding), None, None).await
    }

    /// A 206: exactly the part asked for, of the file met before.
    pub(super) async fn part(
        &mut self,
        response: Response<Incoming>,
        asked: ByteRange,
        jump: Option<Shortcut>,
    ) -> Result<(), FetchError> {
        if coding(response.headers())?.is_some() {
            // A part of what is compressed cannot be unpacked: take it whole.
            start_of(response.into_body()).await;
            self.without_ranges();
            return Ok(());
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
        // An end that is just what was asked for may be the part's: some origins state a part's length as
        // the whole's. The image is then read to its end.
        let is_known = self.progress.total.is_some();
        let total = range.total.filter(|total| is_known || *total != asked.last.saturating_add(1));
        if !self.progress.note(text_of(response.headers(), ETAG), total) {
            return self.changed();
        }
        // What lies behind a chain is a header about to end, not one that goes on: a longer part would
        // only cost TCP a round trip.
        if jump.is_none() {
            self.progress.lengthen();
        }
        self.read(self.body(response, None), Some(part), jump).await
    }

    /// Feeds a body to the reader. A stream is hung up on as soon as the answer is known; a part
    /// is read to its end, so that its connection can serve again.
    async fn read(
        &mut self,
        mut body: Body,
        part: Option<ByteRange>,
        jump: Option<Shortcut>,
    ) -> Result<(), FetchError> {
        let first = part.map_or(0, |part| part.first);
        let end = part.map(|part| part.last.saturating_add(1));
        let mut at = first;
        let mut landing = Vec::new();
        let trouble = loop {
            if end.is_none() && self.progress.answer().is_some() {
                return Ok(());
            }
            if end.is_some_and(|end| at >= end) {
                if !body.ends().await {
                    return Err(unusable(MORE_THAN_SAID).into());
                }
                break None;
            }
            let next = body.next().await;
            self.spent.bytes = self.spent.bytes.saturating_add(body.take_arrived());
            let bytes = match next {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break end.map(|end| cut_short(end - first, at - first)),
                Err(trouble) => break Some(trouble),
            };
            let behind = at.saturating_add(length_of(bytes.len()));
            if end.is_some_and(|end| behind > end) {
                return Err(unusable(MORE_THAN_SAID).into());
            }
            if jump.is_some() {
                // Only together do a part's first bytes show whether the landing is good.
                landing.extend_from_slice(&bytes);
            } else if !self.progress.feed(at, &bytes) {
                return self.changed();
            }
            at = behind;
            if end.is_none() && self.progress.answer().is_none() {
                self.refuse_if_too_long(at)?;
            }
        };
        match (trouble, jump) {
            // What is known stays known, whatever became of the bytes behind it.
            (Some(_), _) if self.progress.answer().is_some() => Ok(()),
            (Some(trouble), _) => Err(trouble),
            (None, Some(jump)) => {
                self.progress.land(jump, &landing);
                Ok(())
            }
            (None, None) => {
                let is_at_end = self.progress.total.is_some_and(|total| at >= total);
                if end.is_none() || is_at_end { self.end(at) } else { Ok(()) }
            }
        }
    }

    pub(super) fn beyond_the_end(
        &mut self,
        headers: &HeaderMap,
        first: u64,
    ) -> Result<(), FetchError> {
        let total = text_of(headers, CONTENT_RANGE)
            .as_deref()
            .and_then(ContentRange::parse)
            .and_then(|range| range.total);
        match total {
            _ if !self.progress.has_length(total) => self.changed(),
            Some(total) if total <= first => self.end(total),
            // Some origins refuse a range that is longer than a tiny file: take it whole.
            _ if self.ranges => {
                self.without_ranges();
                Ok(())
            }
            _ => Err(unusable("416 although no range was asked for").into()),
        }
    }

    fn body(&self, response: Response<Incoming>, coding: Option<Coding>) -> Body {
        let span = self.shared.options.progress_timeout;
        Body::new(response.into_body(), coding, span, self.time.end)
    }
}

const MORE_THAN_SAID: &str = "206 with more bytes than its Content-Range says";
