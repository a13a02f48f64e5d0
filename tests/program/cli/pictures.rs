//! `annotate`, and `report --embed`.

use std::path::{Path, PathBuf};

use emo_preflight::emulator::{Fate, Picture};
use image::{DynamicImage, Rgb, RgbImage};

use crate::rig::turned::{HEIGHT, PATCH, WIDTH, jpeg};
use crate::rig::{Done, Rig, file, program_with, rig, run};

/// Boxes of a portrait, of one that is to be turned, and of none that cannot be had any more.
fn results(rig: &Rig, name: &str) -> PathBuf {
    let face = PATCH.map(f64::from);
    let ext = [40.0, 0.0, 340.0, 300.0];
    let plain = rig.emu.serve("/plain.png", Picture::png(640, 400));
    let turned = rig.emu.serve("/turned.jpg", Picture::bytes("image/jpeg", jpeg(6)));
    let gone = rig.emu.serve("/gone.jpg", Picture::jpeg(640, 400));
    for image in [&plain, &turned, &gone] {
        rig.emu.script(image, [Fate::boxes(face, ext)]);
    }
    let small = rig.emu.serve("/small.jpg", Picture::jpeg(300, 300));
    let sources = [plain.url(), turned.url(), gone.url(), small.url()];
    let done = run(rig.check(sources).args(["--concurrency", "1"]));
    done.assert_status(1);
    rig.emu.serve("/gone.jpg", Picture::status(404));
    file(name, done.stdout)
}

fn annotate(results: &Path, to: &Path, more: &[&str]) -> Done {
    let mut command = program_with(["annotate", "--allow-private-network"]);
    run(command.arg(results).arg("-o").arg(to).args(more))
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn open(path: PathBuf) -> RgbImage {
    image::open(path).unwrap().into_rgb8()
}

fn is_near(pixel: &Rgb<u8>, color: [u8; 3]) -> bool {
    pixel.0.iter().zip(color).all(|(found, wanted)| found.abs_diff(wanted) < 70)
}

const YELLOW: [u8; 3] = [255, 212, 0];
const CYAN: [u8; 3] = [0, 229, 255];
const RED: [u8; 3] = [255, 0, 0];

#[test]
fn boxes_are_drawn_where_they_are() {
    let rig = rig();
    let results = results(&rig, "annotate.jsonl");
    let to = folder("annotated");
    annotate(&results, &to, &[])
        .assert_status(3)
        .says("3 copies; 1 without boxes; 1 failed")
        .says("1 image is to be turned")
        .says("server must have the image, found 404");
    assert_eq!(
        names(&to),
        ["000000.jpg", "000001-boxes-as-shown.jpg", "000001-boxes-as-stored.jpg"]
    );
    let [left, top, right, bottom] = PATCH;
    let plain = open(to.join("000000.jpg"));
    assert_eq!(plain.dimensions(), (640, 400));
    for (x, y) in [(left + 2, 100), (right - 3, 100), (160, top + 2), (160, bottom - 3)] {
        assert!(is_near(plain.get_pixel(x, y), YELLOW), "{x} {y} {:?}", plain.get_pixel(x, y));
    }
    assert!(is_near(plain.get_pixel(42, 200), CYAN) && is_near(plain.get_pixel(337, 200), CYAN));
    // Turned by a quarter: the patch and its box together.
    let stored = open(to.join("000001-boxes-as-stored.jpg"));
    assert_eq!(stored.dimensions(), (HEIGHT, WIDTH));
    let turned = |x: u32, y: u32| stored.get_pixel(HEIGHT - 1 - y, x);
    assert!(is_near(turned(160, 110), RED), "{:?}", turned(160, 110));
    assert!(is_near(turned(left + 2, 100), YELLOW) && is_near(turned(160, bottom - 3), YELLOW));
    let shown = open(to.join("000001-boxes-as-shown.jpg"));
    assert!(is_near(shown.get_pixel(left + 2, 100), YELLOW));
}

#[test]
fn the_crop_is_what_the_video_model_is_given() {
    let rig = rig();
    let results = results(&rig, "crop.jsonl");
    let to = folder("cropped");
    annotate(&results, &to, &["--crop"]).assert_status(3);
    let crop = open(to.join("000001-crop-boxes-as-stored.jpg"));
    assert_eq!(crop.dimensions(), (512, 512));
    // The patch in the dynamic area, turned by a quarter.
    let at = |x: f64, y: f64| crop.get_pixel(511 - (y * 512.0) as u32, (x * 512.0) as u32);
    assert!(is_near(at(120.0 / 300.0, 100.0 / 300.0), RED));
    assert!(is_near(at(20.0 / 300.0, 20.0 / 300.0), [255, 255, 255]));
}

#[test]
fn images_are_in_the_page_where_it_is_to_hold_them() {
    let rig = rig();
    let results = results(&rig, "embed.jsonl");
    let page = results.with_extension("html");
    let arguments = ["report", results.to_str().unwrap(), "-o", page.to_str().unwrap(), "--embed"];
    let done = run(program_with(arguments).arg("--allow-private-network"));
    done.assert_status(0).says("4 images").says("1 image is not in the page");
    let text = std::fs::read_to_string(&page).unwrap();
    assert_eq!(text.matches("data:image/jpeg;base64,").count(), 3);
    let start = text.split("data:image/jpeg;base64,").nth(1).unwrap();
    use base64::Engine as _;
    let first = start.split('"').next().unwrap();
    let first = base64::engine::general_purpose::STANDARD.decode(first).unwrap();
    let first: DynamicImage = image::load_from_memory(&first).unwrap();
    assert_eq!(first.width().max(first.height()), 360);
    // Private addresses stay refused.
    run(&mut program_with(arguments)).assert_status(0).says("4 images are not in the page");
}
