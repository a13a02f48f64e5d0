//! Boxes and their labels, drawn into pixels.

use image::metadata::Orientation as Turn;
use image::{Rgb, RgbImage};

use crate::BBox;

/// A box, its colour and its name.
#[derive(Clone, Copy)]
pub(super) struct Outline {
    pub(super) label: &'static str,
    pub(super) color: [u8; 3],
    pub(super) of: BBox,
}

impl Outline {
    /// Draws the box's edges, as far as they lie in the picture: a coloured line with a dark one on
    /// either side, so that it is seen on any ground.
    pub(super) fn draw(&self, picture: &mut RgbImage) {
        let (width, height) = (picture.width(), picture.height());
        let thick = thickness(width, height);
        let Some(edges) = within(&self.of, width, height) else { return };
        frame(picture, edges, thick + 2, DARK);
        let [left, top, right, bottom] = edges;
        let inner = [left + 1, top + 1, right.saturating_sub(1), bottom.saturating_sub(1)];
        frame(picture, inner, thick, self.color);
    }

    /// Writes its name inside its upper left corner.
    pub(super) fn label(&self, picture: &mut RgbImage) {
        let (width, height) = (picture.width(), picture.height());
        let Some([left, top, ..]) = within(&self.of, width, height) else { return };
        let thick = thickness(width, height);
        let scale = (thick / 2).max(2);
        let (x, y) = (left + thick + 3, top + thick + 3);
        let letters = u32::try_from(self.label.len()).unwrap_or(0);
        fill(picture, [x, y, x + (letters * 6 + 1) * scale, y + 9 * scale], DARK);
        for (letter, at) in self.label.chars().zip(0_u32..) {
            for (row, line) in glyph(letter).into_iter().zip(0_u32..) {
                for column in (0..5_u32).filter(|column| row >> (4 - column) & 1 == 1) {
                    let left = x + (1 + at * 6 + column) * scale;
                    let top = y + (1 + line) * scale;
                    fill(picture, [left, top, left + scale, top + scale], self.color);
                }
            }
        }
    }
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

/// A box of the picture as it is stored, in the upright one of these sides.
pub(super) fn turned(of: &BBox, turn: Turn, width: u32, height: u32) -> BBox {
    let (w, h) = (f64::from(width), f64::from(height));
    let point = |x: f64, y: f64| match turn {
        Turn::NoTransforms => (x, y),
        Turn::FlipHorizontal => (w - x, y),
        Turn::Rotate180 => (w - x, h - y),
        Turn::FlipVertical => (x, h - y),
        Turn::Rotate90FlipH => (y, x),
        Turn::Rotate90 => (w - y, x),
        Turn::Rotate270FlipH => (w - y, h - x),
        Turn::Rotate270 => (y, h - x),
    };
    let ((a, b), (c, d)) = (point(of.x1, of.y1), point(of.x2, of.y2));
    BBox::from([a.min(c), b.min(d), a.max(c), b.max(d)])
}

fn thickness(width: u32, height: u32) -> u32 {
    (width.max(height) / 250).max(2)
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

/// Seven rows of five pixels each: the few letters that labels have.
fn glyph(letter: char) -> [u8; 7] {
    match letter {
        'a' => [0b00000, 0b00000, 0b01110, 0b00001, 0b01111, 0b10001, 0b01111],
        'c' => [0b00000, 0b00000, 0b01111, 0b10000, 0b10000, 0b10000, 0b01111],
        'e' => [0b00000, 0b00000, 0b01110, 0b10001, 0b11111, 0b10000, 0b01110],
        'f' => [0b00110, 0b01000, 0b11110, 0b01000, 0b01000, 0b01000, 0b01000],
        't' => [0b01000, 0b01000, 0b11110, 0b01000, 0b01000, 0b01000, 0b00110],
        'x' => [0b00000, 0b00000, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001],
        _ => [0; 7],
    }
}

const DARK: [u8; 3] = [20, 20, 20];

#[cfg(test)]
mod tests {
    use image::DynamicImage;

    use super::*;

    /// Drawn and then turned is where it is said to be once turned.
    #[test]
    fn a_box_is_turned_as_its_picture_is() {
        let of = BBox::from([10.0, 20.0, 40.0, 30.0]);
        for exif in 1..=8 {
            let turn = Turn::from_exif(exif).unwrap();
            let mut stored = RgbImage::new(100, 60);
            fill(&mut stored, within(&of, 100, 60).unwrap(), [255, 0, 0]);
            let mut upright = DynamicImage::from(stored);
            upright.apply_orientation(turn);
            let (width, height) = (upright.width(), upright.height());
            let mut expected = RgbImage::new(width, height);
            let turned = turned(&of, turn, width, height);
            fill(&mut expected, within(&turned, width, height).unwrap(), [255, 0, 0]);
            assert!(upright.into_rgb8() == expected, "{exif}");
        }
    }

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
            let outline = Outline { label: "face", color: [255, 0, 0], of: BBox::from(of) };
            let mut picture = RgbImage::new(100, 60);
            outline.draw(&mut picture);
            outline.label(&mut picture);
        }
    }
}
