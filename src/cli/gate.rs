//! The gate that `check` and `serve` are given.

use crate::cli::args::GateArguments;
use crate::{ApiKey, Ledger, Preflight, PreflightBuilder, ProbeOptions};

impl GateArguments {
    /// A gate with these settings, behind this local stage.
    pub(super) fn gate(
        &self,
        key: ApiKey,
        ledger: Ledger,
        probe: ProbeOptions,
    ) -> PreflightBuilder {
        let mut gate = Preflight::builder(key)
            .model(&self.model)
            .call_timeout(self.call_timeout)
            .calls_per_second(self.rps)
            .ledger(ledger)
            .retry_unknown(self.retry_unknown)
            .timing(self.timing.gate)
            .probe(probe);
        if let Some(url) = &self.base_url {
            gate = gate.base_url(url);
        }
        if let Some(name) = &self.service {
            gate = gate.service(name);
        }
        if let Some(id) = &self.workspace {
            gate = gate.workspace(id);
        }
        if let Some(name) = &self.account {
            gate = gate.account(name);
        }
        if let Some(most) = self.max_calls {
            gate = gate.max_calls(most);
        }
        if let Some(id) = &self.run {
            gate = gate.run_id(id);
        }
        if let Some(most) = self.ledger_max_age {
            gate = gate.ledger_max_age(most);
        }
        gate
    }
}
