//! What a [`Transfer`] makes of an answer about the picture: the file (200), a part of it (206), or
//! that it ends sooner (416). Its requests are in `fetch.rs`.

use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_RANGE, ETAG, HeaderMap};

use super::body::drain;
use super::fetch::{Hop, Transfer};
use super::head::{coding, excerpt, packed_wrong, text_of};
use super::range::{ByteRange, ContentRange};
use super::trouble::{Trouble, cut_short, unusable};
use crate::header::Shortcut;
use crate::inflate::{Coding, Inflater};

impl Transfer<'_> {
    /// A 200: the file from its first byte, whatever was asked.
    pub(super) async fn whole(&mut self, response: Response<Incoming>) -> Result<Hop, Trouble> {
        let coding = coding(response.headers())?;
        if self.walk.version.has_bytes() {
            // Either the file changed (If-Range) or this origin forgot its ranges: begin anew.
            self.restart()?;
        }
        self.ranges = false;
        // What was said with a body that never came is no word on this one.
        self.walk.begin_anew();
        // Nothing is known yet that it could contradict. Of a compressed body the length is its own.
        let length = response.body().size_hint().exact().filter(|_| coding.is_none());
        let _ = self.walk.version.note(text_of(response.headers(), ETAG), length);
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
    ) -> Result<Hop, Trouble> {
        if coding(response.headers())?.is_some() {
            // A part of what is compressed cannot be unpacked: take it whole.
            drain(response.into_body()).await;
            self.restart()?;
            self.ranges = false;
            return Ok(Hop::Again);
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
        let etag = text_of(response.headers(), ETAG).filter(|_| !self.walk.wants_end());
        if !self.walk.version.note(etag, range.total) {
            self.restart()?;
            return Ok(Hop::Again);
        }
        match jump {
            // What lies behind a chain is a header about to end, not one that goes on: a longer
            // part would only cost TCP a round trip.
            Some(jump) => self.land(response, jump, part).await,
            None => {
                self.walk.lengthen();
                self.read(response, part.first, Some(part)).await
            }
        }
    }

    /// Reads the part behind a jump whole: only together do its first bytes show whether the
    /// landing is good. If it is not, the walk goes on from where it was.
    async fn land(
        &mut self,
        response: Response<Incoming>,
        jump: Shortcut,
        part: ByteRange,
    ) -> Result<Hop, Trouble> {
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
        self.walk.land(jump, &landing);
        Ok(self.walk.answer().map_or(Hop::Again, Hop::Known))
    }

    /// Feeds a body to the reader. A stream is hung up on as soon as the answer is known; a part
    /// is read to its end, so that its connection can serve again.
    async fn read(
        &mut self,
        response: Response<Incoming>,
        from: u64,
        part: Option<ByteRange>,
    ) -> Result<Hop, Trouble> {
        let mut body = self.body(response);
        let mut at = from;
        let broke_off = loop {
            if part.is_none()
                && let Some(answer) = self.walk.answer()
            {
                return Ok(Hop::Known(answer));
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
            self.walk.feed(at, &bytes);
            at = at.saturating_add(length);
            if part.is_none() && self.walk.answer().is_none() {
                self.refuse_if_too_long()?;
            }
        };
        if let Some(trouble) = broke_off {
            // What is known stays known, whatever became of the bytes behind it.
            return self.walk.answer().map(Hop::Known).ok_or(trouble);
        }
        if part.is_none() || self.walk.version.total().is_some_and(|total| at >= total) {
            return Ok(Hop::Known(self.walk.end(at)));
        }
        Ok(self.walk.answer().map_or(Hop::Again, Hop::Known))
    }

    /// Feeds a compressed body to the reader. Both what arrives and what comes of it is bounded.
    async fn unpack(
        &mut self,
        response: Response<Incoming>,
        coding: Coding,
    ) -> Result<Hop, Trouble> {
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
                        self.walk.feed(at, &rest);
                        at = at.saturating_add(length(&rest));
                        return Ok(Hop::Known(self.walk.end(at)));
                    }
                };
                self.walk.feed(at, &part);
                at = at.saturating_add(length(&part));
                if let Some(answer) = self.walk.answer() {
                    return Ok(Hop::Known(answer));
                }
                self.refuse_if_longer_than(at)?;
            }
        }
    }

    pub(super) fn beyond_the_end(
        &mut self,
        headers: &HeaderMap,
        first: u64,
    ) -> Result<Hop, Trouble> {
        let total = text_of(headers, CONTENT_RANGE)
            .as_deref()
            .and_then(ContentRange::parse)
            .and_then(|range| range.total);
        match total {
            Some(total) if !self.walk.version.note(None, Some(total)) => {
                self.restart()?;
                Ok(Hop::Again)
            }
            Some(total) if total <= first => Ok(Hop::Known(self.walk.end(total))),
            // Some origins refuse a range that is longer than a tiny file: take it whole.
            _ if self.ranges => {
                self.restart()?;
                self.ranges = false;
                Ok(Hop::Again)
            }
            _ => Err(unusable("416 although no range was asked for").into()),
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

const MORE_THAN_SAID: &str = "206 with more bytes than its Content-Range says";
