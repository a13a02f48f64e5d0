//! The most memory that the program has held.

use std::io;

use crate::contender::Contender;
use crate::files::Picture;
use crate::markdown::table;
use crate::process::{OriginProcess, Work};

pub(crate) fn run(pictures: &[Picture], quick: bool) -> io::Result<()> {
    println!("### Peak memory of the program\n");
    let count = if quick { 2_000 } else { 20_000 };
    let mut rows = Vec::new();
    for (ranges, origin) in [(true, "knows ranges"), (false, "ignores ranges")] {
        let process = OriginProcess::start(ranges)?;
        for (mix, name) in [("phone", "phone.jpg"), ("all twelve", "")] {
            let pictures: Vec<Picture> =
                pictures.iter().filter(|picture| picture.name.ends_with(name)).cloned().collect();
            let urls = process.urls(&pictures, count);
            let mut row = vec![format!("{mix}, origin {origin}")];
            for in_flight in IN_FLIGHT {
                let work = Work::through(Contender::Ours, in_flight, &urls)?;
                let Some(peak) = peak(work.pid()) else {
                    println!("This system does not say how much memory a process has held.\n");
                    return work.finish(&pictures, &urls);
                };
                work.finish(&pictures, &urls)?;
                assert!(peak < MOST, "{mix}, {in_flight} in flight: {peak} KiB");
                row.push(format!("{:.1}", peak as f64 / 1_024.0));
            }
            rows.push(row);
        }
    }
    let heads = IN_FLIGHT.map(|in_flight| format!("{in_flight} in flight"));
    table(&["MiB", &heads[0], &heads[1]], &rows);
    Ok(())
}

/// The greatest resident size so far, in KiB, which Linux keeps.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

const IN_FLIGHT: [usize; 2] = [64, 512];
const MOST: u64 = 64 * 1_024;
