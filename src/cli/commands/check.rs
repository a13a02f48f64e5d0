//! `check`: the local stage, then the paid call for what passes.

use crate::cli::args::CheckArguments;
use crate::cli::hints;
use crate::cli::input::resume::Redo;
use crate::cli::job::Job;
use crate::cli::ledger::Place;
use crate::cli::status::Status;
use crate::cli::terminal::next_steps::Cap;
use crate::cli::terminal::summary::Calls;
use crate::cli::terminal::{ask, text};
use crate::gate::DryRun;
use crate::{Ledger, Probe};

pub(in crate::cli) async fn run(mut arguments: CheckArguments) -> anyhow::Result<Status> {
    if arguments.output.resume {
        arguments.gate.hold_cap_of("--resume")?;
    }
    if arguments.dry_run {
        return dry_run(arguments).await;
    }
    let key = hints::key_from_env()?;
    let place = arguments.gate.ledger.place()?;
    let redo = Redo {
        model: Some(arguments.gate.model.clone()),
        eligible: true,
        unknown: arguments.gate.retry_unknown,
    };
    let mut job = Job::prepare(&arguments.sources, &arguments.output, redo).await?;
    if let Some(most) = arguments.gate.max_calls {
        // Named here, so that the run can be gone on with.
        let fresh = arguments.gate.run.is_none().then(|| format!("{:016x}", fastrand::u64(..)));
        arguments.gate.run = arguments.gate.run.or_else(|| fresh.clone());
        job.is_capped(Cap { most, fresh });
    }
    // Last of what can go wrong without cost, first of what costs: nothing was fetched or paid yet.
    if ask::is_wanted(&arguments)
        && !ask::may_begin(job.to_do(&arguments.sources), arguments.gate.rps)?
    {
        text::tell("not begun: nothing was fetched or paid");
        return Ok(Status::Stopped);
    }
    let timing = arguments.gate.timing;
    let work = async |ledger| {
        let probe = arguments.screen.added_to(arguments.local.probe_options())?;
        let gate = arguments.gate.gate(key, ledger, probe).build().await?;
        job.progress_every = timing.progress;
        job.begin()?;
        let run = gate.run(job.sources(), arguments.local.run_options());
        Ok(job.finish(run, Calls::Made, Some((gate, arguments.gate.rps))).await)
    };
    place.with_ledger(timing.ledger, work).await
}

async fn dry_run(arguments: CheckArguments) -> anyhow::Result<Status> {
    let probe = Probe::new(arguments.screen.added_to(arguments.local.probe_options())?)?;
    let place = arguments.gate.ledger.place()?;
    let work = async |ledger: Option<&Ledger>| {
        // What it comes to depends on what the ledger knows.
        match (&place, &ledger) {
            (Place::Memory, _) => text::say("ledger: none"),
            (place, None) => text::say(format_args!("ledger: {place} (not there yet)")),
            (place, Some(_)) => text::say(format_args!("ledger: {place}")),
        }
        let dry = DryRun::new(
            probe,
            ledger.cloned(),
            arguments.gate.base_url.as_deref(),
            arguments.gate.service.as_deref(),
            &arguments.gate.model,
        )?
        .max_age(arguments.gate.ledger_max_age)
        .retry_unknown(arguments.gate.retry_unknown);
        let redo = Redo {
            model: Some(arguments.gate.model.clone()),
            eligible: false,
            unknown: arguments.gate.retry_unknown,
        };
        let mut job = Job::prepare(&arguments.sources, &arguments.output, redo).await?;
        job.progress_every = arguments.gate.timing.progress;
        job.begin()?;
        let run = dry.run(job.sources(), arguments.local.run_options());
        Ok(job.finish(run, Calls::HeldBack { most: arguments.gate.max_calls }, None).await)
    };
    place.with_read_only(work).await
}
