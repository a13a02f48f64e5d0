//! The detector's passes over one image.

use image::GrayImage;
use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
use image::metadata::Orientation;
use rustface::{ImageData, Model, create_detector_with_model};

use super::decode::Decoded;
use super::judge::ScreenThresholds;
use super::shrink::fitted;

/// A face in the stored image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Face {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
    pub(super) score: f64,
}

impl Face {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }
}

/// What the passes over an image came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sighting {
    /// All that scored enough where something did, the surest first; in pixels of the stored image.
    pub(super) faces: Vec<Face>,
    /// The best score of the last pass, of a face or of what may be one.
    pub(super) best: f64,
    /// No pass could be made: too narrow for the detector.
    pub(super) is_blind: bool,
}

/// Looks for faces that are upright once the image is shown as it says; then, where there is none, as
/// it is stored, and in what else it may be.
pub(super) fn find(model: &Model, decoded: &Decoded, thresholds: &ScreenThresholds) -> Sighting {
    let mut sighting = find_in(model, decoded, decoded.orientation, &decoded.grey, thresholds);
    let is_turned = decoded.orientation != Orientation::NoTransforms;
    if sighting.faces.is_empty() && is_turned {
        let stored = Orientation::NoTransforms;
        sighting = sighting.or(find_in(model, decoded, stored, &decoded.grey, thresholds));
    }
    if let (true, Some(other)) = (sighting.faces.is_empty(), &decoded.alternative) {
        sighting = sighting.or(find_in(model, decoded, decoded.orientation, other, thresholds));
    }
    sighting
}

/// Whether there is a face once the shown image is turned by a quarter, half or three quarters.
pub(super) fn find_turned(model: &Model, decoded: &Decoded, thresholds: &ScreenThresholds) -> bool {
    let shown = oriented(&decoded.grey, decoded.orientation);
    [rotate90, rotate180, rotate270].into_iter().any(|turn: fn(&GrayImage) -> GrayImage| {
        let turned = turn(&shown);
        let size = turned.dimensions();
        let upright = Orientation::NoTransforms;
        let turned = Decoded {
            grey: turned,
            width: size.0,
            height: size.1,
            orientation: upright,
            alternative: None,
        };
        !find_in(model, &turned, upright, &turned.grey, thresholds).faces.is_empty()
    })
}

impl Sighting {
    fn or(self, other: Self) -> Self {
        let best = self.best.max(other.best);
        let is_blind = self.is_blind && other.is_blind;
        Self { faces: other.faces, best, is_blind }
    }
}

/// Small first, which is fast and enough for most; larger where nothing was found.
fn find_in(
    model: &Model,
    decoded: &Decoded,
    orientation: Orientation,
    grey: &GrayImage,
    thresholds: &ScreenThresholds,
) -> Sighting {
    let mut sighting = Sighting { is_blind: true, ..Sighting::default() };
    for (side, score) in [
        (thresholds.first_side, thresholds.first_score),
        (thresholds.second_side, thresholds.second_score),
    ] {
        let shown = oriented(&fitted(grey, side), orientation);
        if shown.width().min(shown.height()) < WINDOW {
            continue;
        }
        sighting.is_blind = false;
        let found = detect(model, &shown);
        sighting.best = found.iter().map(|face| face.score).fold(0.0, f64::max);
        if sighting.best >= score {
            let faces = found.into_iter().filter(|face| face.score >= score);
            let to_stored = |face| stored(face, shown.dimensions(), orientation, decoded);
            sighting.faces = faces.map(to_stored).collect();
            sighting.faces.sort_by(|a, b| b.score.total_cmp(&a.score));
            break;
        }
    }
    sighting
}

/// All that the detector sees in an image, in its pixels.
fn detect(model: &Model, image: &GrayImage) -> Vec<Face> {
    let mut detector = create_detector_with_model(model.clone());
    // What is too little is for the thresholds to say.
    detector.set_score_thresh(f64::MIN_POSITIVE);
    detector.set_pyramid_scale_factor(PYRAMID);
    detector.set_slide_window_step(STEP, STEP);
    let found = detector.detect(&ImageData::new(image.as_raw(), image.width(), image.height()));
    let face = |found: &rustface::FaceInfo| {
        let at = found.bbox();
        let (left, top) = (f64::from(at.x()), f64::from(at.y()));
        Face {
            left,
            top,
            right: left + f64::from(at.width()),
            bottom: top + f64::from(at.height()),
            score: found.score(),
        }
    };
    found.iter().map(face).collect()
}

fn oriented(image: &GrayImage, orientation: Orientation) -> GrayImage {
    match orientation {
        Orientation::NoTransforms => image.clone(),
        Orientation::Rotate90 => rotate90(image),
        Orientation::Rotate180 => rotate180(image),
        Orientation::Rotate270 => rotate270(image),
        Orientation::FlipHorizontal => flip_horizontal(image),
        Orientation::FlipVertical => flip_vertical(image),
        Orientation::Rotate90FlipH => flip_horizontal(&rotate90(image)),
        Orientation::Rotate270FlipH => flip_horizontal(&rotate270(image)),
    }
}

/// A face of the shown image where it is in the stored one. It may leave the image.
fn stored(face: Face, shown: (u32, u32), orientation: Orientation, decoded: &Decoded) -> Face {
    let (width, height) = (f64::from(shown.0), f64::from(shown.1));
    let corner = |x: f64, y: f64| match orientation {
        Orientation::NoTransforms => (x / width, y / height),
        Orientation::Rotate90 => (y / height, 1.0 - x / width),
        Orientation::Rotate180 => (1.0 - x / width, 1.0 - y / height),
        Orientation::Rotate270 => (1.0 - y / height, x / width),
        Orientation::FlipHorizontal => (1.0 - x / width, y / height),
        Orientation::FlipVertical => (x / width, 1.0 - y / height),
        Orientation::Rotate90FlipH => (y / height, x / width),
        Orientation::Rotate270FlipH => (1.0 - y / height, 1.0 - x / width),
    };
    let (a, b) = (corner(face.left, face.top), corner(face.right, face.bottom));
    let (across, down) = (f64::from(decoded.width), f64::from(decoded.height));
    Face {
        left: a.0.min(b.0) * across,
        right: a.0.max(b.0) * across,
        top: a.1.min(b.1) * down,
        bottom: a.1.max(b.1) * down,
        score: face.score,
    }
}

/// Pixels that the detector's window has on each side.
const WINDOW: u32 = 40;

/// The detector's own: each size it looks at is so much of the one before, each place so many pixels
/// from the one before.
const PYRAMID: f32 = 0.8;
const STEP: u32 = 4;
