//! SIGINT and SIGTERM: the first ends the run in order, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::Stopper;

/// Which signal has come.
pub(super) struct Received(Arc<AtomicU8>);

impl Received {
    pub(super) fn received(&self) -> Option<u8> {
        Some(self.0.load(Ordering::SeqCst)).filter(|number| *number != 0)
    }
}

/// Stops the run at the first signal and the process at the second.
pub(super) fn stop_on_signal(stopper: Stopper) -> Received {
    let received = Arc::new(AtomicU8::new(0));
    let noted = Arc::clone(&received);
    tokio::spawn(async move {
        let Some(number) = next().await else { return };
        noted.store(number, Ordering::SeqCst);
        stopper.stop();
        eprintln!(
            "\nstopping: no new calls; waiting for those that have left (once more: stop at once)"
        );
        if let Some(number) = next().await {
            eprintln!("\nstopped at once: the bill of calls under way is unknown");
            std::process::exit(128 + i32::from(number));
        }
    });
    Received(received)
}

/// Waits for a signal to end.
#[cfg(unix)]
pub(super) async fn next() -> Option<u8> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).ok()?;
    let mut terminate = signal(SignalKind::terminate()).ok()?;
    tokio::select! {
        _ = interrupt.recv() => Some(SIGINT),
        _ = terminate.recv() => Some(SIGTERM),
    }
}

/// Waits for a signal to end.
#[cfg(not(unix))]
pub(super) async fn next() -> Option<u8> {
    tokio::signal::ctrl_c().await.ok().map(|()| SIGINT)
}

const SIGINT: u8 = 2;
#[cfg(unix)]
const SIGTERM: u8 = 15;
