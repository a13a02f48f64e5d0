//! Nanoseconds a header, beside the crates that do the same work, in one run:
//! `cargo bench --bench reader` prints the tables of `benches/README.md`.
//!
//! The run ends with an error when ours is wrong anywhere, or allocates.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;
use std::io::Cursor;
use std::time::{Duration, Instant};

use emo_preflight::header;

#[path = "probe/files.rs"]
#[allow(dead_code, reason = "the other benchmark needs more of it")]
mod files;

type Read = fn(&[u8]) -> Option<(u64, u64)>;

/// Ours, then the peers.
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

/// The project's fixtures that have a header, with the sides that `fixtures/make.py` gave them.
const FIXTURES: [(&str, &str, (u64, u64)); 17] = [
    ("JPEG", "plain.jpg", (33, 17)),
    ("JPEG", "exif-6-le.jpg", (33, 17)),
    ("JPEG", "exif-8-be-far.jpg", (33, 17)),
    ("JPEG", "exif-no-tag.jpg", (33, 17)),
    ("JPEG", "thumbnail.jpg", (33, 17)),
    ("JPEG", "fill-and-junk.jpg", (33, 17)),
    ("PNG", "plain.png", (33, 17)),
    ("BMP", "core.bmp", (5, 4)),
    ("BMP", "os2-16.bmp", (5, 4)),
    ("BMP", "info.bmp", (5, 4)),
    ("BMP", "info-top-down.bmp", (5, 4)),
    ("BMP", "v4.bmp", (5, 4)),
    ("BMP", "v5.bmp", (5, 4)),
    ("WebP", "lossy-head.webp", (33, 17)),
    ("WebP", "lossless.webp", (33, 17)),
    ("WebP", "extended.webp", (33, 17)),
    ("WebP", "extended-exif.webp", (33, 17)),
];

fn main() {
    let subjects = subjects();
    let mut rounds = vec![[[0.0; ROUNDS]; READERS.len()]; subjects.len()];
    // Round by round, so that a machine that is busy for a while is so for everyone.
    for round in 0..ROUNDS {
        for (subject, times) in subjects.iter().zip(&mut rounds) {
            for ((_, read), times) in READERS.iter().zip(times) {
                times[round] = nanoseconds(*read, &subject.bytes);
            }
        }
    }

    let mut rows = Vec::new();
    for (Subject { format, name, bytes, sides }, times) in subjects.iter().zip(rounds) {
        let amiss = READERS.map(|(_, read)| match read(bytes) {
            Some(answer) if answer == *sides => String::new(),
            Some(_) => " wrong".to_owned(),
            None => " refused".to_owned(),
        });
        assert_eq!(READERS[0].1(bytes), Some(*sides), "{name}: ours");
        let allocated = allocation_counter::measure(|| {
            black_box(READERS[0].1(black_box(bytes)));
        });
        assert_eq!(allocated.count_total, 0, "{name}: ours allocates");
        rows.push(Row { format, name, nanoseconds: times.map(median), amiss });
    }
    print_table("file", &rows);
    println!();
    print_table("mean of a format", &["JPEG", "PNG", "BMP", "WebP"].map(|f| mean_of(f, &rows)));
}

struct Subject {
    format: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
    sides: (u64, u64),
}

fn subjects() -> Vec<Subject> {
    let fixtures = FIXTURES.into_iter().map(|(format, name, sides)| {
        let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Subject { format, name, bytes, sides }
    });
    let generated = files::all().into_iter().map(|image| Subject {
        format: match image.name.rsplit('.').next() {
            Some("png") => "PNG",
            Some("bmp") => "BMP",
            Some("webp") => "WebP",
            Some("jpg") => "JPEG",
            other => panic!("{other:?} is a format of the table"),
        },
        name: image.name,
        sides: (image.width.into(), image.height.into()),
        bytes: image.bytes,
    });
    fixtures.chain(generated).collect()
}

struct Row {
    format: &'static str,
    name: &'static str,
    nanoseconds: [f64; READERS.len()],
    /// What each answered amiss: of a file a word, of a format how often.
    amiss: [String; READERS.len()],
}

fn print_table(of: &str, rows: &[Row]) {
    print!("| ns a header: {of} |");
    for (name, _) in READERS {
        print!(" {name} |");
    }
    println!(" ours ÷ imsz | ours ÷ fastest right peer |\n|---|{}", "---:|".repeat(6));
    for Row { format, name, nanoseconds, amiss } in rows {
        print!("| {name} |");
        for (time, amiss) in nanoseconds.iter().zip(amiss) {
            print!(" {time:.0}{amiss} |");
        }
        // Of a format's peers all count: its times are of files on which none is amiss.
        let counts = |amiss: &str| amiss.is_empty() || *name == *format;
        let peers = nanoseconds.iter().zip(amiss).skip(1).filter(|(_, amiss)| counts(amiss));
        let fastest = peers.map(|(time, _)| *time).reduce(f64::min);
        let ratio =
            fastest.map_or("–".to_owned(), |time| format!("{:.2}", nanoseconds[0] / time));
        println!(" {:.2} | {ratio} |", nanoseconds[0] / nanoseconds[1]);
    }
}

/// Times are those of the files on which all are right: an error is quickly given.
fn mean_of(format: &'static str, rows: &[Row]) -> Row {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.format == format).collect();
    let agreed: Vec<&&Row> =
        rows.iter().filter(|row| row.amiss.iter().all(String::is_empty)).collect();
    let mean =
        |i: usize| agreed.iter().map(|row| row.nanoseconds[i]).sum::<f64>() / agreed.len() as f64;
    let amiss = |i: usize| match rows.iter().filter(|row| !row.amiss[i].is_empty()).count() {
        0 => String::new(),
        amiss => format!(", amiss on {amiss} of {}", rows.len()),
    };
    Row {
        format,
        name: format,
        nanoseconds: std::array::from_fn(mean),
        amiss: std::array::from_fn(amiss),
    }
}

/// One round's time, long enough that reading the clock does not count.
fn nanoseconds(read: Read, bytes: &[u8]) -> f64 {
    let (begun, mut reads) = (Instant::now(), 0_u32);
    while begun.elapsed() < ROUND {
        for _ in 0..BATCH {
            black_box(read(black_box(bytes)));
        }
        reads += BATCH;
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(reads)
}

fn median(mut times: [f64; ROUNDS]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(10);
const BATCH: u32 = 64;
