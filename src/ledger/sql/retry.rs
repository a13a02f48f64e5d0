//! How long what may pass is tried again.

use std::time::Duration;

use tokio::time::Instant;

use super::driver::Fault;
use crate::ledger::LedgerError;

/// Until when what may pass is tried again.
pub(in crate::ledger) struct RetryDeadline {
    span: Duration,
    until: Instant,
    pause: Duration,
}

impl RetryDeadline {
    pub(in crate::ledger) fn new(span: Duration) -> Self {
        Self { span, until: Instant::now() + span, pause: FIRST_PAUSE }
    }

    /// Waits a moment before another try, unless there is none to be had.
    pub(in crate::ledger) async fn after(&mut self, fault: Fault) -> Result<(), LedgerError> {
        let Fault { error, may_pass } = fault;
        if !may_pass || Instant::now() >= self.until {
            return Err(error);
        }
        // Said once, however often it is tried.
        if self.pause == FIRST_PAUSE {
            tracing::warn!(%error, waiting_up_to = ?self.span, "ledger_unreachable");
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
