//! Nanoseconds a header, beside the crates that do the same work, in one run:
//! `cargo bench --bench reader`.
//!
//! Each figure is the median of several rounds; an answer that is wrong is marked, and a wrong one
//! of ours ends the run.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;
use std::io::Cursor;
use std::time::{Duration, Instant};

use emo_preflight::header;

type Read = fn(&[u8]) -> Option<(u64, u64)>;

const READERS: [(&str, Read); 4] = [
    ("emo-preflight", |bytes| {
        header::from_slice(bytes).ok().map(|h| (h.width.into(), h.height.into()))
    }),
    ("imsz", |bytes| {
        imsz::imsz_from_reader(&mut Cursor::new(bytes)).ok().map(|info| (info.width, info.height))
    }),
    ("imagesize", |bytes| {
        let size = imagesize::blob_size(bytes).ok()?;
        Some((size.width as u64, size.height as u64))
    }),
    ("image", |bytes| {
        let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
        reader.into_dimensions().ok().map(|(width, height)| (width.into(), height.into()))
    }),
];

/// Files of the project, and whether their sides are easy to get wrong.
const FILES: [&str; 10] = [
    "plain.jpg",
    "exif-6-le.jpg",
    "thumbnail.jpg",
    "fill-and-junk.jpg",
    "plain.png",
    "info.bmp",
    "info-top-down.bmp",
    "core.bmp",
    "lossless.webp",
    "extended.webp",
];

fn main() {
    print!("{:<20}", "ns a header");
    for (name, _) in READERS {
        print!("{name:>16}");
    }
    println!();
    for name in FILES {
        let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let truth = READERS[0].1(&bytes).expect("ours reads every fixture of the list");
        print!("{name:<20}");
        for (_, read) in READERS {
            let mark = if read(&bytes) == Some(truth) { "" } else { " wrong" };
            print!("{:>16}", format!("{:.0}{mark}", nanoseconds(read, &bytes)));
        }
        println!();
    }
}

/// The median of rounds of a fixed length.
fn nanoseconds(read: Read, bytes: &[u8]) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (begun, mut reads) = (Instant::now(), 0_u32);
            while begun.elapsed() < ROUND {
                for _ in 0..BATCH {
                    black_box(read(black_box(bytes)));
                }
                reads += BATCH;
            }
            begun.elapsed().as_secs_f64() * 1e9 / f64::from(reads)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(10);
const BATCH: u32 = 256;
