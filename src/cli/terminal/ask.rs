//! The question before a run from a terminal that may cost more than a trial.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::HumanDuration;

use crate::cli::args::{CheckArguments, SourceArguments};
use crate::cli::terminal::{screen, text};

/// Whether somebody is there to ask, and has not answered beforehand.
pub(in crate::cli) fn is_wanted(arguments: &CheckArguments) -> bool {
    let answered = arguments.yes || arguments.gate.max_calls.is_some();
    !answered
        && std::io::stdin().is_terminal()
        && std::io::stderr().is_terminal()
        && !arguments.sources.come_from_the_terminal()
}

/// Asks, where a run of so many sources, or of nobody knows how many, may make more than
/// [`UNASKED`] calls. Anything but yes is no.
pub(in crate::cli) fn may_begin(sources: Option<u64>, rps: f64) -> anyhow::Result<bool> {
    let what = match sources {
        Some(calls) if calls <= UNASKED => return Ok(true),
        Some(calls) => format!(
            "this run may make up to {} calls, which is {} and {} at the most",
            calls,
            text::cny(calls),
            HumanDuration(time_of(calls, rps)),
        ),
        None => "the input is a pipe, so nobody knows how many calls this run will make".to_owned(),
    };
    screen::aside(|| {
        let mut err = std::io::stderr();
        let _ = write!(
            err,
            "{what}\n(--dry-run counts them for free, --max-calls N is a cap, --yes does not ask)\n\
             go on? [y/N] "
        );
        let _ = err.flush();
    });
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    if read == 0 {
        // Nobody pressed the key that ends the line.
        text::tell("");
    }
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// How long so many calls take at this pace: the quota spaces them by (1 s + 35 ms) / rps.
fn time_of(calls: u64, rps: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = calls as f64 * 1.035 / rps;
    Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(Duration::MAX)
}

impl SourceArguments {
    /// An answer read from there would be a source that is lost.
    fn come_from_the_terminal(&self) -> bool {
        let Some(path) = &self.input else { return false };
        path == Path::new("-") || std::fs::metadata(path).is_ok_and(|found| is_device(&found))
    }
}

/// `/dev/stdin`, where that is a terminal.
#[cfg(unix)]
fn is_device(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    found.file_type().is_char_device()
}

#[cfg(not(unix))]
fn is_device(_: &std::fs::Metadata) -> bool {
    false
}

/// So many calls are a trial: CNY 0.1 and five seconds.
const UNASKED: u64 = 25;
