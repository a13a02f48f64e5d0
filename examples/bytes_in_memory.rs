//! A header and the limits it breaks, from bytes, without a runtime or a network:
//! `cargo run --example bytes_in_memory -- portrait.jpg`

use emo_preflight::{Limits, header};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1);
    let path =
        path.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v5.bmp").into());
    let bytes = std::fs::read(&path)?;

    match header::from_slice(&bytes) {
        Ok(header) => {
            println!("{path}: {}, {} x {}", header.format, header.width, header.height);
            for broken in Limits::default().check(&header) {
                println!("not eligible: {broken}");
            }
        }
        Err(error) if error.is_unsupported() => {
            println!("{path}: no format of the service: {error}")
        }
        Err(error) => println!("{path}: {error}"),
    }
    Ok(())
}
