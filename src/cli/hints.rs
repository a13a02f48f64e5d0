//! What mends an error, where the error itself cannot know it: it comes from the library, which has no
//! options.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::{ApiKey, KeyError, LedgerError};

/// The key, or what can be done without one.
pub(super) fn key_from_env() -> anyhow::Result<ApiKey> {
    ApiKey::from_env().map_err(|error| match error {
        KeyError::Missing => anyhow::anyhow!(
            "{error}; no key is needed for `emo-preflight demo`, which shows the whole flow, for probe \
             and for check --dry-run"
        ),
        error => error.into(),
    })
}

/// To be put behind a ledger's error.
pub(super) fn of_ledger(error: &LedgerError) -> &'static str {
    match error {
        LedgerError::Open { path, .. } if !path.contains("://") => {
            "; --ledger FILE keeps it elsewhere, --ledger none in memory"
        }
        LedgerError::Separated { .. } => {
            "; emo-preflight ledger adopt goes on with a copy that no other process uses"
        }
        _ => "",
    }
}

/// Prints what clap says of the arguments (an error, or the help) and ends the program.
pub(super) fn end_with<T>(error: clap::Error) -> T {
    let image = error.get(ContextKind::InvalidSubcommand).and_then(|named| match named {
        ContextValue::String(named) if error.kind() == ErrorKind::InvalidSubcommand => Some(named),
        _ => None,
    });
    // A command has neither; an image that is given without a command has both, mostly.
    if let Some(image) = image.filter(|named| named.contains(['.', '/'])) {
        let _ = error.print();
        let image = crate::cli::terminal::next_steps::quoted(image);
        crate::cli::terminal::text::tell(format_args!(
            "\nto check an image for free: emo-preflight probe {image}"
        ));
        std::process::exit(error.exit_code());
    }
    error.exit()
}
