//! What a server counts, for Prometheus.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::gate::Preflight;
use crate::report::{ReasonCode, Report};

/// The counters of one server and of its gate.
pub(super) struct Metrics {
    registry: Registry,
    verdicts: Family<VerdictLabel, Counter>,
    ledger_errors: Counter,
    passed_on: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: &'static str,
}

impl Metrics {
    pub(super) fn new(gate: Preflight) -> Self {
        let mut registry = Registry::with_prefix("emo_preflight");
        let verdicts = Family::default();
        let ledger_errors = Counter::default();
        let passed_on = Counter::default();
        registry.register("verdicts", "Reports by verdict", verdicts.clone());
        registry.register(
            "ledger_errors",
            "Reports that failed for the ledger",
            ledger_errors.clone(),
        );
        registry.register(
            "passed_on",
            "Requests passed on to the service, not booked",
            passed_on.clone(),
        );
        registry.register_collector(Box::new(GateCounters(gate)));
        Self { registry, verdicts, ledger_errors, passed_on }
    }

    pub(super) fn count(&self, report: &Report) {
        let verdict = report.verdict.as_str();
        self.verdicts.get_or_create(&VerdictLabel { verdict }).inc();
        if report.reasons.iter().any(|reason| reason.code == ReasonCode::LedgerError) {
            self.ledger_errors.inc();
        }
    }

    pub(super) fn count_passed_on(&self) {
        self.passed_on.inc();
    }

    /// All of them in the OpenMetrics text format.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// What the gate counts itself.
#[derive(Debug)]
struct GateCounters(Preflight);

impl Collector for GateCounters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let spent = self.0.spent();
        let activity = self.0.activity();
        let mut counter = |name, help, value: u64| {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
        };
        counter("calls", "Paid calls that may have reached the service", spent.calls)?;
        counter("images_certain", "Images surely billed", spent.images)?;
        counter("images_unknown", "Calls of which nobody knows the bill", spent.unknown)?;
        counter("throttled", "Calls answered with 429", activity.throttled)?;
        counter("reservations", "Slots reserved in the ledger", activity.reservations)?;
        let mut gauge = |name, help, value: u64| {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("waiting", "Calls that wait for their slot", activity.waiting)?;
        gauge("in_flight", "Calls that have left and are not answered yet", activity.in_flight)?;
        gauge("unwritten", "Answers that the ledger cannot take now", activity.unwritten)?;
        for (name, help, time) in [
            ("slot_wait", "Time that calls waited for their slot, all together", activity.waited),
            ("reserving", "Time that the ledger took to reserve, all together", activity.reserving),
        ] {
            let metric = ConstCounter::new(time.as_secs_f64());
            let unit = Some(&Unit::Seconds);
            metric.encode(encoder.encode_descriptor(name, help, unit, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
