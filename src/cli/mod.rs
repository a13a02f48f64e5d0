//! The program: arguments in, tables or JSON Lines out, an exit status.
//!
//! Everything it does is the library's; nothing here knows HTTP.

mod args;
mod demo;
mod emo_body;
mod gallery;
mod input;
mod output;
mod signals;
mod status;
mod text;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::args::{Arguments, CheckArguments, Command, ProbeArguments};
use crate::cli::output::{Money, Printer};
use crate::cli::status::Status;
use crate::{ApiKey, Preflight, Probe, Run};

/// Runs the program with the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&anyhow::anyhow!("cannot start: {error}")),
    };
    let outcome = runtime.block_on(run(arguments.command));
    // A name that is still being looked up must not hold up the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(status) => status.into(),
        Err(error) => complain(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<Status> {
    match command {
        Command::Probe(arguments) => probe(arguments).await,
        Command::Check(arguments) => check(arguments).await,
        Command::EmoBody(arguments) => emo_body::run(&arguments),
        Command::Emulator(arguments) => demo::serve(arguments.listen).await,
        Command::Demo => demo::run().await,
    }
}

async fn probe(arguments: ProbeArguments) -> anyhow::Result<Status> {
    let mut options = arguments.local.probe_options();
    options.local_files = true;
    let probe = Probe::new(options)?;
    let run = probe.run(arguments.sources.open()?, arguments.local.run_options());
    finish(run, arguments.output.printer(Money::Nothing), arguments.output.exit_zero).await
}

async fn check(arguments: CheckArguments) -> anyhow::Result<Status> {
    let options = arguments.local.probe_options();
    let sources = arguments.sources.open()?;
    let run_options = arguments.local.run_options();
    let exit_zero = arguments.output.exit_zero;
    if arguments.dry_run {
        let run = Probe::new(options)?.run(sources, run_options);
        return finish(run, arguments.output.printer(Money::WouldCost), exit_zero).await;
    }
    let gate = arguments.gate(ApiKey::from_env()?).probe(options).build().await?;
    let run = gate.run(sources, run_options);
    let status = finish(run, arguments.output.printer(Money::Costs), exit_zero).await;
    gate.close().await;
    status
}

/// Prints a run's reports until it ends, is stopped by a signal, or nobody reads them any more.
async fn finish(mut run: Run, mut printer: Printer, exit_zero: bool) -> anyhow::Result<Status> {
    let signal = signals::stop_on_signal(run.stopper());
    printer.print_all(&mut run).await;
    printer.summary();
    Ok(match signal.received() {
        Some(signal) => Status::Signal(signal),
        None => printer.status(exit_zero),
    })
}

impl CheckArguments {
    fn gate(&self, key: ApiKey) -> crate::PreflightBuilder {
        let gate = Preflight::builder(key)
            .model(&self.model)
            .call_timeout(self.call_timeout)
            .calls_per_second(self.rps);
        let gate = match &self.base_url {
            Some(url) => gate.base_url(url),
            None => gate,
        };
        match &self.workspace {
            Some(id) => gate.workspace(id),
            None => gate,
        }
    }
}

fn complain(error: &anyhow::Error) -> ExitCode {
    text::tell(format_args!("error: {error:#}"));
    Status::Usage.into()
}

fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "emo_preflight=warn",
        1 => "emo_preflight=info",
        2 => "emo_preflight=debug",
        _ => "emo_preflight=trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // It would report a closed stderr on stderr, and panic, in whatever task was logging.
        .log_internal_errors(false)
        .init();
}
