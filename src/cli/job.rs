//! One batch: where its sources come from, where its results go, how it ends.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};

use crate::cli::args::{OutputArguments, SourceArguments};
use crate::cli::counts::Counts;
use crate::cli::input::InputError;
use crate::cli::input::resume::{Redo, Results};
use crate::cli::output::{Layout, Printer};
use crate::cli::signals;
use crate::cli::status::Status;
use crate::cli::terminal::next_steps::Cap;
use crate::cli::terminal::progress::{Progress, ProgressKind};
use crate::cli::terminal::summary::{self, Calls};
use crate::cli::terminal::{next_steps, text};
use crate::cli::timing::Timing;
use crate::{Preflight, Run, Source, Spent};

/// What is to be done, with everything opened and nothing changed or spent.
pub(super) struct Job {
    sources: BoxStream<'static, Source>,
    input_error: InputError,
    /// None where results go to stdout.
    out: Option<Results>,
    layout: Layout,
    shown: ProgressKind,
    exit_zero: bool,
    rows_on_terminal: bool,
    /// How many sources are to be done, where progress is to say so.
    total: Option<u64>,
    /// How many must be done for the results to be whole: known where the input was read for
    /// `--resume`. Not `total`, which depends on what is shown.
    due: Option<u64>,
    earlier: Counts,
    /// Where results go, unless to stdout.
    results: Option<PathBuf>,
    /// Whether the same command with `--resume` would go on with it.
    again: bool,
    /// How often a line of `--progress json` is written.
    pub(super) progress_every: Duration,
    cap: Option<Cap>,
}

impl Job {
    /// Opens the input and the output, and holds what the output has against the input.
    pub(super) async fn prepare(
        sources: &SourceArguments,
        output: &OutputArguments,
        redo: Redo,
    ) -> anyhow::Result<Self> {
        // Before it is opened, which a named pipe may answer with a wait.
        let count = if output.resume { Some(count_regular_file(sources)?) } else { None };
        let (all, input_error) = sources.open()?;
        let rows_on_terminal = output.output.is_none() && std::io::stdout().is_terminal();
        let mut job = Self {
            sources: all.boxed(),
            input_error,
            out: None,
            layout: output.layout(),
            shown: output.progress.shown(rows_on_terminal),
            exit_zero: output.exit_zero,
            rows_on_terminal,
            total: None,
            due: None,
            earlier: Counts::default(),
            results: output.output.clone(),
            again: sources.can_be_read_again(),
            progress_every: Timing::default().progress,
            cap: None,
        };
        if let Some(path) = &output.output {
            if path == Path::new("-") {
                bail!("--output is a file; without it results go to stdout");
            }
            job.layout = Layout::JsonLines;
            let results = if let Some(count) = count {
                let mut results = Results::resume(path, count, redo)?;
                job.go_on(sources, &mut results, count).await?;
                results
            } else {
                Results::fresh(path)?
            };
            job.out = Some(results);
        }
        if job.shown != ProgressKind::None {
            job.total = job.due.or_else(|| sources.count().ok().flatten());
        }
        Ok(job)
    }

    /// How many sources are to be done, where the input can be counted.
    pub(super) fn to_do(&self, sources: &SourceArguments) -> Option<u64> {
        self.due.or(self.total).or_else(|| sources.count().ok().flatten())
    }

    /// Its calls have a cap.
    pub(super) fn is_capped(&mut self, cap: Cap) {
        self.cap = Some(cap);
    }

    async fn go_on(
        &mut self,
        sources: &SourceArguments,
        results: &mut Results,
        count: u64,
    ) -> anyhow::Result<()> {
        let kept = &mut results.kept;
        let (all, input_error) = sources.open()?;
        let found = kept.verify(all).await?;
        if let Some(problem) = input_error.met() {
            bail!("{problem}");
        }
        if found != count {
            bail!("the input changed while it was read");
        }
        text::say(format_args!(
            "{} of {} done before",
            kept.earlier.sources,
            text::count(count, "image", "images")
        ));
        self.due = Some(count.saturating_sub(kept.earlier.sources));
        self.earlier = std::mem::take(&mut kept.earlier);
        Ok(())
    }

    /// Makes the output ready for what is to come. Until here nothing of it has changed.
    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        self.out.as_mut().map_or(Ok(()), Results::begin)
    }

    /// The sources to be done, once.
    pub(super) fn sources(&mut self) -> impl Stream<Item = Source> + Send + use<> {
        let all = std::mem::replace(&mut self.sources, stream::empty().boxed());
        let kept = self.out.as_mut().map(|results| std::mem::take(&mut results.kept));
        let kept = kept.unwrap_or_default();
        all.enumerate().filter_map(move |(index, source)| {
            let index = u64::try_from(index).unwrap_or(u64::MAX);
            std::future::ready((!kept.has(index)).then(|| source.index(index)))
        })
    }

    /// Prints a run's reports until it ends, is stopped by a signal, or its results can no longer
    /// be written.
    pub(super) async fn finish(
        mut self,
        mut run: Run,
        calls: Calls,
        gate: Option<(Preflight, f64)>,
    ) -> Status {
        let signal = signals::stop_on_signal(run.stopper());
        let progress = Progress::new(self.shown, gate.clone(), self.total, self.progress_every);
        let out: Box<dyn Write + Send> = match self.out.take() {
            None => Box::new(std::io::stdout()),
            Some(results) => Box::new(results.file),
        };
        let mut printer = Printer::new(out, self.layout, self.rows_on_terminal, progress);
        printer.print_all(&mut run).await;
        let ended_early = signal.received().is_some() || printer.is_unread();
        let is_short = !ended_early && self.tell_if_short(printer.counts.sources);
        // What has left and could not be printed is paid for too.
        let spent = match &gate {
            Some((gate, _)) => gate.close().await,
            None => Spent::default(),
        };
        summary::say(&printer.counts, calls, &self.earlier, spent);
        if let Some((gate, rps)) = &gate {
            summary::say_if_throttled(gate.activity(), *rps);
        }
        summary::say_what_to_do(&printer.counts);
        if let (Calls::Made, Some(path)) = (calls, &self.results) {
            let is_whole = !ended_early && !is_short;
            let cap = self.cap.as_ref();
            next_steps::say(path, &printer.counts, &self.earlier, is_whole, self.again, cap);
        }
        match signal.received() {
            Some(signal) => Status::Signal(signal),
            None if is_short => Status::Stopped,
            None => printer.status(self.exit_zero, &self.earlier),
        }
    }

    /// Says so when the input ended before its end.
    fn tell_if_short(&self, done: u64) -> bool {
        if let Some(problem) = self.input_error.met() {
            text::error(problem);
            return true;
        }
        let Some(due) = self.due.filter(|due| done < *due) else { return false };
        text::error(format_args!(
            "the input had {} sources and ended after {}",
            self.earlier.sources + due,
            self.earlier.sources + done
        ));
        true
    }
}

/// How many sources there are in an input that can be read again.
fn count_regular_file(sources: &SourceArguments) -> anyhow::Result<u64> {
    sources
        .count()
        .with_context(|| match &sources.input {
            Some(path) => format!("cannot read the input {}", path.display()),
            None => "cannot read the input".to_owned(),
        })?
        .context("--resume reads the input more than once: give it as a regular file")
}
