//! Images decoded for people to look at: for `annotate`, and for `report --embed`.

mod draw;

use std::io::Cursor;
use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::metadata::Orientation as Turn;
use image::{DynamicImage, ImageReader, Limits, RgbImage};
use tokio::sync::Semaphore;

use crate::{AspectRatio, BBox, Probe, Report, Source};

/// Fetches images by the rules of the local stage, and decodes them within bounds.
#[derive(Clone)]
pub(in crate::cli) struct Pictures {
    probe: Probe,
    /// Images decoded at a time: one of 7,000 × 7,000 pixels takes up to 450 MB until it is drawn,
    /// turned and written.
    decoders: Arc<Semaphore>,
}

/// An image as it is stored, and how it is to be turned to stand upright.
pub(in crate::cli) struct Picture {
    stored: DynamicImage,
    turn: Turn,
}

impl Pictures {
    pub(in crate::cli) fn new(probe: Probe) -> Self {
        Self { probe, decoders: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// The image of a result, as `make` wants it; the error says why there is none.
    pub(in crate::cli) async fn of<T: Send + 'static>(
        &self,
        result: &Report,
        make: impl FnOnce(Picture) -> T + Send + 'static,
    ) -> Result<T, String> {
        let file = self.probe.file_of(&Source::url(&result.source)).await?;
        let turn = result.image.and_then(|image| image.orientation);
        let turn = turn.and_then(|turn| Turn::from_exif(turn.get())).unwrap_or(Turn::NoTransforms);
        // Held until it is made, so that a crowd waits its turn outside memory. Never closed.
        let permit = Arc::clone(&self.decoders).acquire_owned().await.ok();
        let made = tokio::task::spawn_blocking(move || {
            let stored = decode(file)?;
            let made = make(Picture { stored, turn });
            drop(permit);
            Ok(made)
        });
        made.await
            .unwrap_or_else(|_| Err("the image must decode, found one that does not".to_owned()))
    }
}

impl Picture {
    /// Whether it is stored as it is shown.
    pub(in crate::cli) fn is_upright(&self) -> bool {
        self.turn == Turn::NoTransforms
    }

    /// A small copy as people see it, as JPEG.
    pub(in crate::cli) fn thumbnail(self) -> Result<Vec<u8>, String> {
        let mut small = self.stored.thumbnail(THUMBNAIL, THUMBNAIL);
        small.apply_orientation(self.turn);
        jpeg(&small.into_rgb8(), 80)
    }

    /// A copy with both boxes, upright. The boxes are in the image as it is stored, or with `as_shown`
    /// in the upright one.
    pub(in crate::cli) fn annotated(
        &self,
        face: &BBox,
        ext: &BBox,
        as_shown: bool,
    ) -> Result<Vec<u8>, String> {
        let mut canvas = self.canvas(as_shown);
        draw::outline(&mut canvas, ext, EXT);
        draw::outline(&mut canvas, face, FACE);
        let mut copy = DynamicImage::from(canvas);
        if !as_shown {
            copy.apply_orientation(self.turn);
        }
        jpeg(&copy.into_rgb8(), 90)
    }

    /// What EMO will see: the dynamic area, in the size of its video (vendor page of emo-v1).
    pub(in crate::cli) fn cropped(
        &self,
        ext: &BBox,
        ratio: AspectRatio,
        as_shown: bool,
    ) -> Result<Vec<u8>, String> {
        let canvas = DynamicImage::from(self.canvas(as_shown));
        let [left, top, right, bottom] = draw::within(ext, canvas.width(), canvas.height())
            .ok_or("the dynamic area must lie in the image, found it outside")?;
        let mut part = canvas.crop_imm(left, top, right - left, bottom - top);
        if !as_shown {
            part.apply_orientation(self.turn);
        }
        let (width, height) = match ratio {
            AspectRatio::Square => (512, 512),
            _ => (512, 704),
        };
        jpeg(&part.resize_exact(width, height, FilterType::CatmullRom).into_rgb8(), 90)
    }

    fn canvas(&self, as_shown: bool) -> RgbImage {
        let mut canvas = self.stored.clone();
        if as_shown {
            canvas.apply_orientation(self.turn);
        }
        canvas.into_rgb8()
    }
}

fn decode(file: Vec<u8>) -> Result<DynamicImage, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the image must decode: {error}");
    let mut reader =
        ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|e| failed(&e))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST);
    limits.max_image_height = Some(LONGEST);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    reader.decode().map_err(|error| failed(&error))
}

fn jpeg(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, String> {
    let mut file = Vec::new();
    let encoded = JpegEncoder::new_with_quality(&mut file, quality).encode_image(picture);
    encoded.map(|()| file).map_err(|error| format!("the copy must encode: {error}"))
}

const AT_A_TIME: usize = 2;
/// In pixels: of what the limits allow, and a little more.
const LONGEST: u32 = 8_000;
const MOST_BYTES: u64 = 512 * 1_024 * 1_024;
/// The longest side, in pixels.
const THUMBNAIL: u32 = 360;

const FACE: [u8; 3] = [255, 212, 0];
const EXT: [u8; 3] = [0, 229, 255];
