//! What the face screen's thresholds cost and save, and how long a look takes.
//!
//! `cargo bench --features faces --bench faces`. Takes labelled images from the folder that
//! `EMO_PREFLIGHT_FACES` names, or `../shared/faces`: a `labels.jsonl` of one object a line,
//! `{"path", "class": "portrait" | "faceless" | "several", "kind"}`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::hint::black_box;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use emo_preflight::{Advice, FaceScreen, ScreenThresholds};
use image::{ImageFormat, imageops};
use serde_json::Value;

fn main() {
    let Some(images) = labelled() else { return };
    trade_off(&images);
    speed(&images);
}

struct Labelled {
    path: String,
    class: String,
    kind: String,
    bytes: Vec<u8>,
}

fn labelled() -> Option<Vec<Labelled>> {
    let folder = std::env::var_os("EMO_PREFLIGHT_FACES")
        .map_or_else(|| PathBuf::from("../shared/faces"), PathBuf::from);
    let Ok(labels) = fs::read_to_string(folder.join("labels.jsonl")) else {
        println!("NOT RUN: there are no labelled images at {}", folder.display());
        return None;
    };
    let image = |line: &str| {
        let label: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| label.get(name).and_then(Value::as_str).unwrap().to_owned();
        let bytes = fs::read(folder.join(text("path"))).unwrap();
        Labelled { path: text("path"), class: text("class"), kind: text("kind"), bytes }
    };
    Some(labels.lines().map(image).collect())
}

fn trade_off(images: &[Labelled]) {
    println!("| first | second | faceless rejected | portraits rejected | drawn | ms |");
    println!("|---|---|---:|---:|---:|---:|");
    let portraits = images.iter().filter(|image| image.class == "portrait");
    let mut chosen = Vec::new();
    for [first, second] in COMBINATIONS {
        let mut thresholds = ScreenThresholds::default();
        (thresholds.first_side, thresholds.first_score) = first;
        (thresholds.second_side, thresholds.second_score) = second;
        let is_chosen = thresholds == ScreenThresholds::default();
        let screen = FaceScreen::new().thresholds(thresholds);
        let rejected = |image: &&Labelled| screen.inspect(&image.bytes).objection.is_some();
        let share = |class: &str, kind: Option<&str>| {
            let of = images.iter().filter(|image| image.class == class);
            let of: Vec<&Labelled> =
                of.filter(|image| kind.is_none_or(|kind| image.kind == kind)).collect();
            let count = of.iter().filter(|image| rejected(image)).count();
            format!(
                "{count} of {} ({:.1}%)",
                of.len(),
                100.0 * count as f64 / of.len().max(1) as f64
            )
        };
        let mut times: Vec<Duration> =
            portraits.clone().map(|image| timed(|| screen.inspect(&image.bytes))).collect();
        println!(
            "| {} | {}{} | {} | {} | {} | {:.1} |",
            side_and_score(first),
            side_and_score(second),
            if is_chosen { " (chosen)" } else { "" },
            share("faceless", None),
            share("portrait", None),
            share("portrait", Some("art")),
            ms(median(&mut times)),
        );
        if is_chosen {
            chosen = images.iter().map(|image| (image, screen.inspect(&image.bytes))).collect();
        }
    }
    println!("\nJudged wrongly, or doubtful, with the chosen thresholds:\n");
    for (image, finding) in chosen {
        let advice = finding.screen.as_ref().and_then(|screen| screen.advice);
        let right = match image.class.as_str() {
            "faceless" => advice == Some(Advice::NoFace),
            "several" => advice == Some(Advice::SeveralFaces),
            _ => advice.is_none(),
        };
        if !right {
            let faces = finding.screen.iter().flat_map(|screen| &screen.faces);
            let faces = faces.map(|f| format!("{:.1} ({} px)", f.score, f.bbox.width()));
            let faces = faces.collect::<Vec<_>>().join(", ");
            let advice = advice.map_or("none", Advice::as_str);
            println!("- {} ({}): advice {advice}, faces {faces}", image.path, image.kind);
        }
    }
    let screen = FaceScreen::new();
    let least = portraits.filter_map(|image| {
        let finding = screen.inspect(&image.bytes);
        let faces = finding.screen.into_iter().flat_map(|screen| screen.faces);
        let widest = faces.map(|face| face.bbox.width()).max_by(f64::total_cmp)?;
        Some((widest, image.path.as_str()))
    });
    let mut least: Vec<(f64, &str)> = least.collect();
    least.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!("\nThe smallest faces of portraits: {:?}", least.get(..5.min(least.len())));
}

fn side_and_score((side, score): (u32, f64)) -> String {
    format!("{side} px, {score}")
}

/// Of each image the fastest of three looks; beside it the detector alone, as its crate has it, at the
/// same two sides.
fn speed(images: &[Labelled]) {
    let screen = FaceScreen::new();
    let model = rustface::read_model(MODEL).unwrap();
    println!(
        "\n| a look at | images | ms at the median | decoding | detection | rustface alone | 95th percentile |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for class in ["portrait", "faceless"] {
        let of = images.iter().filter(|image| image.class == class);
        let (mut whole, mut small, mut peer) = (Vec::new(), Vec::new(), Vec::new());
        for image in of {
            // As small as it is looked at: what is left is the detector's.
            let decoded = image::load_from_memory(&image.bytes).unwrap().to_luma8();
            let side = 480.min(decoded.width().max(decoded.height()));
            let scale = f64::from(side) / f64::from(decoded.width().max(decoded.height()));
            let sized = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
            let shrunk =
                imageops::thumbnail(&decoded, sized(decoded.width()), sized(decoded.height()));
            let mut bmp = Vec::new();
            shrunk.write_to(&mut Cursor::new(&mut bmp), ImageFormat::Bmp).unwrap();
            let smallest = imageops::thumbnail(
                &shrunk,
                (shrunk.width() * 256 / side).max(1),
                (shrunk.height() * 256 / side).max(1),
            );
            let mut times = [Duration::MAX; 3];
            for _ in 0..3 {
                for (least, time) in times.iter_mut().zip([
                    timed(|| screen.inspect(&image.bytes)),
                    timed(|| screen.inspect(&bmp)),
                    timed(|| detects(&model, &smallest, 2.0) || detects(&model, &shrunk, 3.0)),
                ]) {
                    *least = time.min(*least);
                }
            }
            let [of_whole, of_small, of_peer] = times;
            whole.push(of_whole);
            small.push(of_small);
            peer.push(of_peer);
        }
        let count = whole.len();
        let (whole_ms, small_ms) = (ms(median(&mut whole)), ms(median(&mut small)));
        let late = ms(whole.get(count * 95 / 100).copied().unwrap_or_default());
        println!(
            "| {class} | {count} | {whole_ms:.1} | {:.1} | {small_ms:.1} | {:.1} | {late:.1} |",
            (whole_ms - small_ms).max(0.0),
            ms(median(&mut peer)),
        );
    }
}

fn detects(model: &rustface::Model, image: &image::GrayImage, score: f64) -> bool {
    let mut detector = rustface::create_detector_with_model(model.clone());
    detector.set_score_thresh(score);
    let image = rustface::ImageData::new(image.as_raw(), image.width(), image.height());
    !detector.detect(&image).is_empty()
}

const MODEL: &[u8] = include_bytes!("../src/faces/model/seeta_fd_frontal_v1.0.bin");

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    black_box(work());
    begun.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// At first, and where nothing was found: side and score.
const COMBINATIONS: [[(u32, f64); 2]; 9] = [
    [(256, 2.0), (480, 3.0)],
    [(256, 1.0), (480, 3.0)],
    [(256, 2.0), (480, 2.0)],
    [(256, 3.0), (480, 3.0)],
    [(256, 3.0), (480, 5.0)],
    [(256, 5.0), (480, 8.0)],
    [(160, 2.0), (480, 3.0)],
    [(320, 2.0), (480, 3.0)],
    [(320, 2.0), (640, 4.0)],
];
