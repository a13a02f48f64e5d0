//! The face screen in front of a client: what it rejects has the service's own codes.

use std::io::Cursor;

use emo_preflight::emulator::Picture;
use emo_preflight::serve::ServeOptions;
use emo_preflight::{AddressPolicy, FaceScreen, ProbeOptions, ScreenAction};
use image::{ImageFormat, RgbImage, imageops};

use super::scene::{Scene, scene_with};

#[tokio::test]
async fn what_the_screen_rejects_has_the_services_codes_and_costs_nothing() {
    let screened = |gate: emo_preflight::PreflightBuilder| {
        let mut probe = ProbeOptions::default();
        probe.addresses = AddressPolicy::Any;
        gate.probe(probe.face_screen(FaceScreen::new().action(ScreenAction::Reject)))
    };
    let Scene { emu, server } = scene_with(screened, ServeOptions::default()).await;
    let portrait = image::load_from_memory(Picture::bmp(500, 500).body()).unwrap().to_rgb8();
    let mut two = RgbImage::new(1_000, 500);
    imageops::replace(&mut two, &portrait, 0, 0);
    imageops::replace(&mut two, &portrait, 500, 0);
    let png = |image: &RgbImage| {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    };
    let mut broken = png(&portrait);
    broken.truncate(broken.len() / 2);
    for (path, bytes, status, code, verdict) in [
        ("/face.png", png(&portrait), 200, "", "accepted"),
        ("/none.png", png(&RgbImage::new(500, 500)), 400, "InvalidFile.NoHuman", "rejected_local"),
        ("/two.png", png(&two), 400, "InvalidFile.MultiHuman", "rejected_local"),
        ("/broken.png", broken, 400, "InvalidFile.Openerror", "rejected_local"),
    ] {
        let image = emu.serve(path, Picture::bytes("image/png", bytes));
        let answer = server.detect(image.url()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
        assert_eq!(answer.verdict.as_deref(), Some(verdict), "{path}");
        assert_eq!(emu.calls_for(&image), u64::from(verdict == "accepted"), "{path}");
    }
    assert_eq!(emu.billed(), 1);
}
