//! `--max-calls` and `--run`: a hard cap, over however many processes.

use emo_preflight::emulator::Fate;

use super::desk::{Desk, LEDGER};
use crate::rig::{Running, gist, gists, run};

#[test]
fn a_cap_ends_the_run_and_goes_on_where_it_was() {
    let desk = Desk::new();
    desk.listed(6);
    let cap = |most| ["--run", "pilot", "--max-calls", most];
    let done = run(&mut desk.batch(cap("2")));
    done.assert_status(4).says("4 skipped").says("spent 0.008 CNY");
    let rows = desk.results();
    assert_eq!(rows.iter().filter(|row| gist(row) == "accepted").count(), 2);
    assert_eq!(rows.iter().filter(|row| gist(row) == "skipped cap_reached").count(), 4);
    let message = rows.iter().find_map(|row| row["reasons"][0]["message"].as_str()).unwrap();
    assert!(message.contains("the run \"pilot\" must have at most 2 calls"), "{message}");
    // Again, and it is still reached: the cap is the run's, not the process's.
    run(&mut desk.resume(cap("2"))).assert_status(4).says("2 of 6 images done before");
    assert_eq!((desk.results().len(), desk.rig.emu.calls()), (6, 2));
    run(&mut desk.resume(cap("5"))).assert_status(4);
    assert_eq!((desk.results().len(), desk.rig.emu.calls()), (6, 5));
    // Another run has its own.
    run(&mut desk.resume(["--run", "rest", "--max-calls", "1"])).assert_status(0);
    assert_eq!(gists(&desk.results()), ["accepted"; 6]);
    assert_eq!(desk.rig.emu.billed(), 6);
    desk.rig.emu.finish();
}

#[test]
fn what_the_ledger_know_takes_nothing_from_a_cap() {
    let desk = Desk::new();
    let images = desk.listed(4);
    run(&mut desk.check([images[0].url(), images[1].url()])).assert_status(0);
    run(&mut desk.batch(["--max-calls", "2"])).assert_status(0);
    assert_eq!(gists(&desk.results()), ["accepted"; 4]);
    assert_eq!(desk.rig.emu.billed(), 4);
}

#[test]
fn what_may_have_been_billed_counts_and_what_was_not_does_not() {
    let desk = Desk::new();
    let images = desk.listed(5);
    desk.rig.emu.script(&images[0], [Fate::judge().reset()]);
    desk.rig.emu.script(&images[1], [Fate::error(400, "InvalidFile.NoHuman")]);
    let cap = ["--concurrency", "1", "--run", "r", "--max-calls", "3"];
    run(&mut desk.batch(cap)).assert_status(4);
    assert_eq!(
        gists(&desk.results()),
        [
            "failed billing_unknown",
            "rejected_remote InvalidFile.NoHuman",
            "accepted",
            "accepted",
            "skipped cap_reached"
        ]
    );
    assert_eq!(desk.rig.emu.billed(), 3);
    desk.rig.emu.finish();
}

#[test]
fn a_cap_of_none_is_a_run_without_calls() {
    let desk = Desk::new();
    desk.listed(3);
    run(&mut desk.batch(["--max-calls", "0"])).assert_status(4);
    assert_eq!(gists(&desk.results()), ["skipped cap_reached"; 3]);
    assert_eq!(desk.rig.emu.calls(), 0);
}

#[test]
fn several_processes_are_one_run() {
    let desk = Desk::new();
    let images = desk.images(24);
    let part = |at: usize| {
        let sources = images[at * 8..][..8].iter().map(|image| image.url());
        let mut command = desk.check(sources);
        command.args(["--run", "together", "--max-calls", "10"]);
        command
    };
    let all: Vec<Running> = (0..3).map(|at| Running::start(&mut part(at))).collect();
    let done: Vec<_> = all.into_iter().map(Running::finish).collect();
    assert!(done.iter().any(|done| done.status == Some(4)));
    let rows: Vec<_> = done.iter().flat_map(|done| done.rows()).collect();
    assert_eq!(rows.len(), 24);
    assert_eq!(rows.iter().filter(|row| gist(row) == "accepted").count(), 10);
    assert_eq!(rows.iter().filter(|row| gist(row) == "skipped cap_reached").count(), 14);
    assert_eq!(desk.rig.emu.calls(), 10);
    assert!(desk.path(LEDGER).is_file());
}
