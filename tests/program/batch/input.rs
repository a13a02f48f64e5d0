//! Inputs that end before their end, or are no files.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::desk::{Desk, INPUT, RESULTS};
use crate::rig::{Held, Running, by_index, fixture, gists, program_with, run};

/// Starts a run whose first source waits for its origin, so that the input is read ahead and no further.
fn begin(desk: &Desk, command: &mut Command) -> (Running, TcpStream) {
    let origin = Held::new();
    let others = (1..COUNT).map(|at| format!("no/such-{at}.jpg\n"));
    desk.put(INPUT, std::iter::once(origin.url() + "\n").chain(others).collect::<String>());
    let running = Running::start(command.args(["--concurrency", "1", "--timeout", "100"]));
    let held = origin.asked();
    (running, held)
}

fn shrink(desk: &Desk) {
    std::fs::File::options().write(true).open(desk.path(INPUT)).unwrap().set_len(0).unwrap();
}

/// Of lines: far more than is read ahead.
const COUNT: usize = 10_000;

/// What could be read must not pass for all there is.
#[cfg(unix)]
#[test]
fn an_input_that_breaks_off_is_a_run_that_stopped() {
    use std::io::Write as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    let desk = Desk::new();
    let images = desk.images(2);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    for image in &images {
        ours.write_all(format!("{}\n", image.url()).as_bytes()).unwrap();
    }
    // Where a reader would wait it gets an error instead: EAGAIN, after two good lines.
    theirs.set_nonblocking(true).unwrap();
    let mut command = desk.check(["--input", "-", "--output", &desk.at(RESULTS), "--exit-zero"]);
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    let done = run(&mut command);
    drop(ours);
    done.assert_status(4).says("error: line 3 of the input and all after it cannot be read: ");
    done.says("2 images: 2 accepted");
    assert_eq!(gists(&desk.results()), ["accepted"; 2], "no line for what is no source");
    // So the file is gone on with once the input is whole.
    desk.listed(3);
    run(&mut desk.resume([])).assert_status(0).says("2 of 3 images done before");
    assert_eq!(desk.results().len(), 3);
    assert_eq!(desk.rig.emu.billed(), 3);
    desk.rig.emu.finish();
}

#[cfg(unix)]
#[test]
fn an_input_that_is_deleted_is_read_to_its_end() {
    let desk = Desk::new();
    let (running, held) = begin(&desk, &mut desk.batch(["--ledger", "none"]));
    std::fs::remove_file(desk.path(INPUT)).unwrap();
    Held::answer(held);
    running.finish().assert_status(1);
    assert_eq!(desk.results().len(), COUNT);
}

#[test]
fn an_input_that_shrinks_under_way_is_a_run_that_stopped() {
    let desk = Desk::new();
    let (running, held) = begin(&desk, &mut desk.probe(["--resume"]));
    shrink(&desk);
    Held::answer(held);
    let done = running.finish();
    done.assert_status(4).says(&format!("the input had {COUNT} sources and ended after "));
}

#[test]
fn how_a_run_ends_is_not_a_matter_of_what_is_shown_of_it() {
    let desk = Desk::new();
    for how in ["none", "json"] {
        std::fs::remove_file(desk.path(RESULTS)).unwrap_or_default();
        let (running, held) = begin(&desk, &mut desk.probe(["--progress", how]));
        shrink(&desk);
        Held::answer(held);
        running.finish().assert_status(1);
        assert!(desk.results().len() < COUNT, "{how}: it did shrink under way");
    }
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_an_input_with_any_progress() {
    let desk = Desk::new();
    let pipe = desk.at("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for how in ["none", "json", "bar"] {
        // Its writer is gone before anyone could open it twice.
        let (to, image) = (pipe.clone(), fixture("plain.png"));
        let writer = std::thread::spawn(move || std::fs::write(to, image).unwrap());
        let command = ["probe", "--json", "--progress", how, "--input", &pipe];
        let done = run(&mut program_with(command));
        done.assert_status(1);
        assert_eq!(by_index(done.rows()).len(), 1);
        writer.join().unwrap();
    }
    let command = ["probe", "--output", &desk.at(RESULTS), "--resume", "--input", &pipe];
    run(&mut program_with(command)).assert_status(2).says("give it as a regular file");
}

#[test]
fn an_empty_input_is_done_at_once() {
    let desk = Desk::new();
    for content in ["", "\n \n\t\n", "\u{feff}\n"] {
        desk.put(INPUT, content);
        std::fs::remove_file(desk.path(RESULTS)).unwrap_or_default();
        let done = run(&mut desk.resume(["--progress", "json"]));
        done.assert_status(0).says("0 of 0 images done before").says("0 images\n");
        assert_eq!(desk.get(RESULTS), "");
    }
}
