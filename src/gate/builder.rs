//! How a gate is set up.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::before_call::BeforeCall;
use super::call::Caller;
use super::single_flight::SingleFlight;
use super::{Gate, GateError, GateTiming, Preflight};
use crate::detect::{ApiKey, DetectOptions, PaidClient};
use crate::ledger::{Ledger, Reuse, Terms, spacing};
use crate::net::ConfigError;
use crate::probe::{Probe, ProbeOptions};

/// Settings of a gate; made by [`Preflight::builder`].
///
/// ```no_run
/// # async fn example(key: emo_preflight::ApiKey) -> Result<(), emo_preflight::GateError> {
/// use std::time::Duration;
/// use emo_preflight::{Preflight, ProbeOptions};
/// let mut probe = ProbeOptions::default();
/// probe.timeout = Duration::from_secs(5);
/// let gate = Preflight::builder(key).probe(probe).calls_per_second(2.0).build().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PreflightBuilder {
    key: ApiKey,
    detect: DetectOptions,
    calls_per_second: f64,
    account: String,
    ledger: Ledger,
    run: Option<String>,
    max_calls: Option<u64>,
    max_age: Option<Duration>,
    retry_unknown: bool,
    probe: ProbeOptions,
    timing: GateTiming,
}

impl PreflightBuilder {
    pub(super) fn new(key: ApiKey) -> Self {
        let detect = DetectOptions::default();
        Self {
            key,
            calls_per_second: detect.detector.calls_per_second,
            detect,
            account: DEFAULT_ACCOUNT.to_owned(),
            ledger: Ledger::in_memory(),
            run: None,
            max_calls: None,
            max_age: None,
            retry_unknown: false,
            probe: ProbeOptions::default(),
            timing: GateTiming::default(),
        }
    }

    /// The service's base URL, which ends in `/api/v1`; the call goes to `services/aigc/image2video/face-detect` below it.
    /// `http` only on loopback. Default `https://dashscope.aliyuncs.com/api/v1`, whatever the environment
    /// says: see [`Preflight::from_env`].
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.detect.base_url = url.into();
        self
    }

    /// Says that this base URL leads to the service of that name: what was asked under another base
    /// URL of the same name is not asked again. Default: `dashscope.aliyuncs.com` for every host of
    /// the vendor's service in Beijing, else the base URL itself.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.detect.service = Some(name.into());
        self
    }

    /// The model's name; a dedicated deployment has its own. Default `emo-detect-v1`.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.detect.model = name.into();
        self
    }

    /// The workspace's id, sent as `X-DashScope-WorkSpace`. Default none.
    pub fn workspace(mut self, id: impl Into<String>) -> Self {
        self.detect.workspace = Some(id.into());
        self
    }

    /// The longest a paid call may take, its answer's body included: above 0 s, at most a day.
    /// Default 60 s.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.detect.timeout = timeout;
        self
    }

    /// The most paid calls in any second, from 0.0001 to 1,000. Default 5, the account's quota.
    /// Where the service refuses calls for their pace, the gate comes down to that by halves.
    pub fn calls_per_second(mut self, rate: f64) -> Self {
        self.calls_per_second = rate;
        self
    }

    /// Whose quota the calls count against: gates on one ledger and account share their pace,
    /// whatever keys they have. Default `default`; a second account on one ledger needs a name.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.account = name.into();
        self
    }

    /// Where the ledger is kept. Default [`Ledger::in_memory`].
    pub fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    /// The most calls that may be billed, over all gates of the same [`run_id`](Self::run_id) on
    /// one ledger. Calls under way and those of unknown bill count. Default none.
    pub fn max_calls(mut self, most: u64) -> Self {
        self.max_calls = Some(most);
        self
    }

    /// Which run the cap counts for. Default a fresh one for each gate.
    pub fn run_id(mut self, id: impl Into<String>) -> Self {
        self.run = Some(id.into());
        self
    }

    /// Verdicts in the ledger older than this are not reused. Default: any age is.
    pub fn ledger_max_age(mut self, most: Duration) -> Self {
        self.max_age = Some(most);
        self
    }

    /// Ask again, once, what was of unknown bill before this gate was built: **this may pay
    /// twice**. Default off.
    pub fn retry_unknown(mut self, retry: bool) -> Self {
        self.retry_unknown = retry;
        self
    }

    /// Settings of the local stage, without [local files](ProbeOptions::local_files).
    pub fn probe(mut self, options: ProbeOptions) -> Self {
        self.probe = options;
        self
    }

    /// How long the gate waits for its ledger and for other processes.
    pub fn timing(mut self, timing: GateTiming) -> Self {
        self.timing = timing;
        self
    }

    /// The gate. Sends nothing yet: dropping the future is harmless.
    ///
    /// # Errors
    /// [`GateError::Config`] when a setting is out of its range or the ledger is open for reading
    /// only; [`GateError::Ledger`] when unknown calls are to be retried and it cannot be read.
    pub async fn build(self) -> Result<Preflight, GateError> {
        let rate = self.calls_per_second;
        if !(LEAST_CALLS_PER_SECOND..=MOST_CALLS_PER_SECOND).contains(&rate) {
            return Err(ConfigError::Option(format!(
                "calls per second must be from {LEAST_CALLS_PER_SECOND} to {MOST_CALLS_PER_SECOND}, \
                 found {rate}"
            ))
            .into());
        }
        if self.probe.local_files {
            let message = "local files must be for a probe only: the service takes URLs";
            return Err(ConfigError::Option(message.to_owned()).into());
        }
        if self.ledger.is_read_only() {
            let message =
                "a gate's ledger must be open for writing, found one that is open for reading only";
            return Err(ConfigError::Option(message.to_owned()).into());
        }
        let retry_unknown = match self.retry_unknown {
            true => Some(self.ledger.moment().await?),
            false => None,
        };
        let terms = Terms {
            account: self.account,
            spacing: spacing(rate),
            run: self.run.unwrap_or_else(|| format!("{:016x}", fastrand::u64(..))),
            max_calls: self.max_calls,
            answer_within: self.detect.timeout.saturating_add(self.timing.answer_grace),
            reuse: Reuse { max_age: self.max_age, retry_unknown },
        };
        let paid = PaidClient::new(&self.key, self.detect)?;
        let before_call = BeforeCall {
            probe: Probe::new(self.probe)?,
            ledger: self.ledger.clone(),
            service: paid.service().clone(),
            reuse: terms.reuse.clone(),
        };
        Ok(Preflight(Arc::new(Gate {
            before_call,
            caller: Arc::new(Caller::new(paid, self.ledger, terms, rate, self.timing)),
            flights: SingleFlight::default(),
            calls: TaskTracker::new(),
        })))
    }
}

/// One for a ledger: two keys of one account are one quota.
pub(crate) const DEFAULT_ACCOUNT: &str = "default";

const MOST_CALLS_PER_SECOND: f64 = 1_000.0;
/// One call in a little less than three hours.
const LEAST_CALLS_PER_SECOND: f64 = 0.000_1;
