//! `header` at its public surface: a row a trap.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "header/bmp.rs"]
mod bmp;
#[path = "header/files.rs"]
mod files;
#[path = "header/fixtures.rs"]
mod fixtures;
#[path = "header/jpeg.rs"]
mod jpeg;
#[path = "header/others.rs"]
mod others;
#[path = "header/png.rs"]
mod png;
#[path = "header/reader.rs"]
mod reader;
#[path = "header/types.rs"]
mod types;
#[path = "header/webp.rs"]
mod webp;
