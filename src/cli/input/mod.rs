//! Sources from the command line and from a file of lines, in flat memory.

pub(super) mod results;
pub(super) mod resume;
mod table;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::mpsc;

use crate::cli::args::SourceArguments;
use crate::cli::input::table::{Row, Table, columns};
use crate::run::line;
use crate::{AspectRatio, Source};

/// Why an input ended before its end, where it did. What could be read of it is not all there is,
/// and a run of that must not look like a run of all.
#[derive(Clone, Default)]
pub(in crate::cli) struct InputError(Arc<OnceLock<String>>);

impl InputError {
    pub(in crate::cli) fn met(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl SourceArguments {
    /// The sources, those of the command line first, and what went wrong once they have ended.
    pub(in crate::cli) fn open(
        &self,
    ) -> anyhow::Result<(impl Stream<Item = Source> + Send + use<>, InputError)> {
        let ratio = self.ratio;
        let input_error = InputError::default();
        let named: Vec<Source> =
            self.sources.iter().map(|text| Source::url(text).ratio(ratio)).collect();
        let lines = match &self.input {
            Some(path) => {
                read(path, ratio, self.url_column.clone(), input_error.clone())?.left_stream()
            }
            None => stream::empty().right_stream(),
        };
        Ok((stream::iter(named).chain(lines), input_error))
    }

    /// Whether all of them can be had once more.
    pub(in crate::cli) fn can_be_read_again(&self) -> bool {
        self.input.as_ref().is_none_or(|path| path.is_file())
    }

    /// How many sources there are; none where that cannot be told without using them up.
    pub(in crate::cli) fn count(&self) -> io::Result<Option<u64>> {
        let mut sources = u64::try_from(self.sources.len()).unwrap_or(u64::MAX);
        let Some(path) = &self.input else { return Ok(Some(sources)) };
        // Asked before it is opened: opening a named pipe a second time may wait for ever.
        if path == Path::new("-") || !std::fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut input = Input::begin(Box::new(File::open(path)?), self.ratio, &self.url_column)?;
        let mut read = Vec::new();
        while input.read_into(&mut read)? {
            sources += u64::try_from(read.drain(..).count()).unwrap_or(u64::MAX);
        }
        Ok(Some(sources))
    }
}

fn read(
    path: &Path,
    ratio: AspectRatio,
    url_column: String,
    input_error: InputError,
) -> anyhow::Result<impl Stream<Item = Source> + Send + use<>> {
    let reader: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let open = || format!("cannot read the input {}", path.display());
        let file = File::open(path).with_context(open)?;
        if file.metadata().with_context(open)?.is_dir() {
            anyhow::bail!("{}: it is a directory", open());
        }
        Box::new(file)
    };
    let (sender, receiver) = mpsc::channel(BATCHES);
    // A thread of its own: reading a terminal or a pipe may never end, and nothing waits for it.
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            if let Err(error) = forward(reader, ratio, &url_column, &sender) {
                // Set before the channel closes, which is when it is asked for.
                let _ = input_error.0.set(error);
            }
            drop(sender);
        })
        .context("cannot start reading the input")?;
    let batches = stream::unfold(receiver, async |mut receiver| {
        Some((stream::iter(receiver.recv().await?), receiver))
    });
    Ok(batches.flatten())
}

/// Sends on what lines there are at hand together, and never holds one back to wait for more.
fn forward(
    reader: Box<dyn Read + Send>,
    ratio: AspectRatio,
    url_column: &str,
    to: &mpsc::Sender<Vec<Source>>,
) -> Result<(), String> {
    let mut batch = Vec::new();
    let cannot = |what: &str, number: u64, error: io::Error| {
        format!("{what} {number} of the input and all after it cannot be read: {error}")
    };
    let mut input =
        Input::begin(reader, ratio, url_column).map_err(|error| cannot("line", 1, error))?;
    let what = if matches!(input.rows, Rows::Table(_)) { "row" } else { "line" };
    while input.read_into(&mut batch).map_err(|error| cannot(what, input.number + 1, error))? {
        if (batch.len() == BATCH || !input.has_next_at_hand())
            && to.blocking_send(std::mem::take(&mut batch)).is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// A list of sources that is being read.
struct Input<'a> {
    rows: Rows,
    ratio: AspectRatio,
    url_column: &'a str,
    /// Of the line or row read last.
    number: u64,
}

enum Rows {
    /// With the first line, until it is taken.
    Lines(Option<Vec<u8>>, BufReader<Box<dyn Read + Send>>),
    Table(Table<BufReader<Box<dyn Read + Send>>>),
}

impl<'a> Input<'a> {
    /// Reads the first line, which tells what it is.
    fn begin(
        reader: Box<dyn Read + Send>,
        ratio: AspectRatio,
        url_column: &'a str,
    ) -> io::Result<Self> {
        let mut reader = BufReader::new(reader);
        let first = next_line(&mut reader)?;
        if first.is_none() {
            // Not asked for its end again, which a terminal would not give twice.
            reader = BufReader::new(Box::new(io::empty()));
        }
        let names = first.as_deref().map(|line| line::without_mark(line, 1));
        Ok(match names.and_then(|names| columns(names, url_column)) {
            Some(columns) => {
                let rows = Rows::Table(Table::new(reader, columns));
                Self { rows, ratio, url_column, number: 1 }
            }
            None => Self { rows: Rows::Lines(first, reader), ratio, url_column, number: 0 },
        })
    }

    /// Adds the source of the next line or row, if there is one on it; false at the end.
    fn read_into(&mut self, batch: &mut Vec<Source>) -> io::Result<bool> {
        let (ratio, number) = (self.ratio, self.number + 1);
        match &mut self.rows {
            Rows::Table(table) => match table.next(self.url_column)? {
                Some(row) => batch.push(of_row(row, ratio)),
                None => return Ok(false),
            },
            Rows::Lines(first, reader) => {
                let line = match first.take() {
                    Some(line) => line,
                    None => match next_line(reader)? {
                        Some(line) => line,
                        None => return Ok(false),
                    },
                };
                batch.extend(line::source(&line, number, ratio, LONGEST_LINE));
            }
        }
        self.number = number;
        Ok(true)
    }

    /// Whether the next line can be read without a wait. Of a row only the table knows.
    fn has_next_at_hand(&self) -> bool {
        match &self.rows {
            Rows::Table(_) => false,
            Rows::Lines(_, reader) => reader.buffer().contains(&b'\n'),
        }
    }
}

/// The source of a row of a table.
fn of_row(row: Row, ratio: AspectRatio) -> Source {
    let Row { number, fields, url } = row;
    let place = format!("row {number}");
    match fields {
        Ok(fields) => line::object(fields.into(), &place, String::new, ratio),
        Err(problem) => {
            Source::unreadable(line::shown(&url), format!("{place}: {problem}")).ratio(ratio)
        }
    }
}

/// The next line, of which at most [`LONGEST_LINE`] and a byte are kept.
fn next_line(reader: &mut dyn BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let most = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX).saturating_add(1);
    if reader.take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() > LONGEST_LINE && line.last() != Some(&b'\n') {
        reader.skip_until(b'\n')?;
    }
    Ok(Some(line))
}

/// Sources in a batch, and batches read ahead: memory does not grow with the input.
const BATCH: usize = 256;
const BATCHES: usize = 2;
const LONGEST_LINE: usize = 1_024 * 1_024;
