//! Results as a table for people.

use textwrap::Options;

use crate::Report;
use crate::cli::terminal::{colour, text};

/// The columns of a terminal of this width, or of none.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Table {
    /// None where no terminal says it.
    width: Option<usize>,
}

impl Table {
    pub(in crate::cli) fn for_stdout() -> Self {
        let size = console::Term::stdout().size_checked();
        Self { width: size.map(|(_, columns)| usize::from(columns)) }
    }

    pub(in crate::cli) fn heading() -> String {
        format!(
            "{:>6}  {:<15}  {:<14}  {:>9}  {}",
            "NUMBER", "VERDICT", "SIZE", "MONEY", "SOURCE and reasons"
        )
    }

    /// A result: its source's number in the input, verdict, size, money and source, and a line for
    /// each reason.
    pub(in crate::cli) fn row(self, report: &Report) -> String {
        let room = self.width.map_or(LONGEST, |width| width.saturating_sub(BEFORE_SOURCE));
        let mut row = format!(
            "{:>6}  {}  {:<14}  {:>9}  {}",
            report.index.saturating_add(1),
            colour::verdict(&format!("{:<15}", report.verdict.as_str())),
            text::size(report.image.as_ref()),
            text::bill(report.billing, report.from_ledger),
            text::source(&report.source, room.max(SHORTEST)),
        );
        for reason in &report.reasons {
            let code = text::plain(reason.code.as_str());
            let line = format!("{code}: {}", text::plain(&reason.message));
            self.append(&mut row, &line);
        }
        let advice = report.screen.as_ref().and_then(|screen| screen.advice);
        // One that the image was rejected for is among the reasons.
        if let Some(advice) = advice
            && !report.reasons.iter().any(|reason| reason.code.as_str() == advice.as_str())
        {
            let words = advice.in_words();
            self.append(&mut row, &format!("{advice}: the face screen's advice: {words}"));
        }
        row
    }

    fn append(self, row: &mut String, line: &str) {
        for line in self.wrapped(line) {
            row.push('\n');
            row.push_str(&line);
        }
    }

    /// Under the verdict, over as many lines as it takes.
    fn wrapped(self, line: &str) -> Vec<String> {
        let width = self.width.unwrap_or(usize::MAX).max(2 * SHORTEST);
        let options =
            Options::new(width).initial_indent("        ").subsequent_indent("          ");
        textwrap::wrap(line, options).into_iter().map(std::borrow::Cow::into_owned).collect()
    }
}

/// The columns before that of the source, with the gaps.
const BEFORE_SOURCE: usize = 6 + 2 + 15 + 2 + 14 + 2 + 9 + 2;

/// Of a source, where no terminal says how wide it is.
const LONGEST: usize = 90;

/// Of a source, however narrow the terminal is.
const SHORTEST: usize = 20;
