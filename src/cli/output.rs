//! Results on stdout, as JSON Lines or as a table for people; the summary on stderr.

use std::io::{BufWriter, IsTerminal as _, Write};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::StreamExt as _;

use crate::cli::counts::{Counts, Earlier};
use crate::cli::progress::{self, Progress};
use crate::cli::status::Status;
use crate::cli::{screen, text};
use crate::{Report, Run, Stopper};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Table,
}

impl Format {
    pub(super) fn for_stdout() -> Self {
        if std::io::stdout().is_terminal() { Self::Table } else { Self::Json }
    }
}

/// What the summary says of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Money {
    /// Calls were made.
    Costs,
    /// Calls were held back to learn what they would cost.
    WouldCost,
    /// Calls were not asked for.
    Nothing,
}

/// Prints results and counts them.
pub(super) struct Printer {
    out: BufWriter<Box<dyn Write + Send>>,
    format: Format,
    money: Money,
    pub(super) counts: Counts,
    reader_gone: bool,
    progress: Progress,
    headed: bool,
    /// Rows may meet the bar.
    on_terminal: bool,
}

impl Printer {
    pub(super) fn new(
        out: Box<dyn Write + Send>,
        format: Format,
        money: Money,
        progress: Progress,
    ) -> Self {
        let out = BufWriter::with_capacity(BUFFER, out);
        let on_terminal = std::io::stdout().is_terminal();
        Self {
            out,
            format,
            money,
            counts: Counts::default(),
            reader_gone: false,
            progress,
            headed: false,
            on_terminal,
        }
    }

    /// Prints every report of a run. When results can no longer be written the run is stopped in
    /// order: what has left is still awaited.
    pub(super) async fn print_all(&mut self, run: &mut Run) {
        let stopper = run.stopper();
        let mut ticks = tokio::time::interval(progress::EVERY);
        ticks.reset();
        loop {
            // Lines are written out as soon as the run makes us wait, and in bulk while it does
            // not.
            let next = match run.next().now_or_never() {
                Some(next) => next,
                None => {
                    let unwritten = !self.out.buffer().is_empty();
                    tokio::select! {
                        next = run.next() => next,
                        () = tokio::time::sleep(LINGER), if unwritten => {
                            self.written(|out| out.flush(), &stopper);
                            continue;
                        }
                        _ = ticks.tick() => {
                            self.progress.tick(&self.counts);
                            continue;
                        }
                    }
                }
            };
            let Some(report) = next else { break };
            self.counts.add(&report);
            self.print(&report, &stopper);
            self.progress.step(&self.counts);
        }
        self.written(|out| out.flush(), &stopper);
        self.progress.finish(&self.counts);
    }

    /// A line of other text than a result, for people, at once.
    pub(super) fn line(&mut self, text: &str, stopper: &Stopper) {
        self.written(
            |out| {
                writeln!(out, "{text}")?;
                out.flush()
            },
            stopper,
        );
    }

    fn print(&mut self, report: &Report, stopper: &Stopper) {
        let heading = self.format == Format::Table && !std::mem::replace(&mut self.headed, true);
        let text = match self.format {
            // A report always has a JSON form: its keys are texts and its numbers finite.
            Format::Json => serde_json::to_string(report).unwrap_or_default(),
            Format::Table => row(report),
        };
        self.written(
            |out| {
                if heading {
                    writeln!(out, "{}", heading_row())?;
                }
                writeln!(out, "{text}")
            },
            stopper,
        );
    }

    fn written(
        &mut self,
        write: impl FnOnce(&mut BufWriter<Box<dyn Write + Send>>) -> std::io::Result<()>,
        stopper: &Stopper,
    ) {
        if self.reader_gone {
            return;
        }
        let out = &mut self.out;
        // The bar makes room for rows on a terminal; of a file it knows nothing.
        let written = if self.on_terminal { screen::aside(|| write(out)) } else { write(out) };
        if let Err(error) = written {
            text::tell(format_args!("stopping: results can no longer be written: {error}"));
            self.reader_gone = true;
            stopper.stop();
        }
    }

    /// Counts, spending and savings, on stderr. What calls would cost takes in the results of
    /// `earlier` parts of the run; what was spent is this part's.
    pub(super) fn summary(&self, earlier: &Earlier) {
        let counts = &self.counts;
        let of = |verdict: &str| counts.by_verdict.get(verdict).copied().unwrap_or(0);
        let verdicts: Vec<String> =
            counts.by_verdict.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        let pictures = text::count(counts.pictures, "picture", "pictures");
        text::tell(format_args!(
            "{pictures}{}{}",
            if verdicts.is_empty() { "" } else { ": " },
            verdicts.join(", ")
        ));
        let rejected = of("rejected_local");
        match self.money {
            Money::Nothing => {}
            Money::WouldCost => {
                let calls = of("eligible") + earlier.eligible;
                let rejected = rejected + earlier.rejected_local;
                text::tell(format_args!(
                    "would make at most {} for at most {}; rejected for free: {rejected} \
                     (saves up to {})",
                    text::count(calls, "call", "calls"),
                    text::cny(calls),
                    text::cny(rejected),
                ));
            }
            Money::Costs => {
                let unknown = match counts.unknown {
                    0 => String::new(),
                    unknown => format!(", up to {} more not known", text::cny(unknown)),
                };
                // A refused call may be free, so what was saved is an upper bound.
                text::tell(format_args!(
                    "rejected for free: {rejected}; {}; spent {}{unknown}; saved up to {}",
                    text::count(counts.called, "picture called for", "pictures called for"),
                    text::cny(counts.images),
                    text::cny(rejected + counts.known),
                ));
            }
        }
    }

    /// Whether results could no longer be written.
    pub(super) fn is_unread(&self) -> bool {
        self.reader_gone
    }

    /// How the run ended, with what came of an earlier part of it.
    pub(super) fn status(&self, exit_zero: bool, earlier: &Earlier) -> Status {
        if self.reader_gone {
            return Status::Stopped;
        }
        match self.counts.worst.max(earlier.worst).unwrap_or(Status::Good) {
            Status::Stopped => Status::Stopped,
            _ if exit_zero => Status::Good,
            worst => worst,
        }
    }
}

/// A result for people: verdict, size, money and source, and a line for each reason.
pub(super) fn row(report: &Report) -> String {
    let mut row = format!(
        "{:<15}  {:<15}  {:>9}  {}",
        report.verdict.as_str(),
        text::size(report.image.as_ref()),
        text::bill(report.billing, report.from_ledger),
        text::source(&report.source),
    );
    for reason in &report.reasons {
        row.push_str(&format!(
            "\n{:>16}{}: {}",
            "",
            text::plain(reason.code.as_str()),
            text::plain(&reason.message)
        ));
    }
    row
}

pub(super) fn heading_row() -> String {
    format!("{:<15}  {:<15}  {:>9}  {}", "VERDICT", "SIZE", "MONEY", "SOURCE and reasons")
}

const BUFFER: usize = 64 * 1_024;

/// A wait that nobody sees, and that saves a write for nearly every line of a fast run.
const LINGER: Duration = Duration::from_millis(5);
