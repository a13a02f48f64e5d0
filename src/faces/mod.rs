//! The face screen: whether an image shows what the service looks for. It decodes within bounds, looks
//! for a frontal face, and says what surely speaks against the image. In doubt it lets it pass.

mod budget;
mod decode;
mod detect;
mod jpeg;
mod judge;
mod model;
mod png;
mod shrink;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustface::Model;

pub use judge::ScreenThresholds;
pub use model::FaceModelError;

pub(crate) use budget::{FileRoom, HeldFile};
pub(crate) use decode::MOST_BYTES;

use crate::report::{Advice, Reason, ReasonCode, Screen, ScreenFace};
use crate::rules::BBox;
use budget::Budget;
use decode::{DecodeError, Decoded, Plan};
use detect::Sighting;

/// Looks for a frontal face in an image's bytes. Cheap to clone; clones share their model and their
/// bounds.
///
/// It is a screen for what surely fails, not a promise that the service will pass the image.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use emo_preflight::FaceScreen;
/// let file = std::fs::read("fixtures/plain.png")?;
/// let finding = FaceScreen::new().inspect(&file);
/// // Of 17 pixels' width: too narrow to look at, and so nothing is said against it.
/// assert!(finding.screen.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FaceScreen {
    shared: Arc<Shared>,
    thresholds: ScreenThresholds,
    action: ScreenAction,
}

struct Shared {
    /// Absent if the built-in bytes were none.
    model: Option<Arc<Model>>,
    budget: Budget,
}

/// What is done with what a screen finds.
///
/// For an example see [`FaceScreen::action`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScreenAction {
    /// The report has it, and the call is made all the same.
    #[default]
    Advise,
    /// An image that surely fails gets [`Verdict::RejectedLocal`](crate::Verdict::RejectedLocal) and no
    /// call.
    Reject,
}

impl FaceScreen {
    /// A screen with the model that is built in, which advises.
    #[must_use]
    pub fn new() -> Self {
        Self::with(model::built_in().ok())
    }

    /// A screen with another model of SeetaFace's frontal detector.
    ///
    /// # Errors
    /// [`FaceModelError`] when the bytes are none.
    pub fn from_model(bytes: &[u8]) -> Result<Self, FaceModelError> {
        model::read(bytes).map(|model| Self::with(Some(model)))
    }

    fn with(model: Option<Arc<Model>>) -> Self {
        Self {
            shared: Arc::new(Shared { model, budget: Budget::new() }),
            thresholds: ScreenThresholds::default(),
            action: ScreenAction::default(),
        }
    }

    /// What is done with what it finds. Default [`ScreenAction::Advise`].
    ///
    /// ```
    /// use emo_preflight::{FaceScreen, ProbeOptions, ScreenAction};
    /// let screen = FaceScreen::new().action(ScreenAction::Reject);
    /// let options = ProbeOptions::default().face_screen(screen);
    /// ```
    #[must_use]
    pub fn action(mut self, action: ScreenAction) -> Self {
        self.action = action;
        self
    }

    /// From where on it is sure. Sides out of their range are brought within it.
    #[must_use]
    pub fn thresholds(mut self, thresholds: ScreenThresholds) -> Self {
        self.thresholds = thresholds.within_reach();
        self
    }

    /// Looks at a file's bytes. Takes some 10 ms on a core for most portraits, and up to a few seconds
    /// and 384 MiB for the largest images: in async code call it where blocking is allowed.
    #[must_use]
    pub fn inspect(&self, file: &[u8]) -> Finding {
        self.look(file).finding
    }

    /// As [`inspect`](Self::inspect), with what later questions need.
    fn look(&self, file: &[u8]) -> Look {
        // What a decoder or the detector does not expect says nothing of the image.
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let plan = Plan::of(file)?;
            let memory = self.shared.budget.memory(plan.memory);
            let decoded = plan.decode(self.thresholds.longest())?;
            drop(memory);
            Ok(self.shared.model.as_deref().map(|model| self.judge(model, decoded)))
        }));
        match looked {
            Ok(Ok(Some(look))) => look,
            Ok(Err(DecodeError::Broken(why))) => {
                let message = format!("image must decode, found: {why}");
                let screen = Screen { advice: Some(Advice::Undecodable), ..Screen::default() };
                let objection = Some(Reason::new(ReasonCode::Undecodable, message));
                Finding { screen: Some(screen), objection }.into()
            }
            Ok(Ok(None) | Err(DecodeError::Unknown(_))) | Err(_) => Finding::default().into(),
        }
    }

    /// Waits for room for a file of this length.
    pub(crate) async fn room_for(&self, length: Option<u64>) -> FileRoom {
        self.shared.budget.room_for(length).await
    }

    /// As [`inspect`](Self::inspect), on a thread that may block; not more at a time than there are
    /// cores.
    pub(crate) async fn look_at(&self, file: HeldFile) -> Look {
        let core = self.shared.budget.core().await;
        let screen = self.clone();
        let look = tokio::task::spawn_blocking(move || {
            let _core = core;
            screen.look(&file.bytes)
        });
        look.await.unwrap_or_default()
    }

    /// A look with what may be the cause of a refusal that gave none, for its advice.
    pub(crate) async fn with_likely_cause(&self, look: Arc<Look>) -> Arc<Look> {
        if look
            .finding
            .screen
            .as_ref()
            .is_none_or(|screen| screen.advice.is_some_and(|a| a != Advice::NoFace))
        {
            return look;
        }
        let core = self.shared.budget.core().await;
        let (screen, before) = (self.clone(), Arc::clone(&look));
        let asked = tokio::task::spawn_blocking(move || {
            let _core = core;
            catch_unwind(AssertUnwindSafe(|| screen.likely_cause(&before))).ok().flatten()
        });
        let Ok(Some(cause)) = asked.await else { return look };
        let mut finding = look.finding.clone();
        if let Some(screen) = &mut finding.screen {
            screen.advice = Some(cause);
        }
        Arc::new(finding.into())
    }

    fn likely_cause(&self, look: &Look) -> Option<Advice> {
        let (model, seen) = (self.shared.model.as_deref()?, look.seen.as_ref()?);
        let turned = seen.sighting.faces.is_empty()
            && detect::find_turned(model, &seen.decoded, &self.thresholds);
        judge::likely_cause(&seen.sighting, (seen.decoded.width, seen.decoded.height), turned)
    }

    pub(crate) fn does(&self) -> ScreenAction {
        self.action
    }

    fn judge(&self, model: &Model, decoded: Decoded) -> Look {
        let sighting = detect::find(model, &decoded, &self.thresholds);
        let sides = (decoded.width, decoded.height);
        let (advice, objection) = judge::judge(&sighting, sides, &self.thresholds).unzip();
        let faces = sighting.faces.iter();
        let faces = faces.map(|face| {
            let within = |at: f64, side: u32| at.round().clamp(0.0, f64::from(side));
            let bbox = BBox {
                x1: within(face.left, sides.0),
                y1: within(face.top, sides.1),
                x2: within(face.right, sides.0),
                y2: within(face.bottom, sides.1),
            };
            ScreenFace::new(bbox, (face.score * 100.0).round() / 100.0)
        });
        let screen = (!sighting.is_blind).then(|| Screen { faces: faces.collect(), advice });
        Look { finding: Finding { screen, objection }, seen: Some(Seen { decoded, sighting }) }
    }
}

impl Default for FaceScreen {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FaceScreen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaceScreen")
            .field("action", &self.action)
            .field("thresholds", &self.thresholds)
            .finish_non_exhaustive()
    }
}

/// Equal when they share a model and say the same.
impl PartialEq for FaceScreen {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
            && self.thresholds == other.thresholds
            && self.action == other.action
    }
}

/// What a screen found in one image.
///
/// For an example see [`FaceScreen`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// The faces, and what speaks against the image; absent when it could not be looked at, which says
    /// nothing of it: too large, too narrow, or of a kind that these decoders do not read.
    pub screen: Option<Screen>,
    /// Why it surely fails, with the numbers; absent when it may pass.
    pub objection: Option<Reason>,
}

/// A finding, and what it came from.
#[derive(Default)]
pub(crate) struct Look {
    finding: Finding,
    seen: Option<Seen>,
}

impl Look {
    pub(crate) fn finding(&self) -> &Finding {
        &self.finding
    }
}

/// What was seen, small.
struct Seen {
    decoded: Decoded,
    sighting: Sighting,
}

impl From<Finding> for Look {
    fn from(finding: Finding) -> Self {
        Self { finding, seen: None }
    }
}
