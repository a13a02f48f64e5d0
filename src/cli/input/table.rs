//! Sources from a table: CSV (RFC 4180) whose first line names its columns.

use std::io::{self, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value};

/// The rows behind the line that names the columns.
pub(in crate::cli) struct Table<R> {
    rows: Reader<R>,
    columns: Vec<String>,
    /// The number of the row read last.
    number: u64,
    row: ByteRecord,
}

/// One row of a table.
pub(in crate::cli) struct Row {
    /// Its number, as spreadsheets count: the line with the names is row 1.
    pub(in crate::cli) number: u64,
    /// By column, as texts; an error where the row does not fit the columns.
    pub(in crate::cli) fields: Result<Map<String, Value>, String>,
    /// The cell of the URL's column, where there is one.
    pub(in crate::cli) url: String,
}

/// The columns that a first line names, if it is a table's: one of them is the URL's.
pub(in crate::cli) fn columns(line: &[u8], url_column: &str) -> Option<Vec<String>> {
    let mut row = ByteRecord::new();
    let read = reader(line).read_byte_record(&mut row).ok()?;
    let names: Option<Vec<String>> =
        row.iter().map(|name| Some(std::str::from_utf8(name).ok()?.trim().to_owned())).collect();
    names.filter(|names| read && names.iter().any(|name| name == url_column))
}

impl<R: Read> Table<R> {
    pub(in crate::cli) fn new(rows: R, columns: Vec<String>) -> Self {
        Self { rows: reader(rows), columns, number: 1, row: ByteRecord::new() }
    }

    /// The next row; `url_column` is given back as `image_url`.
    pub(in crate::cli) fn next(&mut self, url_column: &str) -> io::Result<Option<Row>> {
        if !self.rows.read_byte_record(&mut self.row)? {
            return Ok(None);
        }
        self.number += 1;
        let cells = || self.row.iter().map(String::from_utf8_lossy);
        let at = self.columns.iter().position(|name| name == url_column).unwrap_or(0);
        let url = cells().nth(at).unwrap_or_default().trim().to_owned();
        let fields = match (self.row.len(), self.columns.len()) {
            _ if self.row.iter().any(|cell| std::str::from_utf8(cell).is_err()) => {
                Err("a row must be UTF-8".to_owned())
            }
            (found, columns) if found != columns => {
                Err(format!("a row must have {columns} cells as the first line has, found {found}"))
            }
            _ => {
                let named = self.columns.iter().zip(cells());
                // Of ratio and image_id an empty cell is none.
                let has = |name: &str, cell: &str| {
                    !cell.is_empty() || !matches!(name, "ratio" | "image_id")
                };
                let mut fields: Map<String, Value> = named
                    .filter(|(name, cell)| *name != url_column && has(name, cell))
                    .map(|(name, cell)| (name.clone(), Value::String(cell.into_owned())))
                    .collect();
                fields.insert("image_url".to_owned(), Value::String(url.clone()));
                Ok(fields)
            }
        };
        Ok(Some(Row { number: self.number, fields, url }))
    }
}

/// Rows of other lengths are theirs to explain, not the reader's.
fn reader<R: Read>(from: R) -> Reader<R> {
    ReaderBuilder::new().has_headers(false).flexible(true).from_reader(from)
}
