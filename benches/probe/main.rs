//! What the local stage takes, beside what people compose today, in one run:
//! `cargo bench --features cli --bench probe -- [--quick] [TABLE ...]` prints the tables of
//! `benches/README.md`; without a name it prints all.
//!
//! The run ends with an error when anyone's answer is wrong, or when ours misses a target that no
//! machine's speed decides.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod contender;
mod files;
mod first_range;
mod latency;
mod markdown;
mod memory;
mod origin;
mod peers;
mod process;
mod taken;
mod throughput;

use std::io;

const TABLES: [&str; 5] = ["bytes", "latency", "throughput", "memory", "first-range"];

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [role, ranges] if role == process::ORIGIN => {
            return runtime.block_on(process::serve_as_origin(ranges == "ranges"));
        }
        [role, rest @ ..] if role == process::PEER => {
            return runtime.block_on(process::serve_as_peer(rest));
        }
        _ => {}
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let wanted: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|name| !name.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|name| !TABLES.contains(name)) {
        return Err(io::Error::other(format!("tables are {TABLES:?}, found {unknown:?}")));
    }
    let images = files::all();
    for table in TABLES.into_iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        match table {
            "bytes" => runtime.block_on(taken::run(&images, &files::chains(), quick))?,
            "latency" => runtime.block_on(latency::run(&images, quick))?,
            "throughput" => throughput::run(&images, quick)?,
            "memory" => memory::run(&images, quick)?,
            _ => first_range::run(&images)?,
        }
    }
    Ok(())
}
