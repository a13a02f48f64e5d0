//! The program: arguments in, tables or JSON Lines out, an exit status.
//!
//! What costs money is the library's; nothing here knows HTTP. What is the program's own: which lines
//! of an earlier run are asked again (`resume`).

mod args;
mod commands;
mod counts;
mod gate;
mod hints;
mod input;
mod job;
mod ledger;
mod output;
mod signals;
mod status;
mod terminal;
mod timing;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::args::{Arguments, Command, LogForm};
use crate::cli::output::Unwritable;
use crate::cli::status::Status;
use crate::cli::terminal::{colour, screen, text};
use crate::{GateError, LedgerError};

/// Runs the program with the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(hints::end_with);
    colour::apply(arguments.color);
    if arguments.quiet {
        text::be_quiet();
    }
    log_to_stderr(&arguments);
    raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&anyhow::anyhow!("cannot start: {error}")).into(),
    };
    // Not on a worker: results may have to wait for whoever reads them, and the calls under way,
    // and signals, must not wait with them.
    let outcome = runtime.block_on(run(arguments.command));
    // A name that is still being looked up must not hold up the exit.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| complain(&error)).into()
}

/// A shell's soft limit is often far below what the system allows, and too little for many sources
/// at a time. Where it cannot be raised, fetches wait for each other.
#[cfg(unix)]
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(not(unix))]
fn raise_descriptor_limit() {}

async fn run(command: Command) -> anyhow::Result<Status> {
    match command {
        Command::Probe(arguments) => commands::probe::run(arguments).await,
        Command::Check(arguments) => commands::check::run(*arguments).await,
        Command::Serve(arguments) => commands::serve::run(*arguments).await,
        Command::Spend(arguments) => commands::spend::run(&arguments).await,
        Command::EmoBody(arguments) => commands::emo_body::run(&arguments),
        Command::Report(arguments) => commands::report::run(*arguments).await,
        Command::Annotate(arguments) => commands::annotate::run(*arguments).await,
        Command::Ledger(command) => commands::ledger::run(command).await,
        Command::Emulator(arguments) => {
            commands::emulator::run(arguments.listen, arguments.rps).await
        }
        Command::Demo => commands::demo::run().await,
        Command::Completions { shell } => Ok(print(commands::manual::completions(shell))),
        Command::Man { command } => Ok(print(commands::manual::page(command.as_deref())?)),
    }
}

/// Prints a text on stdout.
fn print(text: impl AsRef<[u8]>) -> Status {
    match std::io::stdout().write_all(text.as_ref()) {
        Ok(()) => Status::Good,
        // Whoever read it has read enough.
        Err(_) => Status::Stopped,
    }
}

/// Says what went wrong. What no argument mends stops the program, all else is a wrong argument.
fn complain(error: &anyhow::Error) -> Status {
    let ledger = match error.downcast_ref() {
        // With --retry-unknown the gate is the first to read the ledger.
        Some(GateError::Ledger(error)) => Some(error),
        _ => error.downcast_ref::<LedgerError>(),
    };
    if let Some(error) = ledger {
        text::error(format_args!("{error}{}", hints::of_ledger(error)));
    } else if let Some(unwritable) = error.downcast_ref::<Unwritable>() {
        text::tell(unwritable);
    } else {
        text::error(format_args!("{error:#}"));
        return Status::Usage;
    }
    Status::Stopped
}

fn log_to_stderr(arguments: &Arguments) {
    let default = match (arguments.verbose, &arguments.command) {
        _ if arguments.quiet => "emo_preflight=error",
        // A line a request is what its operator expects.
        (0, Command::Serve(_)) => "emo_preflight=warn,emo_preflight::serve=info",
        (0, _) => "emo_preflight=warn",
        (1, _) => "emo_preflight=info",
        _ => "emo_preflight=debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| screen::Stderr)
        .with_ansi(console::colors_enabled_stderr())
        // It would report a closed stderr on stderr, and panic, in whatever task was logging.
        .log_internal_errors(false);
    match arguments.log {
        LogForm::Text => log.init(),
        LogForm::Json => log.json().flatten_event(true).with_current_span(false).init(),
    }
}
