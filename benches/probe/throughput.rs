//! Images a second with 64 in flight, the client and the origin on the same machine.

use std::io;

use crate::contender::{CONTENDERS, Contender};
use crate::files::Picture;
use crate::markdown::{median, table};
use crate::process::{OriginProcess, Work};

pub(crate) fn run(images: &[Picture], quick: bool) -> io::Result<()> {
    println!("### Images a second, {IN_FLIGHT} in flight\n");
    let (rounds, seconds) = if quick { (3, 0.4) } else { (7, 1.2) };
    let origin = OriginProcess::start(true)?;
    let mut rows = Vec::new();
    for (mix, name, target) in
        [("all twelve", "", 2.0), ("phone", "phone.jpg", 1.2), ("small", "small.jpg", 0.9)]
    {
        let images: Vec<Picture> =
            images.iter().filter(|image| image.name.ends_with(name)).cloned().collect();
        let mut urls = Vec::new();
        for contender in CONTENDERS {
            urls.push(origin.urls(&images, count(contender, &origin, &images, seconds)?));
        }
        let mut rates = [const { Vec::new() }; CONTENDERS.len()];
        // Round by round, so that a machine that is busy for a while is so for everyone.
        for _ in 0..rounds {
            for ((contender, urls), rates) in CONTENDERS.into_iter().zip(&urls).zip(&mut rates) {
                rates.push(rate(contender, &images, urls)?);
            }
        }
        rows.push(row(mix, &rates, target));
    }
    let mut head = vec!["images a second"];
    head.extend(CONTENDERS.map(Contender::name));
    head.extend(["ours ÷ best peer", "target"]);
    table(&head, &rows);
    Ok(())
}

/// How many images take about as long as a round should. Of few a process's start is too large a
/// part, so it begins with few and goes on until they are not.
fn count(
    contender: Contender,
    origin: &OriginProcess,
    images: &[Picture],
    seconds: f64,
) -> io::Result<usize> {
    let mut count = FEW;
    loop {
        let rate = rate(contender, images, &origin.urls(images, count))?;
        let wanted = (rate * seconds) as usize;
        if wanted < 2 * count {
            return Ok(wanted.max(FEW));
        }
        count = wanted;
    }
}

fn rate(contender: Contender, images: &[Picture], urls: &[String]) -> io::Result<f64> {
    let work = Work::through(contender, IN_FLIGHT, urls)?;
    let rate = urls.len() as f64 / work.took.as_secs_f64();
    work.finish(images, urls)?;
    Ok(rate)
}

/// The ratio is the median of the rounds' own.
fn row(mix: &str, rates: &[Vec<f64>; CONTENDERS.len()], target: f64) -> Vec<String> {
    let [ours, peers @ ..] = rates;
    let best = peers.iter().max_by(|a, b| median(a).total_cmp(&median(b))).expect("peers");
    let ratios: Vec<f64> = ours.iter().zip(best).map(|(ours, best)| ours / best).collect();
    let ratio = median(&ratios);
    let mut row = vec![mix.to_owned()];
    row.extend(rates.iter().map(|rates| format!("{:.0}", median(rates))));
    row.push(format!("{ratio:.2}{}", if ratio < target { " **missed**" } else { "" }));
    row.push(format!("{target:.1}"));
    row
}

const IN_FLIGHT: usize = 64;

const FEW: usize = 512;
