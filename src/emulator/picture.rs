//! Images to serve, drawn or hand-made.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::Cursor;

use bytes::Bytes;
use image::{ExtendedColorType, ImageEncoder, ImageFormat};

use super::boxes;

/// What one path of the emulator serves: a drawn portrait, any bytes, an error page or a redirect.
///
/// The drawings show a face on a soft background, plain and frontal enough for a detector to take it for
/// one, where the emulator will say the face is. They are drawn at once, so a large one costs time and memory: width × height × 3 bytes while drawing. Sides
/// of 0 or above 65,535 (16,383 for WebP) give an empty body.
///
/// For an example see [the module](super).
#[derive(Clone, Debug)]
pub struct Picture {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
    pub(super) ranges: bool,
    /// Of a drawing.
    drawn: Option<ImageFormat>,
}

impl Picture {
    /// A drawn JPEG; sides in pixels.
    pub fn jpeg(width: u32, height: u32) -> Self {
        Self::drawn("image/jpeg", ImageFormat::Jpeg, width, height)
    }

    /// A drawn PNG; sides in pixels.
    pub fn png(width: u32, height: u32) -> Self {
        Self::drawn("image/png", ImageFormat::Png, width, height)
    }

    /// A drawn BMP; sides in pixels.
    pub fn bmp(width: u32, height: u32) -> Self {
        Self::drawn("image/bmp", ImageFormat::Bmp, width, height)
    }

    /// A drawn lossless WebP; sides in pixels.
    pub fn webp(width: u32, height: u32) -> Self {
        Self::drawn("image/webp", ImageFormat::WebP, width, height)
    }

    /// A GIF whose screen has these sides, in pixels, and whose one frame is a single pixel. The
    /// service does not take GIF.
    pub fn gif(width: u16, height: u16) -> Self {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend_from_slice(&width.to_le_bytes());
        bytes.extend_from_slice(&height.to_le_bytes());
        bytes.extend_from_slice(GIF_PIXEL);
        Self::bytes("image/gif", bytes)
    }

    /// The first box of a HEIC file and no image. The service does not take HEIC.
    pub fn heic() -> Self {
        Self::bytes("image/heic", HEIC_START.to_vec())
    }

    /// Any bytes, under any content type.
    pub fn bytes(content_type: &str, bytes: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type: content_type.to_owned(),
            location: None,
            body: Bytes::from(bytes),
            ranges: true,
            drawn: None,
        }
    }

    /// An HTML page with status 200 where an image should be.
    pub fn html() -> Self {
        Self::bytes("text/html", page("Please sign in").into_bytes())
    }

    /// An HTML error page with this status (200 to 599; any other is sent as 500).
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::bytes("text/html", page(&status.to_string()).into_bytes()) }
    }

    /// A 302 to another URL, absolute or relative.
    pub fn redirect(to: &str) -> Self {
        Self { status: 302, location: Some(to.to_owned()), ..Self::bytes("text/plain", Vec::new()) }
    }

    /// Served whole with status 200 whatever Range is asked for.
    #[must_use]
    pub fn ignoring_range(mut self) -> Self {
        self.ranges = false;
        self
    }

    /// The bytes that are served.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    fn drawn(content_type: &str, format: ImageFormat, width: u32, height: u32) -> Self {
        let mut file = Vec::new();
        let possible = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
        let encoded =
            possible && encode(format, &draw(width, height), width, height, &mut file).is_ok();
        if !encoded {
            file.clear();
        }
        Self { drawn: encoded.then_some(format), ..Self::bytes(content_type, file) }
    }

    /// A drawing with this name in its first bytes, so that it is another image than the same drawing
    /// elsewhere. Anything else stays as it is.
    pub(super) fn named(self, name: &str) -> Self {
        let Some(format) = self.drawn else { return self };
        let mut file = self.body.to_vec();
        let length = u32::try_from(name.len()).unwrap_or(0);
        match format {
            // A comment behind SOI (ITU T.81, B.2.4.5).
            ImageFormat::Jpeg => {
                let size = u16::try_from(name.len() + 2).unwrap_or(2).to_be_bytes();
                file.splice(2..2, [&[0xff, 0xfe], &size[..], name.as_bytes()].concat());
            }
            // A text chunk behind IHDR (PNG, section 11.3.3.2).
            ImageFormat::Png => {
                let text = [b"tEXtTitle\0", name.as_bytes()].concat();
                let size = (length + 6).to_be_bytes();
                let check = crc32fast::hash(&text).to_be_bytes();
                file.splice(33..33, [&size[..], &text, &check].concat());
            }
            // A chunk of a length of its own behind the image (RFC 9649, section 2.7.1.5).
            ImageFormat::WebP => {
                let size = 2 * (digest(name.as_bytes()) % 4_096) as u32;
                file.extend_from_slice(b"NAME");
                file.extend_from_slice(&size.to_le_bytes());
                file.resize(file.len() + size as usize, 0);
                let riff = u32::try_from(file.len() - 8).unwrap_or(0).to_le_bytes();
                file.splice(4..8, riff);
            }
            // A few pixels in the corner.
            _ => {
                let digest = digest(name.as_bytes()).to_le_bytes();
                file.splice(54..62, digest);
            }
        }
        Self { body: Bytes::from(file), ..self }
    }

    /// A strong validator of the image's bytes.
    pub(super) fn etag(&self) -> String {
        format!("\"{:016x}\"", digest(&self.body))
    }
}

/// The same in every run.
fn digest(bytes: &[u8]) -> u64 {
    // `DefaultHasher::new` has fixed keys.
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn encode(
    format: ImageFormat,
    pixels: &[u8],
    width: u32,
    height: u32,
    file: &mut Vec<u8>,
) -> image::ImageResult<()> {
    let colour = ExtendedColorType::Rgb8;
    match format {
        ImageFormat::Jpeg => image::codecs::jpeg::JpegEncoder::new_with_quality(file, 80)
            .write_image(pixels, width, height, colour),
        ImageFormat::WebP => image::codecs::webp::WebPEncoder::new_lossless(file)
            .write_image(pixels, width, height, colour),
        _ => image::write_buffer_with_format(
            &mut Cursor::new(file),
            pixels,
            width,
            height,
            colour,
            format,
        ),
    }
}

/// Rows are put together from runs of one colour: per-pixel work is slow in a debug build.
fn draw(width: u32, height: u32) -> Vec<u8> {
    let [x1, y1, x2, y2] = boxes::face(width, height).map(|v| v as f64);
    let (centre, middle, radius) = ((x1 + x2) / 2.0, (y1 + y2) / 2.0, (x2 - x1) / 2.0);
    let hair = Oval::new(centre, middle - radius * 0.2, radius * 1.1, radius * 1.2);
    let face = Oval::new(centre, middle, radius * 0.8, radius);
    let shoulders = f64::from(height) - y2 + radius * 0.15;
    let body = Oval::new(centre, f64::from(height), radius * 2.4, shoulders);
    let features = features(centre, middle, radius);
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        let light = (u64::from(y) * 60 / u64::from(height)) as u8;
        let background = [190 - light, 205 - light, 215 - light / 2];
        let skin = [225 - light / 2, 180 - light / 2, 155 - light / 4];
        let parts = [(&body, [70, 80 + light / 2, 120]), (&hair, [60, 45, 40]), (&face, skin)];
        let spans = parts.into_iter().chain(features.iter().map(|(oval, colour)| (oval, *colour)));
        let spans = spans.map(|(oval, colour)| (oval.span(y, width), colour));
        let mut row = background.repeat(width as usize);
        for ((from, to), colour) in spans {
            let run = colour.repeat(to - from);
            if let Some(place) = row.get_mut(from * 3..to * 3) {
                place.copy_from_slice(&run);
            }
        }
        pixels.append(&mut row);
    }
    pixels
}

/// What makes an oval a face, from the back to the front.
fn features(centre: f64, middle: f64, radius: f64) -> Vec<(Oval, [u8; 3])> {
    let at = |x: f64, y: f64, across: f64, down: f64| {
        Oval::new(centre + x * radius, middle + y * radius, across * radius, down * radius)
    };
    let mut features = Vec::new();
    for side in [-1.0, 1.0] {
        features.extend([
            (at(side * 0.33, -0.16, 0.24, 0.17), [186, 138, 118]),
            (at(side * 0.33, -0.33, 0.23, 0.06), [70, 50, 42]),
            (at(side * 0.33, -0.13, 0.16, 0.08), [235, 230, 225]),
            (at(side * 0.33, -0.13, 0.075, 0.08), [50, 38, 34]),
        ]);
    }
    features.extend([
        (at(0.0, 0.2, 0.17, 0.1), [178, 128, 108]),
        (at(0.0, 0.1, 0.07, 0.22), [228, 186, 164]),
        (at(0.0, 0.52, 0.3, 0.11), [160, 84, 82]),
        (at(0.0, 0.5, 0.28, 0.03), [92, 44, 44]),
        (at(0.0, 0.68, 0.2, 0.05), [190, 142, 122]),
    ]);
    features
}

struct Oval {
    x: f64,
    y: f64,
    across: f64,
    down: f64,
}

impl Oval {
    fn new(x: f64, y: f64, across: f64, down: f64) -> Self {
        Self { x, y, across, down }
    }

    /// The pixels of a row that it covers, empty where it does not reach.
    fn span(&self, row: u32, width: u32) -> (usize, usize) {
        let height = (f64::from(row) - self.y) / self.down;
        let half = self.across * (1.0 - height * height).max(0.0).sqrt();
        let edge = |x: f64| x.clamp(0.0, f64::from(width)) as usize;
        (edge(self.x - half), edge(self.x + half))
    }
}

fn page(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><title>{title}</title></head><body>{title}</body></html>\n"
    )
}

/// Pixels; what JPEG can hold.
const MAX_SIDE: u32 = 65_535;

/// Two grey colours, one frame of one pixel, the trailer.
const GIF_PIXEL: &[u8] = b"\x80\x00\x00\x00\x00\x00\xff\xff\xff\
    \x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

const HEIC_START: &[u8] = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic\
    \x00\x00\x00\x0emeta\x00\x00\x00\x00\x00\x00";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_have_their_format_and_size() {
        for (image, format) in [
            (Picture::jpeg(64, 80), ImageFormat::Jpeg),
            (Picture::png(401, 33), ImageFormat::Png),
            (Picture::bmp(17, 90), ImageFormat::Bmp),
            (Picture::webp(120, 7), ImageFormat::WebP),
            (Picture::png(1, 1), ImageFormat::Png),
        ] {
            assert_eq!(image::guess_format(image.body()).unwrap(), format);
            image::load_from_memory(image.body()).unwrap();
        }
        let image = image::load_from_memory(Picture::png(401, 33).body()).unwrap();
        assert_eq!((image.width(), image.height()), (401, 33));
    }

    /// It is named in the bytes that tell images apart.
    #[test]
    fn a_drawing_is_another_image_under_another_name() {
        for image in [
            Picture::jpeg(64, 80),
            Picture::png(64, 80),
            Picture::bmp(64, 80),
            Picture::webp(64, 80),
        ] {
            let [one, two] = ["/a", "/b"].map(|name| image.clone().named(name));
            assert_ne!(
                one.body().get(..4_096.min(one.body().len())),
                two.body().get(..4_096.min(two.body().len()))
            );
            let drawing = image::load_from_memory(image.body()).unwrap();
            let named = image::load_from_memory(one.body()).unwrap();
            assert_eq!((named.width(), named.height()), (drawing.width(), drawing.height()));
            assert_eq!(
                named.to_rgb8().pixels().next_back(),
                drawing.to_rgb8().pixels().next_back()
            );
        }
        let bytes = Picture::bytes("image/jpeg", vec![1, 2, 3]);
        assert_eq!(bytes.clone().named("/a").body(), bytes.body());
    }

    #[test]
    fn impossible_sides_give_an_empty_body() {
        assert!(Picture::png(0, 400).body().is_empty());
        assert!(Picture::bmp(u32::MAX, u32::MAX).body().is_empty());
        assert!(Picture::jpeg(70_000, 1).body().is_empty());
        assert!(Picture::webp(1, 20_000).body().is_empty());
    }

    #[test]
    fn a_gif_says_its_size() {
        assert_eq!(&Picture::gif(640, 800).body()[..10], b"GIF89a\x80\x02\x20\x03");
    }
}
