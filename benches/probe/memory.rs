//! The most memory that the program has held.

use std::io;

use crate::contender::{CONTENDERS, Contender};
use crate::files::Picture;
use crate::markdown::table;
use crate::peers::Peer;
use crate::process::{OriginProcess, Work};

pub(crate) fn run(images: &[Picture], quick: bool) -> io::Result<()> {
    println!("### Peak memory of a process\n");
    let count = if quick { 2_000 } else { 20_000 };
    let mut rows = Vec::new();
    for (ranges, origin) in [(true, "knows ranges"), (false, "ignores ranges")] {
        let process = OriginProcess::start(ranges)?;
        for (mix, name) in [("phone", "phone.jpg"), ("all twelve", "")] {
            let images: Vec<Picture> =
                images.iter().filter(|image| image.name.ends_with(name)).cloned().collect();
            let urls = process.urls(&images, count);
            for in_flight in [64, 512] {
                let mut row = vec![format!("{mix}, origin {origin}, {in_flight} in flight")];
                for contender in contenders() {
                    let work = Work::through(contender, in_flight, &urls)?;
                    let peak = peak(work.pid());
                    work.finish(&images, &urls)?;
                    let Some(peak) = peak else {
                        println!("This system does not say how much memory a process has held.\n");
                        return Ok(());
                    };
                    row.push(format!("{:.1}", peak as f64 / 1_024.0));
                    if contender == Contender::Ours {
                        assert!(peak < MOST, "{mix}, {in_flight} in flight: {peak} KiB");
                    }
                }
                rows.push(row);
            }
        }
    }
    let mut head = vec!["MiB; target of ours: less than 64"];
    head.extend(contenders().map(Contender::name));
    table(&head, &rows);
    Ok(())
}

/// Whoever takes whole files needs gigabytes.
fn contenders() -> impl Iterator<Item = Contender> {
    CONTENDERS.into_iter().filter(|contender| *contender != Contender::Peer(Peer::WholeFile))
}

/// The greatest resident size so far, in KiB, which Linux keeps.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

const MOST: u64 = 64 * 1_024;
