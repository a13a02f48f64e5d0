//! How long an image's sides take over a new connection with a round trip of 50 ms.

use std::io;
use std::time::Duration;

use crate::contender::{CONTENDERS, Contender};
use crate::files::Picture;
use crate::markdown::{median, table};
use crate::origin::{Manners, Origin};

pub(crate) async fn run(images: &[Picture], quick: bool) -> io::Result<()> {
    println!("### Cold latency at a round trip of 50 ms\n");
    let rounds = if quick { 1 } else { 5 };
    let manners = Manners { round_trip: Duration::from_millis(50), ..Manners::PLAIN };
    let origin = Origin::start(manners, images).await?;
    let mut times = vec![[const { Vec::new() }; CONTENDERS.len()]; images.len()];
    for _ in 0..rounds {
        for (image, times) in images.iter().zip(&mut times) {
            for (contender, times) in CONTENDERS.iter().zip(times) {
                let (sides, took) = contender.look_cold(&origin.url(image.name)).await;
                let right = Ok((image.width, image.height));
                assert_eq!(sides, right, "{} on {}", contender.name(), image.name);
                origin.taken().await;
                times.push(took.as_secs_f64() * 1e3);
            }
        }
    }

    let row = |(image, times): (&Picture, &[Vec<f64>; CONTENDERS.len()])| {
        // Handshake and first request, then one round trip for every further request.
        let target = 55 + 50 * image.requests;
        let mut row = vec![image.name.to_owned()];
        row.extend(times.iter().map(|times| format!("{:.0}", median(times))));
        if median(&times[0]) > target as f64 {
            row[1] += " **missed**";
        }
        row.push(target.to_string());
        row
    };
    let rows: Vec<_> = images.iter().zip(&times).map(row).collect();
    let mut head = vec!["ms"];
    head.extend(CONTENDERS.map(Contender::name));
    head.push("target of ours");
    table(&head, &rows);
    Ok(())
}
