//! One line in the log for each request, written when its answer was sent or nobody wants it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::response::Response;

use super::body::holding;
use crate::report::Report;

/// What an answer says of itself to the log.
#[derive(Clone)]
pub(super) struct Told {
    request_id: String,
    verdict: Option<&'static str>,
    from_ledger: bool,
    images: u64,
    stream: Option<Arc<Sent>>,
}

/// What was sent of a stream so far.
#[derive(Default)]
pub(super) struct Sent {
    reports: AtomicU64,
    /// Billed for them now, not before.
    images: AtomicU64,
}

impl Sent {
    pub(super) fn count(&self, report: &Report) {
        self.reports.fetch_add(1, Ordering::Relaxed);
        self.images.fetch_add(report.images_billed(), Ordering::Relaxed);
    }
}

impl Told {
    pub(super) fn new(request_id: String) -> Self {
        Self { request_id, verdict: None, from_ledger: false, images: 0, stream: None }
    }

    pub(super) fn of(report: &Report, request_id: Option<String>) -> Self {
        Self {
            verdict: Some(report.verdict.as_str()),
            from_ledger: report.from_ledger,
            images: report.billing.images,
            ..Self::new(request_id.unwrap_or_default())
        }
    }

    pub(super) fn stream(sent: Arc<Sent>) -> Self {
        Self { stream: Some(sent), ..Self::new(String::new()) }
    }
}

/// A request that is being answered.
pub(super) struct LogLine {
    begun: Instant,
    method: &'static str,
    route: &'static str,
    status: Option<u16>,
    told: Option<Told>,
}

impl LogLine {
    pub(super) fn begin(method: &'static str, route: &'static str) -> Self {
        Self { begun: Instant::now(), method, route, status: None, told: None }
    }

    /// The line is written once this was sent.
    pub(super) fn with(mut self, mut response: Response) -> Response {
        self.status = Some(response.status().as_u16());
        self.told = response.extensions_mut().remove();
        response.map(|body| holding(body, self))
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let Self { begun, method, route, status, told } = self;
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let told = told.take();
        let id = told.as_ref().map(|told| told.request_id.as_str()).filter(|id| !id.is_empty());
        let stream = told.as_ref().and_then(|told| told.stream.as_ref());
        let reports = stream.map(|sent| sent.reports.load(Ordering::Relaxed));
        let images = stream.map(|sent| sent.images.load(Ordering::Relaxed));
        // Of a client that hung up there is no status.
        let (status, method, route) = (*status, *method, *route);
        match told.as_ref().and_then(|told| Some((told.verdict?, told))) {
            Some((verdict, told)) => {
                let (from_ledger, images) = (told.from_ledger, told.images);
                tracing::info!(
                    id,
                    verdict,
                    from_ledger,
                    images,
                    ms,
                    status,
                    method,
                    route,
                    "request_done"
                );
            }
            None => tracing::info!(id, reports, images, ms, status, method, route, "request_done"),
        }
    }
}
