//! The report: one self-contained HTML page about any results.
//!
//! It loads nothing from elsewhere but the images, by their URLs, and says so itself in a content
//! security policy. Everything of a result is text in it, whatever markup it holds.
//!
//! ```
//! let line = r#"{"v":1,"index":0,"source":"https://example.org/a.jpg","ratio":"1:1",
//!     "verdict":"rejected_local","reasons":[{"code":"not_found","message":"…"}],
//!     "billing":{"images":0,"certainty":"none"}}"#;
//! let mut page = emo_preflight::html::Report::new("results.jsonl");
//! page.add(&serde_json::from_str(line)?);
//! let mut file = Vec::new();
//! page.render(&mut file)?;
//! # assert!(file.starts_with(b"<!DOCTYPE html>"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod charts;
mod numbers;
mod page;
mod rows;

use std::io::{self, Write};

use numbers::Numbers;
use rows::Rows;

use crate::report;

/// A page that is being put together: results first, then [`render`](Self::render).
///
/// It keeps about 300 bytes a result, and of the first [`MOST_SHOWN`](Self::MOST_SHOWN) alone: the numbers and
/// charts are about all of them.
///
/// For an example see [the module](self).
#[derive(Debug)]
pub struct Report {
    title: String,
    numbers: Numbers,
    sides: charts::Sides,
    rows: Rows,
}

impl Report {
    /// So many results are shown one by one.
    pub const MOST_SHOWN: usize = 100_000;

    /// An empty page under this title.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            numbers: Numbers::default(),
            sides: charts::Sides::default(),
            rows: Rows::default(),
        }
    }

    /// One more result.
    pub fn add(&mut self, result: &report::Report) {
        self.add_with(result, None);
    }

    /// One more result, with a picture of its image that the page holds itself: an `image/jpeg` file,
    /// shown instead of what its URL leads to. The picture stands as people see it, its EXIF orientation
    /// applied.
    pub fn add_with_picture(&mut self, result: &report::Report, jpeg: &[u8]) {
        self.add_with(result, Some(jpeg));
    }

    fn add_with(&mut self, result: &report::Report, picture: Option<&[u8]>) {
        self.numbers.add(result);
        self.sides.add(result);
        if self.rows.len() < Self::MOST_SHOWN {
            self.rows.add(result, picture);
        }
    }

    /// Writes the page.
    ///
    /// # Errors
    /// What `out` says.
    pub fn render(&self, out: &mut impl Write) -> io::Result<()> {
        page::write(&self.title, &self.numbers, &self.sides, &self.rows, out)
    }
}
