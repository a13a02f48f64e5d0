//! An image made small while it is decoded: what a screen looks at is never larger than a few hundred
//! pixels, so a large image need not lie in memory whole.

use image::{GrayImage, imageops};

/// Takes pixels in any order and averages them over squares.
pub(super) struct Shrinker {
    /// How many pixels a side of a square has.
    factor: u32,
    width: u32,
    height: u32,
    sums: Vec<u32>,
    counts: Vec<u32>,
}

impl Shrinker {
    /// For an image of these sides, which is made as small as its longer side stays at least `least`.
    pub(super) fn new(width: u32, height: u32, least: u32) -> Self {
        let factor = (width.max(height) / least.max(1)).max(1);
        let (width, height) = (width.div_ceil(factor), height.div_ceil(factor));
        let squares = usize::try_from(u64::from(width) * u64::from(height)).unwrap_or(0);
        Self { factor, width, height, sums: vec![0; squares], counts: vec![0; squares] }
    }

    /// A row of pixels, the first at `x` and each `step` from the one before.
    pub(super) fn row(&mut self, y: u32, x: u32, step: u32, greys: impl Iterator<Item = u8>) {
        let begin = u64::from(y / self.factor) * u64::from(self.width);
        let Ok(begin) = usize::try_from(begin) else { return };
        let row = begin..begin.saturating_add(usize::try_from(self.width).unwrap_or(0));
        let (Some(sums), Some(counts)) = (self.sums.get_mut(row.clone()), self.counts.get_mut(row))
        else {
            return;
        };
        let mut at = x;
        for grey in greys {
            let square = usize::try_from(at / self.factor).unwrap_or(usize::MAX);
            let (Some(sum), Some(count)) = (sums.get_mut(square), counts.get_mut(square)) else {
                return;
            };
            *sum = sum.saturating_add(u32::from(grey));
            *count = count.saturating_add(1);
            at = at.saturating_add(step);
        }
    }

    /// The averages; black where no pixel came.
    pub(super) fn finish(self) -> Option<GrayImage> {
        let average = |(sum, count): (u32, u32)| {
            u8::try_from(sum.checked_div(count).unwrap_or(0)).unwrap_or(u8::MAX)
        };
        let pixels = self.sums.into_iter().zip(self.counts).map(average).collect();
        GrayImage::from_raw(self.width, self.height, pixels)
    }
}

/// The image with its longer side at most `side` pixels.
pub(super) fn fitted(image: &GrayImage, side: u32) -> GrayImage {
    let (width, height) = image.dimensions();
    let longest = width.max(height);
    if longest <= side {
        return image.clone();
    }
    let scaled = |length: u32| {
        let scaled = u64::from(length) * u64::from(side) / u64::from(longest);
        u32::try_from(scaled.max(1)).unwrap_or(side)
    };
    imageops::thumbnail(image, scaled(width), scaled(height))
}

/// How bright a pixel is, from its samples (ITU-R BT.601): grey, grey and alpha, RGB, or RGBA. What is
/// transparent counts as it is stored, as most that drop an alpha channel see it.
pub(super) fn grey_of(samples: &[u8]) -> u8 {
    match *samples {
        [grey] | [grey, _] => grey,
        [r, g, b] | [r, g, b, _] => {
            let sum = 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
            u8::try_from((sum + 500) / 1_000).unwrap_or(u8::MAX)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_averaged_whatever_the_order() {
        // 5 × 4 pixels, made to at least 2: squares of 2 × 2, the last column of one pixel's width.
        let rows = [[0, 10, 20, 30, 40], [10, 20, 30, 40, 50], [1, 1, 2, 2, 3], [1, 1, 2, 2, 3]];
        let expected = [10, 30, 45, 1, 2, 3];
        let mut in_order = Shrinker::new(5, 4, 2);
        for (y, row) in (0..).zip(rows) {
            in_order.row(y, 0, 1, row.into_iter());
        }
        let mut interlaced = Shrinker::new(5, 4, 2);
        for (y, row) in (0..4).zip(rows).rev() {
            interlaced.row(y, 1, 2, row.into_iter().skip(1).step_by(2));
            interlaced.row(y, 0, 2, row.into_iter().step_by(2));
        }
        for shrunk in [in_order, interlaced] {
            let image = shrunk.finish().unwrap();
            assert_eq!((image.dimensions(), image.as_raw().as_slice()), ((3, 2), &expected[..]));
        }
    }

    #[test]
    fn what_lies_outside_is_passed_over() {
        let mut shrunk = Shrinker::new(2, 2, 2);
        shrunk.row(7, 0, 1, [255; 9].into_iter());
        shrunk.row(1, 1, 1, [255; 9].into_iter());
        assert_eq!(shrunk.finish().unwrap().as_raw(), &[0, 0, 0, 255]);
    }
}
