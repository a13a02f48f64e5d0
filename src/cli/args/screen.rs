//! The face screen.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::{FaceScreen, ProbeOptions, ScreenAction};

#[derive(Debug, Args)]
#[command(next_help_heading = "Local stage")]
pub(in crate::cli) struct ScreenArguments {
    /// Look for a face in what passes by its header
    ///
    /// advise: say what was found; reject: make no call for what surely has no usable face. Fetches whole
    /// images.
    #[arg(long, value_name = "HOW", default_value = "off")]
    screen_faces: ScreenFaces,
    /// Model of SeetaFace's frontal detector to look with [default: built in]
    #[arg(long, value_name = "FILE", requires = "screen_faces", hide_short_help = true)]
    face_model: Option<PathBuf>,
}

/// What is done with what the face screen finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScreenFaces {
    Off,
    Advise,
    Reject,
}

impl ScreenArguments {
    /// The local stage with the screen, if there is to be one.
    pub(in crate::cli) fn added_to(&self, options: ProbeOptions) -> anyhow::Result<ProbeOptions> {
        let action = match self.screen_faces {
            ScreenFaces::Off => return Ok(options),
            ScreenFaces::Advise => ScreenAction::Advise,
            ScreenFaces::Reject => ScreenAction::Reject,
        };
        let screen = match &self.face_model {
            None => FaceScreen::new(),
            Some(path) => std::fs::read(path)
                .map_err(anyhow::Error::from)
                .and_then(|bytes| Ok(FaceScreen::from_model(&bytes)?))
                .with_context(|| path.display().to_string())?,
        };
        Ok(options.face_screen(screen.action(action)))
    }
}
