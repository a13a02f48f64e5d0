//! A batch behind the face screen. Short by default; with 10,000 images, and the time that is saved:
//!
//! ```sh
//! EMO_PREFLIGHT_BATCH=full cargo test --release --all-features --test program batch::faces -- --nocapture
//! ```

use std::process::Stdio;
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use emo_preflight::emulator::Picture;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

use super::desk::{Desk, INPUT, LEDGER, RESULTS};
use crate::rig::{KEY, gist, portrait, program_with, run};

/// Hills below a sky, as a PNG. Each number is another image's.
fn hills(number: usize) -> Picture {
    static DRAWING: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let image = RgbImage::from_fn(640, 480, |x, y| {
            let light = u8::try_from(y / 8).unwrap();
            if y < 300 + x / 10 { Rgb([120 + light, 160, 230]) } else { Rgb([60, 140 - light, 50]) }
        });
        let mut file = Vec::new();
        image.write_to(&mut std::io::Cursor::new(&mut file), ImageFormat::Png).unwrap();
        file
    });
    // Behind the image, where decoders do not look: the length tells one from another.
    let mut file = DRAWING.clone();
    file.resize(file.len() + number, 0);
    Picture::bytes("image/png", file)
}

/// So many images, each third without a face.
fn listed(desk: &Desk, count: usize) {
    let portrait = portrait();
    let image = |at: usize| if at % 3 == 2 { hills(at) } else { portrait.clone() };
    let images: Vec<_> =
        (0..count).map(|at| desk.rig.emu.serve(&format!("/{at}"), image(at))).collect();
    desk.list(&images);
}

/// The peak of a process's resident memory in KiB, ten times a second until it ends; none where the system
/// does not say.
fn peaks_of(process: u32) -> JoinHandle<Vec<u64>> {
    std::thread::spawn(move || {
        let mut peaks = Vec::new();
        while let Ok(status) = std::fs::read_to_string(format!("/proc/{process}/status")) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            // A process that has ended, but was not waited for, has no memory.
            let Some(peak) = line.and_then(|line| line.split_whitespace().next()) else { break };
            peaks.push(peak.parse().unwrap());
            std::thread::sleep(Duration::from_millis(100));
        }
        peaks
    })
}

#[test]
fn a_third_of_a_batch_is_no_call() {
    let full = std::env::var("EMO_PREFLIGHT_BATCH").is_ok_and(|size| size == "full");
    // A slot a call: in full the quota is what takes the time.
    let (count, rps) = if full { (10_000, "50") } else { (9, "1000") };
    let mut times = Vec::new();
    for screen in ["off", "reject"] {
        let desk = Desk::new();
        listed(&desk, count);
        let begun = Instant::now();
        let mut command = program_with(["check", "--allow-private-network", "--rps", rps]);
        command.args(["--base-url", &desk.rig.emu.base_url(), "--screen-faces", screen]);
        command.args(["--ledger", &desk.at(LEDGER), "--input", &desk.at(INPUT)]);
        command.args(["--output", &desk.at(RESULTS)]).env("DASHSCOPE_API_KEY", KEY);
        // Not by `run`, which ends what takes long.
        let running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let peaks = peaks_of(running.id());
        let done = running.wait_with_output().unwrap();
        times.push(begun.elapsed());
        let peaks = peaks.join().unwrap();
        let faceless = count / 3;
        let called = if screen == "off" { count } else { count - faceless };
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(i32::from(screen == "reject")), "{said}");
        assert_eq!(desk.rig.emu.calls(), called as u64, "{screen}");
        let results = desk.results();
        let rejected = results.iter().filter(|row| gist(row) == "rejected_local no_face").count();
        assert_eq!(rejected, count - called, "{screen}");
        let (early, last) = (peaks.get(peaks.len() / 4), peaks.last());
        let early = early.copied().unwrap_or_default();
        let last = last.copied().unwrap_or_default();
        let time = times[times.len() - 1];
        println!(
            "{screen}: {called} calls in {time:.1?}, at most {last} KiB, {early} in a quarter"
        );
        // A short batch has not been everywhere yet after a quarter.
        assert!(!full || last <= early + early / 5, "{screen}: {early} KiB, then {last}");
        desk.rig.emu.finish();
    }
    // What the quota gained, less what decoding takes: a matter of the machine.
    let spared = Duration::from_secs_f64((count / 3) as f64 / rps.parse::<f64>().unwrap());
    let is_saved = times[1] + spared / 2 < times[0];
    assert!(is_saved || !full, "{times:?}, {spared:?} to spare");
}

#[test]
fn the_table_and_the_json_say_what_the_screen_saw() {
    let desk = Desk::new();
    let image = desk.rig.emu.serve("/hills.png", hills(0));
    let rows = |how: &str| -> Value {
        let mut command = program_with(["probe", "--allow-private-network", "--json"]);
        let done = run(command.args(["--screen-faces", how, image.url()]));
        done.assert_status(i32::from(how == "reject"));
        serde_json::from_str(done.stdout.trim()).unwrap()
    };
    assert_eq!(rows("off").get("screen"), None);
    let advised = rows("advise");
    assert_eq!(advised["screen"], serde_json::json!({"faces": [], "advice": "no_face"}));
    assert_eq!(
        (&advised["verdict"], &advised["reasons"]),
        (&"eligible".into(), &Value::Array(vec![]))
    );
    let rejected = rows("reject");
    assert_eq!(gist(&rejected), "rejected_local no_face");
    assert_eq!(rejected["reasons"][0]["required"], 3.0);
}

#[test]
fn a_model_file_that_is_none_is_a_wrong_setting() {
    let desk = Desk::new();
    let file = desk.put("model.bin", "no model");
    for (file, says) in [
        (file.as_str(), "face model must be one of SeetaFace's frontal detector"),
        ("/nowhere/model.bin", "/nowhere/model.bin"),
    ] {
        let mut command =
            program_with(["probe", "--screen-faces", "advise", "--face-model", file, "x"]);
        run(&mut command).assert_status(2).says(says);
    }
}
