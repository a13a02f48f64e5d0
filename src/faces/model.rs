//! The detector's model: built in, or a caller's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use rustface::{ImageData, Model, create_detector_with_model, read_model};

/// Why bytes are no face model.
///
/// ```
/// use emo_preflight::FaceScreen;
/// let error = FaceScreen::from_model(b"no model").unwrap_err();
/// assert_eq!(error.to_string(), "face model must be one of SeetaFace's frontal detector, found other bytes");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("face model must be one of SeetaFace's frontal detector, found {0}")]
pub struct FaceModelError(String);

/// The model that is built in.
pub(super) fn built_in() -> Result<Arc<Model>, FaceModelError> {
    static MODEL: LazyLock<Result<Arc<Model>, FaceModelError>> = LazyLock::new(|| read(BUILT_IN));
    MODEL.clone()
}

/// Reads a model, and tries it.
pub(super) fn read(bytes: &[u8]) -> Result<Arc<Model>, FaceModelError> {
    let other = || FaceModelError("other bytes".to_owned());
    // Sizes are believed as they are read: of other files the first would be a few gigabytes.
    let stages = bytes.first_chunk().map(|first| i32::from_le_bytes(*first));
    if !stages.is_some_and(|stages| (1..=MOST_STAGES).contains(&stages)) {
        return Err(other());
    }
    // The reader and the detector panic at what they do not expect.
    let read = catch_unwind(AssertUnwindSafe(|| {
        let model = read_model(bytes).map_err(|error| FaceModelError(error.to_string()))?;
        let blank = vec![0; TRIAL * TRIAL];
        let side = u32::try_from(TRIAL).unwrap_or(0);
        create_detector_with_model(model.clone()).detect(&ImageData::new(&blank, side, side));
        Ok(Arc::new(model))
    }));
    read.unwrap_or_else(|_| Err(other()))
}

/// SeetaFace's frontal detector, from the crate `rustface` (BSD-2-Clause, see `model/LICENSE`).
const BUILT_IN: &[u8] = include_bytes!("model/seeta_fd_frontal_v1.0.bin");

const MOST_STAGES: i32 = 16;

/// Sides of the image that a model is tried on, in pixels.
const TRIAL: usize = 80;
