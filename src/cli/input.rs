//! Sources from the command line and from a file of lines, in flat memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::mpsc;

use crate::cli::args::SourceArguments;
use crate::cli::table_input::{Row, Table, columns};
use crate::run::line;
use crate::{AspectRatio, Source};

/// Why an input ended before its end, where it did. What could be read of it is not all there is,
/// and a run of that must not look like a run of all.
#[derive(Clone, Default)]
pub(super) struct InputError(Arc<OnceLock<String>>);

impl InputError {
    pub(super) fn met(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl SourceArguments {
    /// The sources, those of the command line first, and what went wrong once they have ended.
    pub(super) fn open(
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
    pub(super) fn can_be_read_again(&self) -> bool {
        self.input.as_ref().is_none_or(|path| path.is_file())
    }

    /// How many sources there are; none where that cannot be told without using them up.
    pub(super) fn count(&self) -> std::io::Result<Option<u64>> {
        let mut sources = u64::try_from(self.sources.len()).unwrap_or(u64::MAX);
        let Some(path) = &self.input else { return Ok(Some(sources)) };
        // Asked before it is opened: opening a named pipe a second time may wait for ever.
        if path == Path::new("-") || !std::fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut reader = BufReader::new(File::open(path)?);
        for number in 1_u64.. {
            let Some(line) = next_line(&mut reader)? else { break };
            if number == 1
                && let Some(columns) = columns(line::without_mark(&line, number), &self.url_column)
            {
                return Ok(Some(sources + Table::new(reader, columns).count()?));
            }
            sources += u64::from(
                !String::from_utf8_lossy(line::without_mark(&line, number)).trim().is_empty(),
            );
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
        Box::new(std::io::stdin())
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
        .spawn(move || forward(BufReader::new(reader), ratio, &url_column, &sender, &input_error))
        .context("cannot start reading the input")?;
    let batches = stream::unfold(receiver, async |mut receiver| {
        Some((stream::iter(receiver.recv().await?), receiver))
    });
    Ok(batches.flatten())
}

/// Sends on what lines there are at hand together, and never holds one back to wait for more.
fn forward(
    mut reader: BufReader<Box<dyn Read + Send>>,
    ratio: AspectRatio,
    url_column: &str,
    to: &mpsc::Sender<Vec<Source>>,
    input_error: &InputError,
) {
    let mut batch = Vec::new();
    // Set before the channel closes, which is when it is asked for.
    let broken = |what: &str, number: u64, error: &std::io::Error| {
        let _ = input_error
            .0
            .set(format!("{what} {number} of the input and all after it cannot be read: {error}"));
    };
    for number in 1_u64.. {
        let line = match next_line(&mut reader) {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                broken("line", number, &error);
                break;
            }
        };
        if number == 1
            && let Some(columns) = columns(line::without_mark(&line, number), url_column)
        {
            let mut table = Table::new(reader, columns);
            let mut last = 1;
            loop {
                match table.next(url_column) {
                    Ok(Some(row)) => {
                        last = row.number;
                        // One at a time: what is at hand behind it only the table knows.
                        if to.blocking_send(vec![of_row(row, ratio)]).is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => return broken("row", last + 1, &error),
                }
            }
        }
        batch.extend(line::source(&line, number, ratio, LONGEST_LINE));
        let next_is_at_hand = reader.buffer().contains(&b'\n');
        if (batch.len() == BATCH || !next_is_at_hand)
            && to.blocking_send(std::mem::take(&mut batch)).is_err()
        {
            return;
        }
    }
    // Nobody is left to miss it when this fails.
    let _ = to.blocking_send(batch);
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
fn next_line(reader: &mut dyn BufRead) -> std::io::Result<Option<Vec<u8>>> {
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
