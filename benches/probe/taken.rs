//! Body bytes an origin hands over until an image's sides are known, and requests.

use std::io;

use crate::contender::{CONTENDERS, Contender};
use crate::files::Picture;
use crate::markdown::{bytes, median, table};
use crate::origin::{Manners, Origin};
use crate::peers::Peer;

pub(crate) async fn run(images: &[Picture], chains: &[Picture], quick: bool) -> io::Result<()> {
    let rounds = if quick { 1 } else { 3 };
    for ranges in [true, false] {
        let knows = if ranges { "knows" } else { "ignores" };
        println!("### Bytes taken from an origin that {knows} ranges\n");
        measure(images, chains, rounds, ranges).await?;
    }
    Ok(())
}

async fn measure(
    twelve: &[Picture],
    chains: &[Picture],
    rounds: usize,
    ranges: bool,
) -> io::Result<()> {
    let images = &[twelve, chains].concat();
    let paced = Origin::start(Manners { ranges, paced: true, ..Manners::PLAIN }, images).await?;
    // Whoever takes everything takes as much at any pace.
    let fast = Origin::start(Manners { ranges, ..Manners::PLAIN }, images).await?;
    let mut taken = vec![[const { Vec::new() }; CONTENDERS.len()]; images.len()];
    for _ in 0..rounds {
        for (image, taken) in images.iter().zip(&mut taken) {
            for (contender, taken) in CONTENDERS.iter().zip(taken) {
                let takes_all = *contender == Contender::Peer(Peer::WholeFile);
                let origin = if takes_all { &fast } else { &paced };
                let (sides, _) = contender.look_cold(&origin.url(image.name)).await;
                let right = Ok((image.width, image.height));
                assert_eq!(sides, right, "{} on {}", contender.name(), image.name);
                taken.push(origin.taken().await);
            }
        }
    }

    let mut rows = Vec::new();
    let mut beside = Vec::new();
    let mut total = [(0.0, 0.0); CONTENDERS.len()];
    for (index, (image, taken)) in images.iter().zip(&taken).enumerate() {
        let is_of_twelve = index < twelve.len();
        let mut row = vec![image.name.to_owned(), bytes(image.needs as f64)];
        for (contender, (taken, total)) in CONTENDERS.iter().zip(taken.iter().zip(&mut total)) {
            let of = |pick: fn(&(u64, u64)) -> u64| {
                median(&taken.iter().map(|taken| pick(taken) as f64).collect::<Vec<_>>())
            };
            let (body, requests) = (of(|taken| taken.0), of(|taken| taken.1));
            if is_of_twelve {
                *total = (total.0 + body, total.1 + requests);
            }
            row.push(format!("{}, {requests}", bytes(body)));
            if *contender == Contender::Ours {
                let most = if ranges { image.requests as f64 } else { 1.0 };
                assert!(requests <= most, "{}: {requests} requests", image.name);
                let past = body - image.needs as f64;
                assert!(past <= MOST_PAST, "{}: {past} bytes past the need", image.name);
            }
        }
        if is_of_twelve { &mut rows } else { &mut beside }.push(row);
    }
    if ranges {
        assert!(total[0].0 <= MOST_IN_TOTAL, "{} bytes of ours in total", total[0].0);
    }
    let needs = twelve.iter().map(|image| image.needs as f64).sum();
    let mut row = vec!["**all twelve**".to_owned(), bytes(needs)];
    row.extend(total.map(|(body, requests)| format!("**{}, {requests}**", bytes(body))));
    rows.push(row);
    rows.append(&mut beside);
    let mut head = vec!["bytes, requests", "prefix needed"];
    head.extend(CONTENDERS.map(Contender::name));
    table(&head, &rows);
    Ok(())
}

const MOST_IN_TOTAL: f64 = 110_000.0;
const MOST_PAST: f64 = 256.0 * 1_024.0;
