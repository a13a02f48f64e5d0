//! Boxes, drawn into pixels.

use image::{Rgb, RgbImage};

use crate::BBox;

/// Draws the edges of a box, as far as they lie in the picture: a coloured line with a dark one on either
/// side, so that it is seen on any ground.
pub(super) fn outline(picture: &mut RgbImage, of: &BBox, color: [u8; 3]) {
    let (width, height) = (picture.width(), picture.height());
    let thick = (width.max(height) / 250).max(2);
    let Some(edges) = within(of, width, height) else { return };
    frame(picture, edges, thick + 2, DARK);
    let [left, top, right, bottom] = edges;
    let inner = [left + 1, top + 1, right.saturating_sub(1), bottom.saturating_sub(1)];
    frame(picture, inner, thick, color);
}

/// The pixels of a box: left and top inclusive, right and bottom exclusive. None where nothing of it lies
/// in the picture.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to the picture's sides"
)]
pub(super) fn within(of: &BBox, width: u32, height: u32) -> Option<[u32; 4]> {
    let x = |at: f64| at.round().clamp(0.0, f64::from(width)) as u32;
    let y = |at: f64| at.round().clamp(0.0, f64::from(height)) as u32;
    let [left, top, right, bottom] = [x(of.x1), y(of.y1), x(of.x2), y(of.y2)];
    (left < right && top < bottom).then_some([left, top, right, bottom])
}

fn frame(picture: &mut RgbImage, [left, top, right, bottom]: [u32; 4], thick: u32, color: [u8; 3]) {
    let across = (left + thick).min(right);
    let down = (top + thick).min(bottom);
    fill(picture, [left, top, right, down], color);
    fill(picture, [left, bottom.saturating_sub(thick).max(top), right, bottom], color);
    fill(picture, [left, top, across, bottom], color);
    fill(picture, [right.saturating_sub(thick).max(left), top, right, bottom], color);
}

fn fill(picture: &mut RgbImage, [left, top, right, bottom]: [u32; 4], color: [u8; 3]) {
    let (right, bottom) = (right.min(picture.width()), bottom.min(picture.height()));
    for y in top..bottom {
        for x in left..right {
            picture.put_pixel(x, y, Rgb(color));
        }
    }
}

const DARK: [u8; 3] = [20, 20, 20];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_box_leaves_its_picture_or_panics() {
        for of in [
            [-5.0, -5.0, 200.0, 200.0],
            [40.0, 40.0, 40.0, 50.0],
            [90.0, 50.0, 100.0, 60.0],
            [300.0, 300.0, 400.0, 400.0],
            [f64::MIN, f64::MIN, f64::MAX, f64::MAX],
            [9.0, 9.0, 10.0, 10.0],
        ] {
            outline(&mut RgbImage::new(100, 60), &BBox::from(of), [255, 0, 0]);
        }
    }
}
