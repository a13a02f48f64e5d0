//! `--timing`: the hidden option by which tests shorten waiting times.

use crate::rig::{KEY, program_with, run};

#[test]
fn a_waiting_time_is_a_known_name_and_a_positive_number() {
    for wrong in ["bussy=1", "busy", "busy=", "busy=0", "busy=-1", "busy=soon", "busy=1,turn=NaN"] {
        for command in [&["check", "a"][..], &["serve"]] {
            let command = || program_with(command.iter().copied());
            let found = wrong.split(',').next_back().unwrap();
            for done in [
                run(command().arg(format!("--timing={wrong}")).env("DASHSCOPE_API_KEY", KEY)),
                run(command().env("EMO_PREFLIGHT_TIMING", wrong).env("DASHSCOPE_API_KEY", KEY)),
            ] {
                done.assert_status(2).says("a waiting time must be NAME=SECONDS, above 0");
                done.says("write-within, write-again,").says("commit-within, progress;");
                done.says(&format!("found {found:?}"));
            }
        }
    }
    let done = run(&mut program_with(["check", "--timing", "busy=0.5,turn=2", "a", "--dry-run"]));
    done.assert_status(1);
}

#[test]
fn it_is_nothing_for_users() {
    for command in [["check", "--help"], ["serve", "--help"], ["man", "check"]] {
        let said = run(&mut program_with(command)).stdout.to_lowercase();
        assert!(!said.contains("timing") && !said.contains("waiting time"), "{command:?}: {said}");
    }
}
