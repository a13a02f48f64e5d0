//! Ends before the end: signals, and a reader that goes away. What was called for is still booked
//! and reported, and nothing new is called.

use std::time::Duration;

use emo_preflight::emulator::{Fate, Picture, Served};
use serde_json::Value;

use crate::rig::{Rig, Running, file, kill, program_with, rig, rows};

#[test]
fn a_signal_ends_a_batch_in_order() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        if signal == "HUP" && hangups_are_ignored() {
            println!("NOT RUN: SIGHUP is ignored here, and so by what the tests start (nohup)");
            continue;
        }
        let rig = rig();
        let served = slow_images(&rig);
        let mut running = Running::start(&mut slow_batch(&rig, &served, signal));
        running.line();
        until_calls_are_in_flight(&rig);
        kill(running.id(), signal);
        let done = running.finish();
        done.assert_status(status).says("stopping: no new calls");
        let rows = done.rows();
        assert!(rows.len() < served.len(), "unstarted sources get no line");
        settled(&rig, &rows);
        assert!(rig.emu.calls() < served.len() as u64);
        done.says(&format!("{} images: {} accepted", rows.len(), rows.len()));
    }
}

/// The program inherits it.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// As nohup(1) starts it.
#[test]
fn a_hangup_that_is_ignored_ends_nothing() {
    let rig = rig();
    let slow = rig.emu.serve("/slow.png", Picture::png(400, 400));
    rig.emu.script(&slow, [Fate::judge().late(Duration::from_secs(2))]);
    let check = rig.check([slow.url()]);
    let mut ignoring = std::process::Command::new("sh");
    ignoring.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(check.get_program());
    ignoring.args(check.get_args());
    for (name, value) in check.get_envs() {
        match value {
            Some(value) => ignoring.env(name, value),
            None => ignoring.env_remove(name),
        };
    }
    let running = Running::start(&mut ignoring);
    until_calls_are_in_flight(&rig);
    kill(running.id(), "HUP");
    let done = running.finish();
    done.assert_status(0);
    assert!(!done.stderr.contains("stopping"), "{}", done.stderr);
    assert_eq!(done.rows().len(), 1);
}

#[test]
fn a_lost_call_is_reported_as_unknown_after_a_signal() {
    let rig = rig();
    let lost = rig.emu.serve("/lost.png", Picture::png(400, 400));
    rig.emu.script(&lost, [Fate::judge().late(Duration::from_millis(300)).reset()]);
    let running = Running::start(&mut rig.check([lost.url()]));
    until_calls_are_in_flight(&rig);
    kill(running.id(), "INT");
    let done = running.finish();
    done.assert_status(130).says("up to 0.004 CNY more not known");
    let rows = done.rows();
    assert_eq!(rows.len(), 1);
    settled(&rig, &rows);
    assert_eq!(rows[0]["billing"]["certainty"], "unknown");
    rig.emu.finish();
}

#[test]
fn a_second_signal_ends_at_once() {
    let rig = rig();
    let slow = rig.emu.serve("/slow.png", Picture::png(400, 400));
    rig.emu.script(&slow, [Fate::judge().late(Duration::from_secs(50))]);
    let running = Running::start(&mut rig.check([slow.url()]));
    until_calls_are_in_flight(&rig);
    kill(running.id(), "INT");
    running.wait_for("stopping: no new calls");
    kill(running.id(), "TERM");
    let done = running.finish();
    // The last signal's number.
    done.assert_status(143).says("the bill of calls under way is unknown");
    assert_eq!(done.stdout, "", "the answer was not waited for");
}

#[test]
fn an_endless_stdin_does_not_hold_up_the_end() {
    let mut command = program_with(["probe", "--json", "--input", "-"]);
    let mut running = Running::start(command.stdin(std::process::Stdio::piped()));
    running.feed(b"nothing-here.jpg\n");
    assert!(running.line().contains("not_found"));
    kill(running.id(), "INT");
    let done = running.finish();
    done.assert_status(130).says("1 image: 1 rejected_local");
    assert_eq!(done.rows().len(), 1);
}

#[test]
fn a_reader_that_goes_away_ends_a_batch_in_order() {
    let rig = rig();
    let served = slow_images(&rig);
    let mut running = Running::start(&mut slow_batch(&rig, &served, "closed"));
    let first = running.line();
    running.close_stdout();
    let done = running.finish();
    done.assert_status(4).says("stopping: results can no longer be written");
    assert_eq!(rows(&first).len(), 1);
    assert!(rig.emu.calls() < served.len() as u64, "no new calls");
    // Nobody saw the results, so the summary has to own up to the money.
    done.says(&format!("spent {}.{:03} CNY", 0, rig.emu.billed() * 4));
}

#[test]
fn head_1_of_many_free_results_is_no_panic() {
    let list: String = (0..20_000).map(|number| format!("nothing-{number}.jpg\n")).collect();
    let list = file("head.txt", list);
    for lines in [0, 1] {
        let mut running = Running::start(&mut program_with([
            "probe",
            "--json",
            "--input",
            list.to_str().unwrap(),
        ]));
        for _ in 0..lines {
            rows(&running.line());
        }
        running.close_stdout();
        running.finish().assert_status(4).says("stopping: results can no longer be written");
    }
}

#[test]
fn a_stderr_that_nobody_reads_changes_nothing() {
    let rig = rig();
    let good = rig.emu.serve("/good.png", Picture::png(400, 400));
    rig.emu.script(&good, [Fate::throttled()]);
    let mut command = rig.check(["-vvv", good.url(), "not-a-url"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.env("RUST_LOG", "trace").stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(rows(std::str::from_utf8(&output.stdout).unwrap()).len(), 2);
    assert_eq!(rig.emu.billed(), 1);
    rig.emu.finish();
}

/// Each call for one of them takes a while.
fn slow_images(rig: &Rig) -> Vec<Served> {
    let image = Picture::png(400, 400);
    let serve = |number| {
        let served = rig.emu.serve(&format!("/{number}.png"), image.clone());
        rig.emu.script(&served, [Fate::judge().late(Duration::from_millis(250))]);
        served
    };
    (0..60).map(serve).collect()
}

fn slow_batch(rig: &Rig, served: &[Served], name: &str) -> std::process::Command {
    let list: Vec<&str> = served.iter().map(Served::url).collect();
    let list = file(&format!("slow-{name}.txt"), list.join("\n"));
    rig.check(["--concurrency", "6", "--input", list.to_str().unwrap()])
}

/// Billed before the delay, and the answer still to come.
fn until_calls_are_in_flight(rig: &Rig) {
    let seen = rig.emu.billed();
    crate::rig::until("a call is under way", || rig.emu.billed() > seen || rig.emu.billed() == 1);
}

/// Every call has its row, and the rows' bills are the service's.
fn settled(rig: &Rig, rows: &[Value]) {
    let sources: Vec<&str> = rows.iter().map(|row| row["source"].as_str().unwrap()).collect();
    for call in rig.emu.received() {
        let url = call.image_url.unwrap();
        assert_eq!(sources.iter().filter(|source| **source == url).count(), 1, "{url}");
    }
    assert_eq!(rig.emu.calls(), rows.len() as u64);
    let certain: u64 = rows.iter().map(|row| row["billing"]["images"].as_u64().unwrap()).sum();
    let unknown = rows.iter().filter(|row| row["billing"]["certainty"] == "unknown").count();
    assert_eq!(rig.emu.billed(), certain + unknown as u64);
}
