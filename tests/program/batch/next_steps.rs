//! What `check` says can be done next, as commands to paste and options to add.

use std::process::Command;

use emo_preflight::emulator::{Fate, Picture};

use super::desk::{Desk, INPUT, RESULTS};
use crate::rig::{Done, by_index, gists, program, rows, run};

/// The commands that are offered: each stands by itself, two columns in.
fn offered(done: &Done) -> Vec<String> {
    let commands = done.stderr.lines().filter_map(|line| line.strip_prefix("  emo-preflight "));
    commands.map(str::to_owned).collect()
}

/// The options that the same command goes on with, in the line with these words.
fn options(done: &Done, words: &str) -> Vec<String> {
    let line = done.stderr.lines().find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("no {words} in {}", done.stderr));
    let (_, options) = line.split_once("the same command, with ").unwrap();
    options.split(' ').map(str::to_owned).collect()
}

/// Runs it as a shell does that it is pasted into.
fn pasted(desk: &Desk, command: &str) -> Done {
    let program = program();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("'{}' {command}", program.get_program().to_str().unwrap()));
    let check = desk.check([]);
    for (name, value) in check.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir(desk.path(INPUT).parent().unwrap());
    run(shell.stdin(std::process::Stdio::null()))
}

#[test]
fn each_step_works() {
    let desk = Desk::new();
    let images = desk.listed(3);
    let results = desk.at("it's mine.jsonl");
    desk.rig.emu.script(&images[1], [Fate::judge().reset()]);
    desk.rig.emu.script(&images[2], [Fate::error(400, "InvalidParameter"), Fate::judge()]);
    let input = desk.at(INPUT);
    let done = run(&mut desk.check(["--input", &input, "--output", &results]));
    done.assert_status(3);
    let steps = offered(&done);
    let quoted = format!("\"{results}\"");
    assert_eq!(
        steps,
        [
            format!("report {quoted} -o report.html"),
            format!("emo-body {quoted} --audio-url https://example.org/speech.wav > bodies.jsonl"),
        ]
    );
    assert_eq!(options(&done, "no verdict yet:"), ["--resume"]);
    assert_eq!(options(&done, "may pay twice:"), ["--resume", "--retry-unknown"]);
    done.says("to ask again, once, about 1 image of unknown bill, which may pay twice:");

    pasted(&desk, &steps[1]).assert_status(0);
    assert_eq!(desk.get("bodies.jsonl").lines().count(), 1);
    let same = |more: &[&str]| {
        let mut command = desk.check(["--input", &input, "--output", &results]);
        run(command.args(more))
    };
    let done = same(&["--resume"]);
    done.assert_status(3);
    assert!(!done.stderr.contains("no verdict yet"), "nothing is left: {}", done.stderr);
    same(&["--resume", "--retry-unknown"]).assert_status(0);
    let rows = by_index(rows(&std::fs::read_to_string(&results).unwrap()));
    assert_eq!(gists(&rows), ["accepted"; 3]);
}

#[test]
fn a_step_is_offered_only_where_it_applies() {
    let desk = Desk::new();
    let images = desk.listed(1);
    desk.rig.emu.script(&images[0], [Fate::refused_by_model()]);
    let done = run(&mut desk.batch([]));
    assert_eq!(offered(&done), [format!("report {} -o report.html", desk.at(RESULTS))]);
    // Results on stdout are in no file; --quiet wants no words; probe and a dry run pay for nothing.
    for mut command in [desk.check([images[0].url()]), desk.resume(["--quiet"]), desk.dry_run([])] {
        let done = run(&mut command);
        assert_eq!(offered(&done), [""; 0], "{}", done.stderr);
    }
    let done = run(&mut desk.check(["--output", &desk.at("none.jsonl"), "--input", "-"]));
    done.assert_status(0);
    assert_eq!(offered(&done), [""; 0], "of nothing there is nothing to see: {}", done.stderr);
}

#[test]
fn no_signature_is_shown_with_a_step() {
    let desk = Desk::new();
    let image = desk.rig.emu.serve("/a.png", Picture::png(400, 400));
    let lost = || desk.rig.emu.script(&image, [Fate::judge().reset()]);
    let words = "which may pay twice: the same command, with --resume --retry-unknown";
    let signed = format!("{}?Signature=secret", image.url());
    lost();
    let done = run(&mut desk.check(["--output", &desk.at("1.jsonl"), &signed]));
    done.assert_status(3).says(words);
    assert!(!done.stderr.contains("secret"), "{}", done.stderr);
    assert_eq!(offered(&done).len(), 1);
}

/// The same command would be refused by the same cap again.
#[test]
fn after_a_cap_the_next_step_goes_on_under_a_higher_one() {
    for run_given in [["--run", "pilot"].as_slice(), &[]] {
        let desk = Desk::new();
        let images = desk.listed(5);
        desk.rig.emu.script(&images[0], [Fate::judge().reset(), Fate::judge()]);
        let mut first = desk.batch(["--concurrency", "1", "--max-calls", "2"]);
        let done = run(first.args(run_given));
        done.assert_status(4);
        let go_on = options(&done, "no verdict yet, under a higher cap:");
        let retry = options(&done, "may pay twice:");
        assert!(go_on.ends_with(&["--max-calls".to_owned(), "5".to_owned()]), "{go_on:?}");
        assert!(retry.ends_with(&["--max-calls".to_owned(), "6".to_owned()]), "{retry:?}");
        for options in [&go_on, &retry] {
            let names_run = options.iter().any(|option| option == "--run");
            assert_eq!(names_run, run_given.is_empty(), "{options:?}");
        }
        let same = |more: &[String]| {
            let mut command = desk.batch(["--concurrency", "1"]);
            run(command.args(run_given).args(more))
        };
        same(&go_on).assert_status(3);
        let rows = by_index(desk.results());
        assert_eq!(gists(&rows[1..]), ["accepted"; 4], "{go_on:?}");
        same(&retry).assert_status(0);
        assert_eq!((desk.rig.emu.calls(), desk.results().len()), (6, 5));
    }
}
