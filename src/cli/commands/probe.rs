//! `probe`: the local stage alone.

use crate::Probe;
use crate::cli::args::ProbeArguments;
use crate::cli::input::resume::Redo;
use crate::cli::job::Job;
use crate::cli::status::Status;
use crate::cli::terminal::summary::Calls;

pub(in crate::cli) async fn run(arguments: ProbeArguments) -> anyhow::Result<Status> {
    let mut options = arguments.screen.added_to(arguments.local.probe_options())?;
    options.local_files = true;
    let probe = Probe::new(options)?;
    let redo = Redo { model: None, eligible: false, unknown: false };
    let mut job = Job::prepare(&arguments.sources, &arguments.output, redo).await?;
    job.begin()?;
    let run = probe.run(job.sources(), arguments.local.run_options());
    Ok(job.finish(run, Calls::NotAsked, None).await)
}
