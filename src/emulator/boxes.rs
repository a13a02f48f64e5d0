//! Where the stand-in says the face is: a function of the image's size and the asked ratio alone.
//!
//! The proportions follow the vendor page's 1:1 sample: the extended box is two and a half times as
//! wide as the face, and the face's centre lies a little below the extended box's own.

/// A box as `[x1, y1, x2, y2]`, pixels from the upper-left corner.
pub(super) type PixelBox = [u64; 4];

/// The documented aspect ratios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ratio {
    /// `"1:1"`, a profile image.
    OneToOne,
    /// `"3:4"`, a half-body portrait.
    ThreeToFour,
}

impl Ratio {
    /// The ratio as the request writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "1:1" => Some(Self::OneToOne),
            "3:4" => Some(Self::ThreeToFour),
            _ => None,
        }
    }
}

/// The face of an image; the same whatever ratio is asked for.
pub(super) fn face(width: u32, height: u32) -> PixelBox {
    let (width, height) = (u64::from(width), u64::from(height));
    let side = (width.min(height) * 3 / 10).max(1);
    let left = width / 2 - (side / 2).min(width / 2);
    let top = height * 2 / 5 - (side / 2).min(height * 2 / 5);
    [left, top, left + side, top + side]
}

/// The extended box around [`face`]: inside the image and of exactly the asked ratio.
pub(super) fn ext(width: u32, height: u32, ratio: Ratio) -> PixelBox {
    let [x1, y1, x2, y2] = face(width, height);
    let (width, height) = (u64::from(width), u64::from(height));
    let shortest = width.min(height);
    let (ext_width, ext_height) = match ratio {
        Ratio::OneToOne => (shortest * 3 / 4, shortest * 3 / 4),
        // Three quarters of the shortest side again; four units of it just fit a landscape's height.
        Ratio::ThreeToFour => (shortest / 4 * 3, shortest / 4 * 4),
    };
    let left = ((x1 + x2) / 2).saturating_sub(ext_width / 2).min(width - ext_width);
    let top = ((y1 + y2) / 2).saturating_sub(ext_height * 14 / 25).min(height - ext_height);
    [left, top, left + ext_width, top + ext_height]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_hold_for_every_size() {
        let sides = [
            8, 9, 10, 399, 400, 401, 402, 403, 511, 512, 640, 799, 1001, 1024, 1280, 4095, 6998,
            6999, 7000, 65_535,
        ];
        for &width in &sides {
            for &height in &sides {
                for (ratio, a, b) in [(Ratio::OneToOne, 1, 1), (Ratio::ThreeToFour, 3, 4)] {
                    let case = format!("{width}x{height} {ratio:?}");
                    let face = face(width, height);
                    let ext = ext(width, height, ratio);
                    assert!(face[0] < face[2] && face[1] < face[3], "{case}: {face:?}");
                    assert_eq!((ext[2] - ext[0]) * b, (ext[3] - ext[1]) * a, "{case}");
                    assert!(ext[0] <= face[0] && ext[1] <= face[1], "{case}: {face:?} {ext:?}");
                    assert!(ext[2] >= face[2] && ext[3] >= face[3], "{case}: {face:?} {ext:?}");
                    assert!(
                        ext[2] <= u64::from(width) && ext[3] <= u64::from(height),
                        "{case}: {ext:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn proportions_are_those_of_the_sample() {
        // The vendor page's sample: a face of 308 px in a square of 769 px.
        assert_eq!(face(1024, 1280), [359, 359, 666, 666]);
        assert_eq!(ext(1024, 1280, Ratio::OneToOne), [128, 82, 896, 850]);
        assert_eq!(ext(1024, 1280, Ratio::ThreeToFour), [128, 0, 896, 1024]);
    }
}
