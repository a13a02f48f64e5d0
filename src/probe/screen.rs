//! The face screen's part of the local stage: the whole file, then a look at it.

use std::sync::Arc;

use super::content::Content;
use super::fetch::{changed, fetch_whole};
use super::{LocalOutcome, LocalRejection, Probe, Shared, file};
use crate::faces::{HeldFile, Look, MOST_BYTES, ScreenAction};
use crate::report::{Screen, Verdict};
use crate::run::{Source, looks_like_url};

/// How far an image has come with the screen.
#[derive(Default)]
pub(super) enum Screened {
    #[default]
    NotYet,
    /// The file is here.
    Taken(HeldFile),
    /// It was looked at, or could not be.
    Looked(Option<Arc<Look>>),
}

impl Screened {
    pub(super) fn into_screen(self) -> Option<Screen> {
        match self {
            Self::Looked(look) => look?.finding().screen.clone(),
            Self::NotYet | Self::Taken(_) => None,
        }
    }
}

impl Shared {
    pub(super) fn screens(&self) -> bool {
        self.options.face_screen.is_some()
    }
}

impl Probe {
    /// The whole file of an image whose header can be read, by the rules of the local stage but the
    /// limits; the error says why there is none.
    #[cfg(feature = "cli")]
    pub(crate) async fn file_of(&self, source: &Source) -> Result<Vec<u8>, String> {
        let mut local = self.inspect(source).await;
        let said = |local: &LocalOutcome| {
            let rejection = local.rejection.as_ref()?;
            rejection.reasons.first().map(|reason| reason.message.clone())
        };
        let not_there = || "the image must be fetched whole, found no origin to ask".to_owned();
        let Some(origin) = local.origin.take() else {
            return Err(said(&local).unwrap_or_else(not_there));
        };
        let length = origin.version.total.filter(|length| *length > MOST_BYTES as u64);
        if let Some(length) = length {
            return Err(format!("the file must have at most {MOST_BYTES} bytes, found {length}"));
        }
        let spent = local.fetch.unwrap_or_default();
        let (bytes, _) = fetch_whole(&self.0, origin, MOST_BYTES, spent).await;
        bytes.map_err(|rejection| said(&rejection.into()).unwrap_or_else(not_there))
    }

    /// Whether the image is still to be looked at.
    pub(crate) fn is_to_screen(&self, local: &LocalOutcome) -> bool {
        let passes = local.rejection.is_none() && local.header.is_some();
        self.0.screens() && passes && !matches!(local.screened, Screened::Looked(_))
    }

    /// Whether its bytes are still to be taken for that.
    pub(crate) fn is_to_take(&self, local: &LocalOutcome) -> bool {
        self.is_to_screen(local) && matches!(local.screened, Screened::NotYet)
    }

    /// Takes the rest of an image that passed by its header. One that cannot be had in time and bytes is
    /// not looked at; one that turns out to be another than it was is to be looked at once more.
    pub(crate) async fn take_whole(&self, source: &Source, local: &mut LocalOutcome) {
        let (Some(screen), Some(header)) = (&self.0.options.face_screen, local.header) else {
            return;
        };
        if !self.is_to_take(local) {
            return;
        }
        if let (Some(origin), Some(spent)) = (local.origin.take(), local.fetch) {
            let length = origin.version.total;
            if length.is_some_and(|length| length > MOST_BYTES as u64) {
                local.screened = Screened::Looked(None);
                return;
            }
            let room = screen.room_for(length).await;
            let (found, spent) = fetch_whole(&self.0, origin, MOST_BYTES, spent).await;
            local.fetch = Some(spent);
            let found = found.and_then(|bytes| match local.content {
                Some(content) if content != Content::of(&bytes, header.format) => Err(changed()),
                _ => Ok(bytes),
            });
            match found {
                Ok(bytes) => local.screened = Screened::Taken(room.hold(bytes)),
                Err(rejection) if rejection.says_changed() => self.look_again(source, local).await,
                Err(rejection) if rejection.verdict == Verdict::RejectedLocal => {
                    local.rejection = Some(rejection);
                }
                Err(rejection) => {
                    tracing::debug!(
                        index = source.index,
                        why = rejection.reasons.first().map(|reason| reason.message.as_str()),
                        "not_screened"
                    );
                    local.screened = Screened::Looked(None);
                }
            }
            return;
        }
        let path =
            Some(&source.text).filter(|text| self.0.options.local_files && !looks_like_url(text));
        local.screened = match path {
            Some(path) => {
                let room = screen.room_for(None).await;
                let bytes = file::whole(path.clone(), MOST_BYTES).await;
                bytes.map_or(Screened::Looked(None), |bytes| Screened::Taken(room.hold(bytes)))
            }
            None => Screened::Looked(None),
        };
    }

    /// Looks at an image that was taken.
    pub(crate) async fn screen(&self, local: &mut LocalOutcome) {
        let Some(screen) = &self.0.options.face_screen else { return };
        // One that turned out to be another may break a limit.
        if !self.is_to_screen(local) || !matches!(local.screened, Screened::Taken(_)) {
            return;
        }
        let Screened::Taken(file) = std::mem::take(&mut local.screened) else { return };
        let look = Arc::new(screen.look_at(file).await);
        if let (Some(objection), ScreenAction::Reject) = (&look.finding().objection, screen.does())
        {
            local.rejection = Some(LocalRejection::rejected(objection.clone()));
        }
        local.screened = Screened::Looked(Some(look));
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
