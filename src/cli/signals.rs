//! SIGINT, SIGTERM and SIGHUP: the first ends the run in order, the second at once.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::Stopper;
use crate::cli::terminal::text;

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
    // Listening begins here, before any call can leave, not when the task first runs.
    let first = first("no new calls; waiting for those that have left");
    tokio::spawn(async move {
        noted.store(first.await, Ordering::SeqCst);
        stopper.stop();
    });
    Received(received)
}

/// The first signal's number once it comes, which is then said with what `stopping` means. The second one
/// ends the process at once.
pub(super) fn first(stopping: &'static str) -> impl Future<Output = u8> {
    let signals = Signals::new();
    async move {
        let Some(mut signals) = signals else { return std::future::pending().await };
        let Some(number) = signals.next().await else { return std::future::pending().await };
        // Not here, where a stderr that is full would hold up what follows the signal.
        tokio::spawn(async move {
            // A terminal shows ^C where the cursor is.
            let line = if std::io::stderr().is_terminal() { "\n" } else { "" };
            text::tell(format_args!("{line}stopping: {stopping} (once more: stop at once)"));
            if let Some(number) = signals.next().await {
                text::tell(format_args!(
                    "{line}stopped at once: the bill of calls under way is unknown"
                ));
                std::process::exit(128 + i32::from(number));
            }
        });
        number
    }
}

/// The signals that end the program. One that comes between two calls of `next` is kept.
#[cfg(unix)]
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// Absent where the process was started to outlive its terminal.
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    /// None where the system gives no signals; they then end the process as they always do.
    pub(super) fn new() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
            hangup: match is_hangup_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup()).ok()?),
            },
        })
    }

    /// Waits for the next one and gives its number.
    pub(super) async fn next(&mut self) -> Option<u8> {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = self.interrupt.recv() => Some(SIGINT),
            Some(()) = self.terminate.recv() => Some(SIGTERM),
            Some(()) = hangup => Some(SIGHUP),
            else => None,
        }
    }
}

/// Whether SIGHUP was ignored when the process began, as nohup(1) does. Linux says so; where it cannot
/// be told, the signal ends the run in order, which loses no call.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

/// The signals that end the program.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> Option<Self> {
        Some(Self)
    }

    /// Waits for the next one and gives its number.
    pub(super) async fn next(&mut self) -> Option<u8> {
        tokio::signal::ctrl_c().await.ok().map(|()| SIGINT)
    }
}

const SIGINT: u8 = 2;
#[cfg(unix)]
const SIGHUP: u8 = 1;
#[cfg(unix)]
const SIGTERM: u8 = 15;
