//! What `check` says can be done next, as commands to paste.

use std::process::Command;

use emo_preflight::emulator::{Fate, Picture};

use super::desk::{Desk, INPUT, RESULTS};
use crate::rig::{Done, by_index, gists, program, rows, run};

/// The commands that are offered: each stands by itself, two columns in.
fn offered(done: &Done) -> Vec<String> {
    let commands = done.stderr.lines().filter_map(|line| line.strip_prefix("  emo-preflight "));
    commands.map(str::to_owned).collect()
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
fn each_step_can_be_pasted() {
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
    let check = format!(
        "check --json --allow-private-network --rps 1000 --base-url {} --input {input} --output {quoted}",
        desk.rig.emu.base_url()
    );
    let with = |more: &str| check.replacen("check", &format!("check {more}"), 1);
    assert_eq!(
        steps,
        [
            format!("report {quoted} -o report.html"),
            with("--resume"),
            with("--resume --retry-unknown"),
            format!("emo-body {quoted} --audio-url https://example.org/speech.wav > bodies.jsonl"),
        ]
    );
    done.says("to ask again, once, about 1 image of unknown bill, which may pay twice:");

    pasted(&desk, &steps[3]).assert_status(0);
    assert_eq!(desk.get("bodies.jsonl").lines().count(), 1);
    let done = pasted(&desk, &steps[1]);
    done.assert_status(3);
    assert_eq!(offered(&done).len(), 3, "nothing is left to go on with: {}", done.stderr);
    pasted(&desk, &steps[2]).assert_status(0);
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
fn a_command_that_would_not_work_or_must_not_be_shown_is_told_in_words() {
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
        for cap in [["--max-calls", "2"].as_slice(), &["--max-calls=2"]] {
            let desk = Desk::new();
            let images = desk.listed(5);
            desk.rig.emu.script(&images[0], [Fate::judge().reset(), Fate::judge()]);
            let input = desk.at(INPUT);
            let mut first = desk.batch(["--concurrency", "1"]);
            let done = run(first.args(cap).args(run_given));
            done.assert_status(4).says("no verdict yet, under a higher cap:");
            let steps = offered(&done);
            let go_on = steps.iter().find(|step| step.contains("--resume --")).unwrap();
            assert!(go_on.contains("--max-calls 5 "), "{go_on}");
            assert!(!go_on.contains("--retry-unknown"), "{go_on}");
            let retry = steps.iter().find(|step| step.contains("--retry-unknown")).unwrap();
            assert!(retry.contains("--max-calls 6 "), "{retry}");
            for step in [go_on, retry] {
                assert_eq!(step.matches("--max-calls").count(), 1, "{step}");
                assert_eq!(step.matches("--run ").count(), 1, "{step}");
                assert!(step.contains(&input), "{step}");
            }
            pasted(&desk, go_on).assert_status(3);
            let rows = by_index(desk.results());
            assert_eq!(gists(&rows[1..]), ["accepted"; 4], "{go_on}");
            pasted(&desk, retry).assert_status(0);
            assert_eq!((desk.rig.emu.calls(), desk.results().len()), (6, 5));
        }
    }
}
