//! What a sighting says for or against an image. Pure: numbers in, advice out.

use super::detect::{Face, Sighting};
use crate::report::{Advice, Reason, ReasonCode};

/// From where on the screen is sure.
///
/// The defaults were chosen on labelled images to reject no portrait; `benches/README.md` has the
/// command and the figures.
///
/// ```
/// use emo_preflight::{FaceScreen, ScreenThresholds};
/// let mut stricter = ScreenThresholds::default();
/// stricter.second_score = 5.0;
/// let screen = FaceScreen::new().thresholds(stricter);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScreenThresholds {
    /// The longer side of the image as it is looked at first, in pixels, 40 to 1,024. Default 256.
    pub first_side: u32,
    /// What a face must score there, above 0. Default 2.
    pub first_score: f64,
    /// The longer side where nothing was found at first, 40 to 1,024. Default 480.
    pub second_side: u32,
    /// What a face must score there, above 0. Default 3.
    pub second_score: f64,
    /// What the faces of an image must score for it to be rejected for several, above 0. Default 7.
    pub several_score: f64,
    /// How wide a second face must be for that, as a part of the first's width. Default 2/3.
    pub several_width: f64,
    /// The least width of a face, in pixels of the image. Default 40.
    pub least_face: f64,
}

impl Default for ScreenThresholds {
    fn default() -> Self {
        Self {
            first_side: 256,
            first_score: 2.0,
            second_side: 480,
            second_score: 3.0,
            several_score: 7.0,
            several_width: 2.0 / 3.0,
            least_face: 40.0,
        }
    }
}

impl ScreenThresholds {
    /// The thresholds with what no detector can do brought within reach.
    pub(super) fn within_reach(mut self) -> Self {
        self.first_side = self.first_side.clamp(LEAST_SIDE, MOST_SIDE);
        self.second_side = self.second_side.clamp(LEAST_SIDE, MOST_SIDE);
        self
    }

    /// How large an image must be decoded.
    pub(super) fn longest(&self) -> u32 {
        self.first_side.max(self.second_side)
    }
}

/// What surely speaks against an image of these sides.
pub(super) fn judge(
    sighting: &Sighting,
    sides: (u32, u32),
    thresholds: &ScreenThresholds,
) -> Option<(Advice, Reason)> {
    let Some(first) = sighting.faces.first() else {
        // Nothing was looked at: nothing is known.
        if sighting.is_blind {
            return None;
        }
        let (best, least) = (rounded(sighting.best), thresholds.second_score);
        let message = format!(
            "image must show a frontal face that scores at least {least}, found a best score of {best}"
        );
        let reason = Reason::new(ReasonCode::NoFace, message).found(best).required(least);
        return Some((Advice::NoFace, reason));
    };
    let widest = sighting.faces.iter().map(Face::width).fold(first.width(), f64::max);
    if widest < thresholds.least_face {
        let (found, least) = (widest.round(), thresholds.least_face);
        let message = format!("face must be at least {least} px wide, found {found} px");
        let reason = Reason::new(ReasonCode::FaceTooSmall, message).found(found).required(least);
        return Some((Advice::FaceTooSmall, reason));
    }
    let sure = |face: &&Face| {
        face.score >= thresholds.several_score
            && face.width() >= widest * thresholds.several_width
            && is_inside(face, sides)
    };
    let count = sighting.faces.iter().filter(sure).count();
    if count > 1 {
        let message = format!(
            "image must show one face, found {count} of at least {}% of the largest one's width",
            (thresholds.several_width * 100.0).round()
        );
        let reason = Reason::new(ReasonCode::SeveralFaces, message).found(count).required(1);
        return Some((Advice::SeveralFaces, reason));
    }
    None
}

/// What may be the cause of a refusal that gave none; not sure enough to reject for it.
pub(super) fn likely_cause(sighting: &Sighting, sides: (u32, u32), turned: bool) -> Option<Advice> {
    let Some(first) = sighting.faces.first() else {
        return turned.then_some(Advice::FaceTurned);
    };
    let widest = sighting.faces.iter().map(Face::width).fold(first.width(), f64::max);
    let second = sighting.faces.iter().filter(|face| face.width() >= widest * LIKELY_SECOND);
    if second.count() > 1 {
        return Some(Advice::SeveralFaces);
    }
    if !is_inside(first, sides) {
        return Some(Advice::FaceCutOff);
    }
    (widest < LIKELY_LEAST).then_some(Advice::FaceTooSmall)
}

/// Whether a face lies within the image.
fn is_inside(face: &Face, (width, height): (u32, u32)) -> bool {
    let slack = face.width() * SLACK;
    face.left >= -slack
        && face.top >= -slack
        && face.right <= f64::from(width) + slack
        && face.bottom <= f64::from(height) + slack
}

fn rounded(score: f64) -> f64 {
    (score * 100.0).round() / 100.0
}

/// A box may leave the image by so much of its width without its face doing so.
const SLACK: f64 = 0.02;

/// From here on a second face may be the cause, as a part of the first's width.
const LIKELY_SECOND: f64 = 0.5;
/// Pixels; the video model takes 512 × 512 of what it is given, most of which a face should fill.
const LIKELY_LEAST: f64 = 96.0;

const LEAST_SIDE: u32 = 40;
const MOST_SIDE: u32 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn face(left: f64, width: f64, score: f64) -> Face {
        Face { left, top: 100.0, right: left + width, bottom: 100.0 + width, score }
    }

    fn sighting(faces: &[Face]) -> Sighting {
        Sighting { faces: faces.to_vec(), best: 0.456, is_blind: false }
    }

    const SIDES: (u32, u32) = (800, 600);

    #[test]
    fn what_is_sure_and_what_is_likely() {
        use Advice::{FaceCutOff, FaceTooSmall, NoFace, SeveralFaces};
        let thresholds = ScreenThresholds::default();
        for (name, faces, sure, likely) in [
            ("none", &[][..], Some(NoFace), None),
            ("one", &[face(100.0, 200.0, 30.0)], None, None),
            (
                "two alike",
                &[face(100.0, 200.0, 30.0), face(400.0, 140.0, 20.0)],
                Some(SeveralFaces),
                Some(SeveralFaces),
            ),
            (
                "the second not sure",
                &[face(100.0, 200.0, 30.0), face(400.0, 140.0, 6.9)],
                None,
                Some(SeveralFaces),
            ),
            (
                "the second not as wide",
                &[face(100.0, 200.0, 30.0), face(400.0, 130.0, 20.0)],
                None,
                Some(SeveralFaces),
            ),
            ("the second small", &[face(100.0, 200.0, 30.0), face(400.0, 90.0, 20.0)], None, None),
            (
                "the second cut off",
                &[face(100.0, 200.0, 30.0), face(700.0, 140.0, 20.0)],
                None,
                Some(SeveralFaces),
            ),
            ("cut off", &[face(-30.0, 200.0, 30.0)], None, Some(FaceCutOff)),
            ("nearly cut off", &[face(-3.0, 200.0, 30.0)], None, None),
            ("small", &[face(100.0, 90.0, 30.0)], None, Some(FaceTooSmall)),
            ("too small", &[face(100.0, 39.0, 30.0)], Some(FaceTooSmall), Some(FaceTooSmall)),
        ] {
            let sighting = sighting(faces);
            let found = judge(&sighting, SIDES, &thresholds).map(|(advice, _)| advice);
            assert_eq!(found, sure, "{name}");
            assert_eq!(likely_cause(&sighting, SIDES, false), likely, "{name}");
        }
    }

    #[test]
    fn reasons_have_their_numbers() {
        let thresholds = ScreenThresholds::default();
        for (faces, text) in [
            (
                &[][..],
                "no_face: image must show a frontal face that scores at least 3, found a best score of 0.46",
            ),
            (
                &[face(100.0, 200.0, 30.0), face(400.0, 190.0, 20.0)],
                "several_faces: image must show one face, found 2 of at least 67% of the largest one's width",
            ),
            (
                &[face(0.0, 38.6, 4.0)],
                "face_too_small: face must be at least 40 px wide, found 39 px",
            ),
        ] {
            let (advice, reason) = judge(&sighting(faces), SIDES, &thresholds).unwrap();
            assert_eq!(reason.to_string(), text);
            assert_eq!(advice.as_str(), reason.code.as_str());
            assert!(reason.found.is_some() && reason.required.is_some());
        }
    }

    #[test]
    fn an_image_that_could_not_be_looked_at_passes() {
        let blind = Sighting { is_blind: true, ..Sighting::default() };
        assert_eq!(judge(&blind, (7_000, 400), &ScreenThresholds::default()), None);
        assert_eq!(likely_cause(&blind, (7_000, 400), false), None);
        assert_eq!(likely_cause(&blind, (400, 400), true), Some(Advice::FaceTurned));
    }
}
