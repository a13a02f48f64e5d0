//! Results, as JSON Lines or as a table for people.

use std::fmt::Display;
use std::io::{BufWriter, IsTerminal as _, Stdout, Write};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::StreamExt as _;

use crate::cli::counts::Counts;
use crate::cli::status::Status;
use crate::cli::terminal::progress::Progress;
use crate::cli::terminal::table::Table;
use crate::cli::terminal::{screen, text};
use crate::{Report, Run, Stopper};

/// What results look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    JsonLines,
    Table,
}

impl Layout {
    pub(super) fn for_stdout() -> Self {
        if std::io::stdout().is_terminal() { Self::Table } else { Self::JsonLines }
    }
}

/// Lines on stdout that are no results of a run.
pub(super) struct Lines {
    out: BufWriter<Stdout>,
    what: &'static str,
}

/// Why no more lines were written: their reader has gone, say.
#[derive(Debug, thiserror::Error)]
#[error("stopping: {what} can no longer be written: {error}")]
pub(super) struct Unwritable {
    what: &'static str,
    error: std::io::Error,
}

impl Lines {
    pub(super) fn new(what: &'static str) -> Self {
        Self { out: BufWriter::new(std::io::stdout()), what }
    }

    pub(super) fn write(&mut self, line: impl Display) -> Result<(), Unwritable> {
        let what = self.what;
        writeln!(self.out, "{line}").map_err(|error| Unwritable { what, error })
    }

    pub(super) fn finish(mut self) -> Result<(), Unwritable> {
        self.out.flush().map_err(|error| Unwritable { what: self.what, error })
    }
}

/// Prints results and counts them.
pub(super) struct Printer {
    out: BufWriter<Box<dyn Write + Send>>,
    /// What is being printed; only its memory is kept.
    line: Vec<u8>,
    layout: Layout,
    pub(super) counts: Counts,
    reader_gone: bool,
    progress: Progress,
    headed: bool,
    /// Rows may meet the bar there.
    on_terminal: bool,
}

impl Printer {
    pub(super) fn new(
        out: Box<dyn Write + Send>,
        layout: Layout,
        on_terminal: bool,
        progress: Progress,
    ) -> Self {
        Self {
            out: BufWriter::with_capacity(BUFFER, out),
            line: Vec::new(),
            layout,
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
        let mut ticks = tokio::time::interval(self.progress.every);
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
        let heading = self.layout == Layout::Table && !std::mem::replace(&mut self.headed, true);
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        match self.layout {
            // A report always has a JSON form, its keys are texts and its numbers finite; and into
            // memory all can be written.
            Layout::JsonLines => drop(serde_json::to_writer(&mut line, report)),
            Layout::Table => line.extend_from_slice(Table::for_stdout().row(report).as_bytes()),
        }
        line.push(b'\n');
        self.written(
            |out| {
                if heading {
                    writeln!(out, "{}", Table::heading())?;
                }
                out.write_all(&line)
            },
            stopper,
        );
        self.line = line;
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

    /// Whether results could no longer be written.
    pub(super) fn is_unread(&self) -> bool {
        self.reader_gone
    }

    /// How the run ended, with what came of an earlier part of it.
    pub(super) fn status(&self, exit_zero: bool, earlier: &Counts) -> Status {
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

const BUFFER: usize = 64 * 1_024;

/// A wait that nobody sees, and that saves a write for nearly every line of a fast run.
const LINGER: Duration = Duration::from_millis(5);
