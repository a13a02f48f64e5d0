//! Tables of origins: one row each, what it does and what the probe is to say of it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use emo_preflight::{AddressPolicy, Probe, ProbeOptions, Report, Source};
use futures_util::future::join_all;

use super::{Origin, Request, Script, Seen, Step, in_time};

/// Stands in each row's URL where secrets stand: in the password and in a query value.
pub(crate) const SECRET: &str = "sEcReT-5eNt1NeL";

/// Settings that let origins on 127.0.0.1 be reached, and nothing else that is not public. Nothing is given
/// up on for its time: a test that is about time sets one.
pub(crate) fn options() -> ProbeOptions {
    let mut options = ProbeOptions::default();
    options.addresses = AddressPolicy::PublicAnd(vec![[127, 0, 0, 1].into()]);
    options.timeout = Duration::from_secs(3_600);
    options.progress_timeout = Duration::from_secs(3_600);
    options
}

pub(crate) fn probe(options: &ProbeOptions) -> Probe {
    Probe::new(options.clone()).unwrap()
}

/// A report's verdict, with the code of its first reason.
pub(crate) fn said(report: &Report) -> String {
    match report.reasons.first() {
        Some(reason) => format!("{}/{}", report.verdict, reason.code),
        None => report.verdict.to_string(),
    }
}

/// Whether a secret shows anywhere but in the source, which comes back verbatim.
pub(crate) fn shows_secret(report: &Report) -> bool {
    let mut report = report.clone();
    report.source.clear();
    let json = serde_json::to_string(&report).unwrap();
    json.contains(SECRET) || format!("{report:?}").contains(SECRET)
}

/// One origin and what is to come of an image there.
pub(crate) struct Row {
    name: &'static str,
    script: Box<Script>,
    options: ProbeOptions,
    says: &'static str,
    requests: Option<u32>,
    redirects: u32,
    bytes: RangeInclusive<u64>,
    size: Option<(u32, u32)>,
    mentions: String,
    least: Duration,
}

/// A row that is `eligible` unless it says otherwise.
pub(crate) fn row<F>(name: &'static str, script: F) -> Row
where
    F: Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
{
    Row {
        name,
        script: Box::new(script),
        options: options(),
        says: "eligible",
        requests: None,
        redirects: 0,
        bytes: 0..=u64::MAX,
        size: None,
        mentions: String::new(),
        least: Duration::ZERO,
    }
}

impl Row {
    /// The verdict, a slash and the first reason's code.
    pub(crate) fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    pub(crate) fn requests(self, requests: u32) -> Self {
        Self { requests: Some(requests), ..self }
    }

    pub(crate) fn redirects(self, redirects: u32) -> Self {
        Self { redirects, ..self }
    }

    pub(crate) fn bytes(self, bytes: RangeInclusive<u64>) -> Self {
        Self { bytes, ..self }
    }

    pub(crate) fn size(self, width: u32, height: u32) -> Self {
        Self { size: Some((width, height)), ..self }
    }

    /// Text in the first reason's message.
    pub(crate) fn mentions(self, mentions: impl Into<String>) -> Self {
        Self { mentions: mentions.into(), ..self }
    }

    /// How long it takes at least.
    pub(crate) fn takes(self, least: Duration) -> Self {
        Self { least, ..self }
    }

    pub(crate) fn options(mut self, change: impl FnOnce(&mut ProbeOptions)) -> Self {
        change(&mut self.options);
        self
    }

    async fn run(self) -> (Outcome, String) {
        let Self { name, script, options, says, requests, redirects, .. } = self;
        let origin = Origin::start(script).await;
        let url = format!("http://user:{SECRET}@127.0.0.1:{}/pic?k={SECRET}", origin.port());
        let report = in_time(name, probe(&options).check(Source::url(url))).await;
        let seen = origin.seen();
        let fetch = report.fetch.unwrap_or_default();
        let size = report.image.map(|image| (image.width, image.height));
        let message = report.reasons.first().map(|r| r.message.clone()).unwrap_or_default();

        let mut wrong = String::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                let _ = write!(wrong, "\n  {name}: {what}");
            }
        };
        must(said(&report) == says, format!("says {} ({message}), not {says}", said(&report)));
        must(message.contains(&self.mentions), format!("{message:?} lacks {:?}", self.mentions));
        must(
            requests.is_none_or(|n| n == fetch.requests),
            format!("{} requests, not {requests:?}", fetch.requests),
        );
        must(
            seen.requests.len() == usize::try_from(fetch.requests).unwrap(),
            format!("{} requests arrived, {} reported", seen.requests.len(), fetch.requests),
        );
        must(fetch.redirects == redirects, format!("{} redirects", fetch.redirects));
        must(
            self.bytes.contains(&fetch.bytes),
            format!("{} bytes, not {:?}", fetch.bytes, self.bytes),
        );
        must(
            self.size.is_none_or(|wanted| Some(wanted) == size),
            format!("size {size:?}, not {:?}", self.size),
        );
        must(
            fetch.elapsed_ms >= u64::try_from(self.least.as_millis()).unwrap(),
            format!("took {} ms, not at least {:?}", fetch.elapsed_ms, self.least),
        );
        must(seen.requests.iter().all(|r| r.method == "GET"), "asks otherwise than GET".to_owned());
        must(!shows_secret(&report), format!("shows the secret: {report:?}"));
        (Outcome { origin, seen, report }, wrong)
    }
}

/// What came of a row, for what only that row asserts.
pub(crate) struct Outcome {
    pub(crate) origin: Origin,
    pub(crate) seen: Seen,
    pub(crate) report: Report,
}

/// Checks all rows at once, each against an origin and with a probe of its own, and fails with
/// every row that is wrong.
pub(crate) async fn check<const N: usize>(rows: [Row; N]) -> [Outcome; N] {
    try_check(rows).await.unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// As [`check`], and says what is wrong.
pub(crate) async fn try_check<const N: usize>(rows: [Row; N]) -> Result<[Outcome; N], String> {
    let (outcomes, wrong): (Vec<_>, Vec<_>) =
        join_all(rows.into_iter().map(Row::run)).await.into_iter().unzip();
    let wrong = wrong.concat();
    match wrong.is_empty() {
        true => Ok(outcomes.try_into().unwrap_or_else(|_| panic!("as many outcomes as rows"))),
        false => Err(wrong),
    }
}
