//! One run of the program: where its sources come from, where its results go, how it ends.

use std::io::{IsTerminal as _, Write};

use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};

use crate::cli::args::{OutputArguments, ProgressKind, SourceArguments};
use crate::cli::output::{Format, Money, Printer};
use crate::cli::progress::Progress;
use crate::cli::resume::{self, Kept, Redo};
use crate::cli::status::Status;
use crate::cli::{signals, text};
use crate::{Preflight, Run, Source};

/// What is to be done, with everything opened and nothing spent.
pub(super) struct Job {
    sources: BoxStream<'static, Source>,
    out: Box<dyn Write>,
    format: Format,
    progress: ProgressKind,
    exit_zero: bool,
    /// On a terminal the rows are progress enough.
    rows_are_seen: bool,
    /// How many sources are to be done, where that is known.
    total: Option<u64>,
    /// The worst that came of those done before.
    kept_worst: Option<Status>,
}

impl Job {
    /// Opens the input and the output, and holds what the output has against the input.
    pub(super) async fn prepare(
        sources: &SourceArguments,
        output: &OutputArguments,
        redo: Redo,
    ) -> anyhow::Result<Self> {
        let mut job = Self {
            sources: sources.open()?.boxed(),
            out: Box::new(std::io::stdout()),
            format: output.format(),
            progress: output.progress,
            exit_zero: output.exit_zero,
            rows_are_seen: output.output.is_none() && std::io::stdout().is_terminal(),
            total: None,
            kept_worst: None,
        };
        if let Some(path) = &output.output {
            if output.resume && sources.is_stdin() {
                anyhow::bail!("--resume reads the input twice: give it as a file, not as -");
            }
            let (file, kept) = resume::open(path, output.resume.then_some(redo))?;
            job.out = Box::new(file);
            job.format = Format::Json;
            if output.resume {
                job.go_on(sources, kept).await?;
            }
        }
        if job.total.is_none() && job.shows_progress() {
            job.total = sources.count();
        }
        Ok(job)
    }

    async fn go_on(&mut self, sources: &SourceArguments, kept: Kept) -> anyhow::Result<()> {
        let all = kept.verify(sources.open()?).await?;
        text::tell(format_args!(
            "{} of {} done before",
            kept.lines,
            text::count(all, "picture", "pictures")
        ));
        self.total = Some(all.saturating_sub(kept.lines));
        self.kept_worst = kept.worst;
        let left = sources.open()?.enumerate().filter_map(move |(index, source)| {
            let index = u64::try_from(index).unwrap_or(u64::MAX);
            std::future::ready((!kept.has(index)).then(|| source.index(index)))
        });
        self.sources = left.boxed();
        Ok(())
    }

    /// The sources to be done, once.
    pub(super) fn sources(&mut self) -> impl Stream<Item = Source> + Send + use<> {
        std::mem::replace(&mut self.sources, stream::empty().boxed())
    }

    /// Prints a run's reports until it ends, is stopped by a signal, or its results can no longer
    /// be written.
    pub(super) async fn finish(
        self,
        mut run: Run,
        money: Money,
        gate: Option<Preflight>,
    ) -> Status {
        let signal = signals::stop_on_signal(run.stopper());
        let progress = Progress::new(self.progress, gate, self.total, self.rows_are_seen);
        let mut printer = Printer::new(self.out, self.format, money, progress);
        printer.print_all(&mut run).await;
        printer.summary();
        match signal.received() {
            Some(signal) => Status::Signal(signal),
            None => printer.status(self.exit_zero, self.kept_worst),
        }
    }

    fn shows_progress(&self) -> bool {
        match self.progress {
            ProgressKind::Bar | ProgressKind::Json => true,
            ProgressKind::Auto => std::io::stderr().is_terminal(),
            ProgressKind::None => false,
        }
    }
}
