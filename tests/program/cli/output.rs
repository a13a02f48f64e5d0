//! Stdout is data, stderr is talk; a terminal gets a table.

use std::time::Instant;

use emo_preflight::emulator::{Fate, Picture};
use serde_json::{Value, json};

use crate::rig::{
    KEY, by_index, file, fixture, gist, given_time, on_a_terminal, program_with, rig, run, run_fed,
};

#[test]
fn the_summary_counts_what_was_free_called_spent_and_saved() {
    let rig = rig();
    let emu = &rig.emu;
    let good = emu.serve("/good.png", Picture::png(400, 400));
    let small = emu.serve("/small.png", Picture::png(399, 400));
    let gif = emu.serve("/a.gif", Picture::gif(640, 640));
    let refused = emu.serve("/refused.png", Picture::png(400, 400));
    let unbilled = emu.serve("/unbilled.png", Picture::png(400, 400));
    let lost = emu.serve("/lost.png", Picture::png(400, 400));
    emu.script(&refused, [Fate::refused_by_model()]);
    emu.script(&unbilled, [Fate::error(400, "InvalidFile.NoHuman")]);
    emu.script(&lost, [Fate::judge().reset()]);
    let sources = [&good, &good, &small, &gif, &refused, &unbilled, &lost].map(|s| s.url());
    let done = run(&mut rig.check(sources));
    done.assert_status(3);
    let rows = by_index(done.rows());
    let bill =
        |row: &Value| format!("{} {}", row["billing"]["images"], row["billing"]["certainty"]);
    assert_eq!(
        rows.iter().map(bill).collect::<Vec<_>>(),
        [
            "1 \"certain\"",
            "1 \"certain\"",
            "0 \"none\"",
            "0 \"none\"",
            "1 \"certain\"",
            "0 \"none\"",
            "0 \"unknown\"",
        ]
    );
    let known = rows.iter().filter(|row| row["from_ledger"] == true).count();
    assert_eq!(known, 1, "the second time is known");
    assert_eq!(
        done.stderr,
        "ledger: none (in memory: what is paid for is forgotten at the end)\n\
         7 images: 2 accepted, 1 failed, 2 rejected_local, 2 rejected_remote\n\
         rejected for free: 2; 4 images called for; spent 0.008 CNY, up to 0.004 CNY more not \
         known; saved up to 0.012 CNY\n\
         what to do:\n     \
         1 × InvalidFile.NoHuman: use an image in which one person is clearly to be seen\n     \
         1 × billing_unknown: compare `spend --unknown` with the bill, or ask again with \
         --retry-unknown, which may pay twice\n     \
         1 × check_pass_false: use an image of one person, facing the camera, with the whole face in \
         sight; the service gave no cause\n     \
         1 × shortest_side_below_min: use a larger original; enlarging this one will not help\n     \
         1 × unsupported_format: convert the image to JPEG, PNG, BMP or WebP\n"
    );
    // What is said to be spent is what was billed, the unknown one included.
    assert_eq!(emu.billed(), 3);
    emu.finish();
}

#[test]
fn a_probe_speaks_of_no_money() {
    let done = run(&mut program_with(["probe", &fixture("plain.png"), "nothing.jpg"]));
    done.assert_status(1);
    assert_eq!(
        done.stderr,
        "2 images: 2 rejected_local\n\
         what to do:\n     \
         1 × not_found: check the URL or path: there is nothing there\n     \
         1 × shortest_side_below_min: use a larger original; enlarging this one will not help\n"
    );
    // Piped without --json: results all the same.
    assert_eq!(done.rows().len(), 2);
}

#[test]
fn diagnostics_go_to_stderr_and_uncoloured_into_a_pipe() {
    let rig = rig();
    let good = rig.emu.serve("/good.png", Picture::png(400, 400));
    rig.emu.script(&good, [Fate::throttled()]);
    let done = run(&mut rig.check(["-vvv", good.url()]));
    done.assert_status(0).says("call_repeats");
    assert_eq!(done.rows().len(), 1);
    assert!(!done.stderr.contains('\u{1b}'), "{}", done.stderr);
}

#[test]
fn a_terminal_gets_a_table() {
    let rig = rig();
    let good = rig.emu.serve("/good.png", Picture::png(400, 400));
    let boxes = rig.emu.serve("/boxes.png", Picture::png(400, 400));
    let lost = rig.emu.serve("/lost.png", Picture::png(400, 400));
    rig.emu.script(&boxes, [Fate::boxes([9.0, 9.0, 20.0, 20.0], [0.0, 0.0, 400.0, 410.0])]);
    rig.emu.script(&lost, [Fate::judge().reset()]);
    let mut command = program_with(["check", "--allow-private-network", "--concurrency", "1"]);
    command.args(["--base-url", &rig.emu.base_url(), good.url(), boxes.url(), lost.url()]);
    command.arg("a\u{202e}.jpg").env("DASHSCOPE_API_KEY", KEY);
    command.env("NO_COLOR", "1");
    let Some(done) = on_a_terminal(&command) else { return };
    done.assert_status(3);
    // The first line, on stderr, says where the ledger is.
    let lines: Vec<&str> = done.stdout.lines().skip(1).collect();
    assert_eq!(lines[0], "NUMBER  VERDICT          SIZE                MONEY  SOURCE and reasons");
    for (at, start, source) in [
        (1, "     1  accepted         PNG   400×400   0.004 CNY  ", good.url()),
        (2, "     2  box_mismatch     PNG   400×400   0.004 CNY  ", boxes.url()),
        (5, "     3  failed           PNG   400×400     unknown  ", lost.url()),
        (7, "     4  rejected_local   -                    free  ", "a\\u{202e}.jpg"),
    ] {
        assert_eq!(lines[at], format!("{start}{source}"), "{}", done.stdout);
    }
    assert!(lines[3].starts_with("        ratio_mismatch: ext_bbox must be 1:1 within"));
    assert!(lines[4].starts_with("        box_out_of_image: "), "{}", done.stdout);
    assert!(done.stdout.contains("\n4 images: 1 accepted, 1 box_mismatch, 1 failed, 1 rej"));

    // Told to, it is JSON there too, and nothing but.
    let command = program_with(["probe", "--json", &fixture("plain.png")]);
    let done = on_a_terminal(&command).unwrap();
    let row: Value = serde_json::from_str(done.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(gist(&row), "rejected_local shortest_side_below_min");
}

#[test]
fn rows_come_as_they_are_done() {
    // A reader of a pipe sees a result while the next one is still under way.
    given_time(|late| {
        let rig = rig();
        let good = rig.emu.serve("/good.png", Picture::png(400, 400));
        let slow = rig.emu.serve("/slow.png", Picture::png(400, 400));
        rig.emu.script(&slow, [Fate::judge().late(late)]);
        let list = file("as-done.txt", format!("{}\n{}\n", slow.url(), good.url()));
        let mut command = rig.check(["--input", list.to_str().unwrap()]);
        let begun = Instant::now();
        let mut running = crate::rig::Running::start(&mut command);
        let first: Value = serde_json::from_str(&running.line()).unwrap();
        // The other cannot have its answer yet.
        let in_time = begun.elapsed() < late;
        assert_eq!(running.finish().assert_status(0).rows().len(), 2);
        in_time.then(|| {
            assert_eq!((&first["index"], &first["source"]), (&1.into(), &good.url().into()));
        })
    });
}

/// Too few file descriptors are this process's trouble: fetches wait for each other.
#[cfg(unix)]
#[test]
fn few_file_descriptors_cost_time_and_no_verdict() {
    let rig = rig();
    let image = Picture::png(400, 400);
    let urls: Vec<String> = (0..300)
        .map(|n| rig.emu.serve(&format!("/{n}.png"), image.clone()).url().to_owned())
        .collect();
    let program = program_with(["probe", "--json", "--allow-private-network"]);
    let mut limited = std::process::Command::new("sh");
    limited.arg("-c").arg("ulimit -n 64; exec \"$@\"").arg("sh").arg(program.get_program());
    limited.args(program.get_args()).args(["--concurrency", "512", "--per-host", "512"]);
    let done = run_fed(limited.args(["--input", "-"]), urls.join("\n").as_bytes());
    let rows = by_index(done.rows());
    assert_eq!(rows.len(), 300);
    let odd: Vec<&Value> = rows.iter().filter(|row| row["verdict"] != "eligible").collect();
    assert_eq!(odd, [&json!(null); 0], "{odd:?}");
}
