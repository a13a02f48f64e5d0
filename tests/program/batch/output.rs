//! `--output`: results in a file, whatever stdout is, and an end in order where it cannot be
//! written.

use std::time::Duration;

use emo_preflight::emulator::{Fate, Picture};

use super::desk::{Desk, INPUT, RESULTS};
use crate::rig::{Running, by_index, fixture, gists, kill, on_a_terminal, run, until};

#[test]
fn results_go_to_the_file_and_nothing_to_stdout() {
    let desk = Desk::new();
    let images = desk.images(2);
    let small = desk.rig.emu.serve("/small.png", Picture::png(399, 400));
    desk.list(&[images[0].clone(), small, images[1].clone()]);
    let done = run(&mut desk.batch([]));
    done.assert_status(1).says("3 images: 2 accepted, 1 rejected_local");
    assert_eq!(done.stdout, "");
    let in_file = desk.results();
    // As they would have come on stdout, but for how long it took, who paid, and the last bytes of
    // what was about to be paid for.
    let mut on_stdout = by_index(run(&mut desk.check(["--input", &desk.at(INPUT)])).rows());
    for (row, other) in on_stdout.iter_mut().zip(&in_file) {
        row["fetch"] = other["fetch"].clone();
        row["from_ledger"] = other["from_ledger"].clone();
    }
    assert_eq!(on_stdout, in_file);
    desk.rig.emu.finish();
}

#[test]
fn a_file_gets_json_lines_on_a_terminal_too() {
    let desk = Desk::new();
    desk.put(INPUT, fixture("plain.png"));
    let Some(done) = on_a_terminal(&desk.probe([])) else { return };
    done.assert_status(1);
    assert_eq!(gists(&desk.results()), ["rejected_local shortest_side_below_min"]);
    assert!(!done.stdout.contains("VERDICT"), "{}", done.stdout);
}

#[test]
fn a_probe_writes_and_goes_on_too() {
    let desk = Desk::new();
    let images = desk.images(1);
    let list = [images[0].url(), &fixture("plain.png"), "no/such.jpg"].join("\n");
    desk.put(INPUT, &list);
    let done = run(&mut desk.probe([]));
    done.assert_status(1);
    assert_eq!(done.stdout, "");
    let gist = ["eligible", "rejected_local shortest_side_below_min", "rejected_local not_found"];
    assert_eq!(gists(&desk.results()), gist);
    desk.put(INPUT, list + "\nno/other.jpg");
    run(&mut desk.probe(["--resume"])).assert_status(1).says("3 of 4 images done before");
    assert_eq!(desk.results().len(), 4);
    assert_eq!(desk.fetches(&images), 1, "what stands is not fetched again");
    // A check goes on with what a probe found out: only the eligible is worth its while.
    run(&mut desk.resume([])).assert_status(1).says("3 of 4 images done before");
    assert_eq!(gists(&desk.results())[0], "accepted");
    assert_eq!(desk.rig.emu.billed(), 1);
    desk.rig.emu.finish();
}

/// Whoever reads slowly holds up the results and nothing else: what has left is answered and booked.
#[test]
fn a_reader_that_stops_reading_costs_no_answer() {
    let desk = Desk::new();
    let image = desk.images(1).remove(0);
    desk.rig.emu.script(&image, [Fate::judge().late(Duration::from_millis(500))]);
    // Far more than a pipe and a buffer hold.
    let long = format!("no/{}", "x".repeat(2_000));
    let list = [vec![image.url()], vec![long.as_str(); 500]].concat().join("\n");
    desk.put(INPUT, list);
    let mut command = desk.check(["--input", &desk.at(INPUT)]);
    let running = Running::start(command.env("TOKIO_WORKER_THREADS", "1"));
    until("the call is answered", || desk.rig.emu.billed() == 1);
    until("the answer is booked", || {
        run(&mut desk.spend(["--json"])).stdout.contains("\"accepted\":1")
    });
    kill(running.id(), "INT");
    running.wait_for("stopping: no new calls");
    running.finish();
    desk.rig.emu.finish();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_run_in_order() {
    let desk = Desk::new();
    let images = desk.listed(40);
    for image in &images {
        desk.rig.emu.script(image, [Fate::judge().late(Duration::from_millis(50))]);
    }
    let mut command = desk.check(["--input", &desk.at(INPUT), "--output", "/dev/full"]);
    let done = run(command.args(["--concurrency", "3"]));
    done.assert_status(4).says("stopping: results can no longer be written: No space left");
    assert_eq!(done.stderr.matches("can no longer be written").count(), 1, "{}", done.stderr);
    assert!(desk.rig.emu.calls() < 40, "no new calls");
    // What had left was awaited and booked: the file can be made anew for nothing.
    done.says(&format!("spent 0.{:03} CNY", desk.rig.emu.billed() * 4));
    let billed = desk.rig.emu.billed();
    run(&mut desk.batch([])).assert_status(0);
    let known = desk.results().iter().filter(|row| row["from_ledger"] == true).count();
    assert_eq!(known as u64, billed);
    assert_eq!(desk.rig.emu.billed(), 40);
}

#[cfg(unix)]
#[test]
fn a_stdout_that_nobody_reads_does_not_matter_to_a_file() {
    let desk = Desk::new();
    desk.listed(3);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = desk.batch([]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(desk.results().len(), 3);
    assert!(desk.get(RESULTS).ends_with('\n'));
    desk.rig.emu.finish();
}
