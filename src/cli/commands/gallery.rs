//! The built-in images of `demo` and `emulator`, and the verdict each was made for.

use crate::emulator::{Emulator, Fate, Picture, Served};
use crate::{AspectRatio, ReasonCode};

/// An image that is served, and what is to come of it.
#[derive(Clone)]
pub(in crate::cli) struct Exhibit {
    pub(in crate::cli) name: &'static str,
    pub(in crate::cli) served: Served,
    pub(in crate::cli) ratio: AspectRatio,
    /// The verdict's name.
    pub(in crate::cli) verdict: &'static str,
    /// The first reason's code.
    pub(in crate::cli) reason: Option<ReasonCode>,
}

/// Hangs every image up on `emulator`, with the fate that its first call is to take.
pub(in crate::cli) fn open(emulator: &Emulator) -> Vec<Exhibit> {
    let mut exhibits = Vec::new();
    let mut hang = |name, image, fates: &[Fate], verdict, reason| {
        let served = emulator.serve(&format!("/images/{name}"), image);
        emulator.script(&served, fates.iter().cloned());
        let ratio = match name {
            "half-body.webp" => AspectRatio::Portrait,
            _ => AspectRatio::Square,
        };
        exhibits.push(Exhibit { name, served, ratio, verdict, reason });
    };
    use ReasonCode as Code;
    hang("portrait.jpg", Picture::jpeg(640, 800), &[], "accepted", None);
    hang("portrait.png", Picture::png(512, 512), &[], "accepted", None);
    hang("portrait.bmp", Picture::bmp(400, 400), &[], "accepted", None);
    hang("half-body.webp", Picture::webp(600, 900), &[], "accepted", None);
    for (name, image, code) in [
        ("thumbnail.jpg", Picture::jpeg(300, 320), Code::ShortestSideBelowMin),
        ("panorama.png", Picture::png(7_200, 400), Code::LongestSideAboveMax),
        ("animation.gif", Picture::gif(640, 640), Code::UnsupportedFormat),
        ("phone.heic", Picture::heic(), Code::UnsupportedFormat),
        ("page.jpg", Picture::html(), Code::NotAnImage),
        ("gone.jpg", Picture::status(404), Code::NotFound),
    ] {
        hang(name, image, &[], "rejected_local", Some(code));
    }
    let crowd = Code::Service("InvalidFile.MultiHuman".to_owned());
    let fate = Fate::refused_with(crowd.as_str());
    hang("crowd.jpg", Picture::jpeg(800, 600), &[fate], "rejected_remote", Some(crowd));
    let fate = Fate::boxes([250.0, 200.0, 450.0, 400.0], [100.0, 50.0, 600.0, 700.0]);
    let code = Some(Code::RatioMismatch);
    hang("wrong-box.jpg", Picture::jpeg(720, 720), &[fate], "box_mismatch", code);
    hang("busy.jpg", Picture::jpeg(500, 500), &[Fate::throttled_retry_after(1)], "accepted", None);
    let (fate, code) = (Fate::judge().reset(), Some(Code::BillingUnknown));
    hang("answer-lost.jpg", Picture::jpeg(640, 640), &[fate], "failed", code);
    exhibits
}
