//! What the documentation asks of an image, and what must hold between an image, the requested
//! ratio and the boxes of an answer. Knows no JSON and no HTTP.

mod bbox;
mod limits;

pub use bbox::{AspectRatio, BBox, BoxProblem, UnknownRatio, check_boxes};
pub use limits::{Limits, Violation};
