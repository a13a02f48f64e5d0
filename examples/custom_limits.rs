//! Limits of your own, stricter than the service's, and the reader fed piece by piece as bytes
//! come in: `cargo run --example custom_limits`

use emo_preflight::Limits;
use emo_preflight::header::{HeaderReader, Step};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A house rule: nothing below 720 pixels is worth animating.
    let mut limits = Limits::default();
    limits.shortest_side_min = 720;

    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/exif-6-le.jpg"))?;
    let mut reader = HeaderReader::new();
    let header = loop {
        match reader.step()? {
            Step::Done(header) => break header,
            Step::Need { at, len } => {
                println!("wanted: {len} bytes at {at}");
                let rest = file.get(usize::try_from(at)?..).unwrap_or_default();
                if rest.is_empty() {
                    break reader.eof(file.len() as u64)?;
                }
                // More than is wanted is welcome: the orientation is read from what passes by.
                reader.feed(at, rest.get(..64).unwrap_or(rest))?;
            }
        }
    };
    println!("{header:?}");
    for broken in limits.check(&header) {
        println!("{broken}");
    }
    Ok(())
}
