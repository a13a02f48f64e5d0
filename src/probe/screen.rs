//! The face screen's part of the local stage: the whole file, then a look at it.

use std::sync::Arc;

#[cfg(feature = "cli")]
use super::Need;
use super::content::Content;
use super::fetch::changed;
use super::{LocalOutcome, LocalRejection, Probe, file};
use crate::faces::{Look, MOST_BYTES, ScreenAction};
use crate::report::{Screen, Verdict};
use crate::run::Source;

/// What the screen made of an image.
#[derive(Default)]
pub(super) enum Screened {
    #[default]
    NotYet,
    /// It was looked at, or could not be.
    Looked(Option<Arc<Look>>),
}

impl Screened {
    pub(super) fn into_screen(self) -> Option<Screen> {
        match self {
            Self::Looked(look) => look?.finding().screen.clone(),
            Self::NotYet => None,
        }
    }
}

impl Probe {
    /// The whole file of an image whose header can be read, by the rules of the local stage but the
    /// limits; the error says why there is none.
    #[cfg(feature = "cli")]
    pub(crate) async fn file_of(&self, source: &Source) -> Result<Vec<u8>, String> {
        let mut local = LocalOutcome::default();
        self.ensure(source, &mut local, Need::Header).await;
        let said = |rejection: &LocalRejection| Some(rejection.reasons.first()?.message.clone());
        let not_there = || "the image must be fetched whole, found no origin to ask".to_owned();
        let Some(image) = &mut local.image else {
            return Err(local.rejection.as_ref().and_then(said).unwrap_or_else(not_there));
        };
        if let Some(length) = image.progress.total.filter(|length| *length > MOST) {
            return Err(format!("the file must have at most {MOST_BYTES} bytes, found {length}"));
        }
        let bytes = image.whole(MOST_BYTES).await;
        bytes.map_err(|rejection| said(&rejection).unwrap_or_else(not_there))
    }

    /// Takes the rest of an image that passed by its header, and looks at it where there is a screen. One
    /// that cannot be had in time and bytes is not looked at.
    pub(super) async fn look(
        &self,
        source: &Source,
        local: &mut LocalOutcome,
    ) -> Result<(), LocalRejection> {
        let (Some(screen), Some(header)) = (&self.0.options.face_screen, local.header) else {
            return Ok(());
        };
        local.screened = Screened::Looked(None);
        let length = local.image.as_ref().and_then(|image| image.progress.total);
        if length.is_some_and(|length| length > MOST) {
            return Ok(());
        }
        let room = screen.room_for(length).await;
        let bytes = match &mut local.image {
            Some(image) => image.whole(MOST_BYTES).await,
            None => file::whole(source.text.clone(), MOST_BYTES).await,
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(rejection)
                if rejection.says_changed() || rejection.verdict == Verdict::RejectedLocal =>
            {
                return Err(rejection);
            }
            Err(rejection) => {
                let why = rejection.reasons.first().map(|reason| reason.message.as_str());
                tracing::debug!(index = source.index, why, "not_screened");
                return Ok(());
            }
        };
        let content = Content::of(&bytes, header.format);
        if local.content.replace(content).is_some_and(|known| known != content) {
            return Err(changed());
        }
        let look = Arc::new(screen.look_at(room.hold(bytes)).await);
        let objection = look.finding().objection.clone();
        local.screened = Screened::Looked(Some(look));
        match objection.filter(|_| screen.does() == ScreenAction::Reject) {
            Some(objection) => Err(LocalRejection::rejected(objection)),
            None => Ok(()),
        }
    }

    /// What may be the cause where the service refused the image and gave none.
    pub(crate) async fn find_likely_cause(&self, local: &mut LocalOutcome) {
        let Some(screen) = &self.0.options.face_screen else { return };
        if let Screened::Looked(Some(look)) = &local.screened {
            let look = screen.with_likely_cause(Arc::clone(look)).await;
            local.screened = Screened::Looked(Some(look));
        }
    }
}

const MOST: u64 = MOST_BYTES as u64;
