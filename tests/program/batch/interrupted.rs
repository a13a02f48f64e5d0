//! Signals in the middle of a batch with a results file, and what comes after.

use std::time::Duration;

use emo_preflight::emulator::{Fate, Served};

use super::desk::{Desk, RESULTS, line, lines};
use crate::rig::{Held, Running, gist, gists, kill, rows, run, until};

#[test]
fn a_batch_that_a_signal_ended_is_completed_by_resume() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let desk = Desk::new();
        let images = slow(&desk, 40, Duration::from_millis(120));
        let mut parts = 0;
        loop {
            let billed = desk.rig.emu.billed();
            assert!(parts < 10);
            let running = Running::start(&mut desk.resume(["--concurrency", "4"]));
            if billed + 12 > 40 {
                running.finish().assert_status(0);
                break;
            }
            until("some more are billed", || desk.rig.emu.billed() >= billed + 12);
            kill(running.id(), signal);
            let done = running.finish();
            parts += 1;
            done.assert_status(status).says("stopping: no new calls");
            assert!(!done.stderr.contains("\n\n"), "no blank line where ^C shows nothing");
            // Every line is whole, and every call that was billed has one.
            let now = rows(&desk.get(RESULTS));
            assert_eq!(now.len() as u64, desk.rig.emu.billed());
            assert!(now.iter().all(|row| gist(row) == "accepted"));
        }
        assert!(parts > 1);
        assert_eq!(gists(&desk.results()), ["accepted"; 40]);
        assert_eq!(desk.rig.emu.billed(), 40, "each once");
        for image in &images {
            assert_eq!(desk.rig.emu.calls_for(image), 1);
        }
        desk.rig.emu.finish();
    }
}

#[test]
fn a_second_signal_leaves_whole_lines_and_an_unknown_bill() {
    let desk = Desk::new();
    let images = desk.listed(3);
    desk.rig.emu.script(&images[2], [Fate::judge().late(Duration::from_secs(50))]);
    let running = Running::start(&mut desk.batch([]));
    until("two are done", || rows_of(&desk) == 2 && desk.rig.emu.billed() == 3);
    kill(running.id(), "TERM");
    running.wait_for("stopping: no new calls");
    kill(running.id(), "INT");
    let done = running.finish();
    done.assert_status(130).says("the bill of calls under way is unknown");
    assert_eq!(rows_of(&desk), 2, "the answer was not waited for");
    run(&mut desk.resume([])).assert_status(3);
    assert_eq!(gists(&desk.results()), ["accepted", "accepted", "failed billing_unknown"]);
    assert_eq!(desk.rig.emu.billed(), 3);
    desk.rig.emu.finish();
}

#[test]
fn a_signal_while_nothing_but_fetches_are_under_way_loses_no_kept_line() {
    let desk = Desk::new();
    let silent = Held::new();
    let never = silent.url();
    let images = desk.images(1);
    desk.put(super::desk::INPUT, format!("{}\n{never}\n", images[0].url()));
    let kept = line(0, images[0].url(), "accepted", "certain");
    desk.put(RESULTS, lines(&[kept.clone(), line(1, &never, "undetermined", "none")]));
    // Longer than the rig lets it live.
    let running = Running::start(&mut desk.resume(["--timeout", "80000"]));
    let _held = silent.asked();
    kill(running.id(), "INT");
    running.finish().assert_status(130);
    assert_eq!(desk.get(RESULTS), lines(&[kept]));
    desk.no_copy_is_left();
    assert_eq!(desk.rig.emu.calls(), 0);
}

/// So many images as the input, each call for one of which takes a while.
fn slow(desk: &Desk, count: usize, late: Duration) -> Vec<Served> {
    let images = desk.listed(count);
    for image in &images {
        desk.rig.emu.script(image, [Fate::judge().late(late)]);
    }
    images
}

fn rows_of(desk: &Desk) -> usize {
    std::fs::read_to_string(desk.path(RESULTS)).map_or(0, |text| text.matches('\n').count())
}
