//! Without the face screen: nothing is looked at, and nothing is kept for it.

use super::{LocalOutcome, Probe, Shared};
use crate::report::Screen;
use crate::run::Source;

/// What the screen saw.
#[derive(Default)]
pub(super) struct Screened;

impl Screened {
    pub(super) fn into_screen(self) -> Option<Screen> {
        None
    }
}

impl Shared {
    pub(super) fn screens(&self) -> bool {
        false
    }
}

impl Probe {
    pub(crate) fn is_to_screen(&self, _: &LocalOutcome) -> bool {
        false
    }

    pub(crate) async fn take_whole(&self, _: &Source, _: &mut LocalOutcome) {}

    pub(crate) async fn screen(&self, _: &mut LocalOutcome) {}

    pub(crate) async fn find_likely_cause(&self, _: &mut LocalOutcome) {}
}
