//! The exit status, which scripts branch on.

use emo_preflight::emulator::{Fate, Picture};

use crate::rig::{KEY, by_index, file, fixture, gists, program_with, rig, rig_with, run, run_fed};

#[test]
fn all_good_is_0() {
    let rig = rig();
    let good = rig.emu.serve("/good.png", Picture::png(400, 400));
    let done = run(&mut rig.check([good.url(), good.url()]));
    done.assert_status(0);
    assert_eq!(gists(&done.rows()), ["accepted", "accepted"]);
    assert_eq!(rig.emu.billed(), 1, "equal sources are one question");

    let local = ["probe", "--json", "--allow-private-network", good.url()];
    let done = run(&mut program_with(local));
    done.assert_status(0);
    assert_eq!(gists(&done.rows()), ["eligible"]);
    assert_eq!(rig.emu.calls(), 1);
    rig.emu.finish();
}

#[test]
fn one_bad_image_decides_and_the_highest_applies() {
    let rig = rig();
    let emu = &rig.emu;
    let good = emu.serve("/good.png", Picture::png(400, 400));
    let small = emu.serve("/small.png", Picture::png(399, 400));
    let refused = emu.serve("/refused.png", Picture::png(400, 400));
    let boxes = emu.serve("/boxes.png", Picture::png(400, 400));
    let lost = emu.serve("/lost.png", Picture::png(400, 400));
    let encoded = fixture("dnl.jpg");
    let deferred =
        emu.serve("/deferred.jpg", Picture::bytes("image/jpeg", std::fs::read(encoded).unwrap()));
    let script = || {
        emu.script(&refused, [Fate::error(400, "InvalidFile.NoHuman")]);
        emu.script(&boxes, [Fate::boxes([10.0, 10.0, 20.0, 20.0], [0.0, 0.0, 400.0, 300.0])]);
        emu.script(&lost, [Fate::missing_box()]);
    };
    for (name, sources, status, expected) in [
        (
            "local",
            vec![&good, &small],
            1,
            vec!["accepted", "rejected_local shortest_side_below_min"],
        ),
        (
            "remote",
            vec![&refused, &good],
            1,
            vec!["rejected_remote InvalidFile.NoHuman", "accepted"],
        ),
        ("box", vec![&good, &boxes], 1, vec!["accepted", "box_mismatch ratio_mismatch"]),
        ("failed", vec![&lost, &good], 3, vec!["failed malformed_answer", "accepted"]),
        ("unsure", vec![&good, &deferred], 3, vec!["accepted", "undetermined size_deferred"]),
        (
            "highest",
            vec![&small, &deferred, &boxes],
            3,
            vec![
                "rejected_local shortest_side_below_min",
                "undetermined size_deferred",
                "box_mismatch ratio_mismatch",
            ],
        ),
    ] {
        for exit_zero in [false, true] {
            script();
            let mut command = rig.check(sources.iter().map(|served| served.url()));
            if exit_zero {
                command.arg("--exit-zero");
            }
            let done = run(&mut command);
            assert_eq!(gists(&by_index(done.rows())), expected, "{name}");
            done.assert_status(if exit_zero { 0 } else { status });
        }
    }
}

#[test]
fn a_key_that_does_not_work_stops_the_run_with_4() {
    for exit_zero in [false, true] {
        let rig = rig_with(|builder| builder.api_key("sk-another").rps(None));
        let served =
            ["/a.png", "/b.png", "/c.png"].map(|path| rig.emu.serve(path, Picture::png(400, 400)));
        let mut command = rig.check(served.iter().map(|image| image.url()));
        command.args(["--concurrency", "1"]).args(exit_zero.then_some("--exit-zero"));
        let done = run(&mut command);
        done.assert_status(4);
        let rows = done.rows();
        let skipped = "skipped InvalidApiKey";
        assert_eq!(gists(&rows), ["failed InvalidApiKey", skipped, skipped]);
        assert_eq!(by_index(rows).len(), 3);
        assert_eq!(rig.emu.calls(), 1);
        assert_eq!(served.map(|image| rig.emu.fetches_of(&image)), [2, 0, 0]);
        done.says("3 images: 1 failed, 2 skipped");
        rig.emu.finish();
    }
}

#[test]
fn what_no_other_call_can_survive_stops_the_run() {
    for (fate, code) in [
        (Fate::error(400, "Arrearage"), "Arrearage"),
        (Fate::error(403, "AccessDenied.Unpurchased"), "AccessDenied.Unpurchased"),
        (
            Fate::error_inside_200("BailianGateway.Workspace.NotAuthorised"),
            "BailianGateway.Workspace.NotAuthorised",
        ),
    ] {
        let rig = rig();
        let first = rig.emu.serve("/a.png", Picture::png(400, 400));
        let rest = rig.emu.serve("/b.png", Picture::png(400, 400));
        rig.emu.script(&first, [fate]);
        let done = run(rig.check([first.url(), rest.url()]).args(["--concurrency", "1"]));
        done.assert_status(4);
        assert_eq!(gists(&done.rows()), [format!("failed {code}"), format!("skipped {code}")]);
        assert_eq!(rig.emu.fetches_of(&rest), 0);
        rig.emu.finish();
    }
}

#[test]
fn wrong_usage_is_2_and_says_what_would_be_right() {
    let missing = "no-such-file-here.txt";
    for (arguments, says) in [
        (vec![], "Usage: emo-preflight"),
        (vec!["prob"], "a similar subcommand exists: 'probe'"),
        (vec!["probe", "--bogus", "a.jpg"], "--bogus"),
        (vec!["probe"], "--input"),
        (vec!["check"], "--input"),
        (vec!["probe", "--ratio", "16:9", "a"], "aspect ratio must be 1:1 or 3:4, found \"16:9\""),
        (vec!["probe", "--concurrency", "0", "a"], "0 is not in 1..=10000"),
        (vec!["probe", "--per-host", "0", "a"], "0 is not in 1..=10000"),
        (vec!["probe", "--timeout", "-1", "a"], "above 0 and at most 86400, found \"-1\""),
        (vec!["probe", "--timeout", "0", "a"], "above 0"),
        (vec!["probe", "--timeout", "nan", "a"], "above 0"),
        (vec!["probe", "--timeout", "inf", "a"], "above 0"),
        (vec!["probe", "--timeout", "soon", "a"], "above 0"),
        (vec!["probe", "--timeout", "1e-12", "a"], "above 0"),
        (vec!["probe", "--max-header-bytes", "1023", "a"], "1023"),
        (vec!["probe", "--input", missing], missing),
        (vec!["probe", "--input", "."], "it is a directory"),
        (vec!["check", "--call-timeout", "-1", "a"], "above 0"),
        (vec!["check", "--rps", "0", "a"], "above 0, found \"0\""),
        (vec!["check", "--rps", "-5", "a"], "above 0, found \"-5\""),
        (vec!["check", "--rps", "nan", "a"], "above 0"),
        (vec!["check", "--rps", "0", "--dry-run", "a"], "above 0"),
        (vec!["check", "--rps", "1001", "a"], "to 1000"),
        (vec!["check", "--model", "", "a"], "the model must have a name"),
        (vec!["check", "--base-url", "", "a"], "the base URL must not be empty"),
        (vec!["check", "--base-url", "ftp://h/", "a"], "https, found the scheme \"ftp\""),
        (vec!["check", "--base-url", "http://192.0.2.1/api/v1", "a"], "http on loopback only"),
        (vec!["check", "--base-url", "http://example.com/api/v1", "a"], "http on loopback only"),
        (vec!["check", "--base-url", "https://u:p@example.com/", "a"], "no userinfo"),
        (
            vec!["check", "--base-url", "https://dashscope.aliyuncs.com/compatible-mode/v1", "a"],
            "give https://dashscope.aliyuncs.com/api/v1",
        ),
        (
            vec!["check", "--dry-run", "--base-url", "https://h/compatible-mode/v1", "a"],
            "give https://h/api/v1",
        ),
        (
            vec!["serve", "--listen", "127.0.0.1:0", "--base-url", "https://h/services/aigc/x"],
            "must be the one that ends in /api/v1, found https://h/services/aigc/x",
        ),
        (vec!["check", "--service", "", "a"], "the service must have a name"),
        (vec!["emo-body"], "--audio-url"),
        (vec!["emo-body", ".", "--audio-url", "speech.wav"], "found a local path"),
        (vec!["emo-body", ".", "--audio-url", ""], "http or https URL, found nothing"),
        (vec!["emo-body", ".", "--audio-url", "file:///a.wav"], "found the scheme \"file\""),
        (vec!["emo-body", missing, "--audio-url", "https://h/a.wav"], missing),
        (
            vec!["emo-body", ".", "--audio-url", "https://h/a.wav", "--style-level", "wild"],
            "normal, calm, active",
        ),
        (vec!["emulator", "--listen", "localhost:1"], "such as 127.0.0.1:8484"),
        (vec!["emulator", "--listen", "0.0.0.0:1"], "loopback only"),
    ] {
        let mut command = program_with(arguments.iter().copied());
        command.env("DASHSCOPE_API_KEY", KEY);
        let done = run(&mut command);
        assert_eq!(done.status, Some(2), "{arguments:?}: {}", done.stderr);
        assert_eq!(done.stdout, "", "{arguments:?}");
        assert!(done.stderr.contains(says), "{arguments:?} says {says:?}: {}", done.stderr);
        assert!(!done.stderr.contains(KEY), "{arguments:?}");
    }
}

#[test]
fn without_a_good_key_nothing_begins() {
    let rig = rig();
    let good = rig.emu.serve("/good.png", Picture::png(400, 400));
    for (key, says) in [
        (None, "set DASHSCOPE_API_KEY"),
        (Some(""), "set DASHSCOPE_API_KEY"),
        (Some("  \n"), "set DASHSCOPE_API_KEY"),
        (Some("sk-with a-space"), "printable ASCII"),
        (Some("sk-zwölf"), "printable ASCII"),
        (Some("sk-1\r\nX-Evil: 1"), "printable ASCII"),
    ] {
        let mut command = rig.check([good.url(), "--exit-zero"]);
        match key {
            Some(key) => command.env("DASHSCOPE_API_KEY", key),
            None => command.env_remove("DASHSCOPE_API_KEY"),
        };
        let done = run(&mut command);
        done.assert_status(2).says(says);
        assert_eq!(done.stdout, "");
        assert!(key.is_none_or(|key| key.trim().is_empty() || !done.stderr.contains(key)));
    }
    assert_eq!((rig.emu.calls(), rig.emu.fetches_of(&good)), (0, 0));
}

#[test]
fn an_empty_input_is_nothing_to_complain_of() {
    let empty = file("empty.txt", "");
    for (arguments, says) in [
        (vec!["probe", "--input", empty.to_str().unwrap()], "0 images"),
        (vec!["probe", "--input", "-"], "0 images"),
        (vec!["check", "--dry-run", "--input", "-"], "would make at most 0 calls"),
    ] {
        let done = run_fed(&mut program_with(arguments), b"");
        done.assert_status(0).says(says);
        assert_eq!(done.stdout, "");
    }
}
