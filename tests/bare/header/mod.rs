//! `header` at its public surface: a row a trap.

mod bmp;
mod files;
mod fixtures;
mod jpeg;
mod others;
mod png;
mod reader;
mod types;
mod webp;
