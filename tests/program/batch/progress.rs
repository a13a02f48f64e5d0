//! `--progress`: how a run is going, without harm to anything else.

use std::time::{Duration, Instant};

use emo_preflight::emulator::{Fate, Picture};
use serde_json::Value;

use super::desk::{Desk, INPUT, RESULTS, line, lines, screen};
use crate::rig::{
    Running, fixture, given_time, kill, on_a_terminal, on_a_terminal_of, program_with, run,
};

#[test]
fn json_says_how_it_goes_and_how_it_ended() {
    given_time(told_while_one_is_late);
}

/// None where all the others were not done while the late one was under way.
fn told_while_one_is_late(late: Duration) -> Option<()> {
    let desk = Desk::new();
    let images = desk.listed(6);
    let small = desk.rig.emu.serve("/5.png", Picture::png(399, 400));
    desk.rig.emu.script(&images[0], [Fate::judge().late(late * 2)]);
    desk.rig.emu.script(&images[1], [Fate::throttled()]);
    desk.rig.emu.script(&images[2], [Fate::judge().reset()]);
    // One was done before: it is not among what is to be done.
    desk.put(RESULTS, lines(&[line(3, images[3].url(), "accepted", "certain")]));
    let begun = Instant::now();
    let done = run(&mut desk.resume(["--progress", "json", "--timing", "progress=0.2"]));
    let took = begun.elapsed().as_secs_f64();
    done.assert_status(3);
    let (objects, others): (Vec<&str>, Vec<&str>) =
        done.stderr.lines().partition(|line| line.starts_with('{'));
    let objects: Vec<Value> =
        objects.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, object) in objects.iter().enumerate() {
        let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "calls",
                "calls_per_second",
                "done",
                "elapsed_s",
                "eta_s",
                "images_certain",
                "images_unknown",
                "in_flight",
                "progress",
                "quota_idle_s",
                "throttled",
                "total",
                "verdicts",
                "waiting"
            ]
        );
        assert_eq!((&object["progress"], &object["total"]), (&1.into(), &5.into()));
        // One each 0.2 s; the numbers are rounded.
        let elapsed = object["elapsed_s"].as_f64().unwrap();
        let is_last = line + 1 == objects.len();
        assert!(is_last || elapsed > 0.2 * (line + 1) as f64 - 0.06, "{line}: {object}");
        assert!(elapsed < took + 0.06, "{took}: {object}");
    }
    let during = objects.iter().find(|object| object["done"] == 4 && object["in_flight"] == 1)?;
    let end = objects.last().unwrap();
    for object in [during, end] {
        assert_eq!((&object["throttled"], &object["images_unknown"]), (&1.into(), &1.into()));
    }
    // Calls that are answered: a 429 and its repeat, a lost one, and image 4's.
    assert_eq!((&during["calls"], &during["images_certain"]), (&4.into(), &2.into()), "{during}");
    // 4 of 5: a quarter of the time more, one would think.
    let [elapsed, eta] = ["elapsed_s", "eta_s"].map(|key| during[key].as_f64().unwrap());
    assert!((eta - elapsed / 4.0).abs() <= 0.6, "{during}");
    assert_eq!(
        (&end["done"], &end["in_flight"], &end["eta_s"]),
        (&5.into(), &0.into(), &0.0.into())
    );
    assert_eq!((&end["calls"], &end["images_certain"]), (&5.into(), &3.into()), "{end}");
    let [elapsed, rate] = ["elapsed_s", "calls_per_second"].map(|key| end[key].as_f64().unwrap());
    assert!((rate - 5.0 / elapsed).abs() < 0.2, "{end}");
    let verdicts = serde_json::json!({"accepted": 3, "failed": 1, "rejected_local": 1});
    assert_eq!(end["verdicts"], verdicts);
    // All else on stderr is as without it.
    assert_eq!(others.len(), 13, "{others:?}");
    assert_eq!(others[0], "1 of 6 images done before");
    assert!(others[1].starts_with("new ledger: "));
    assert!(others[2].starts_with("5 images: 3 accepted, 1 failed, 1 rejected_local"));
    assert_eq!(desk.rig.emu.calls_for(&small), 0);
    desk.rig.emu.finish();
    Some(())
}

#[test]
fn what_needs_a_call_is_expected_at_the_quotas_pace() {
    let desk = Desk::new();
    let small = desk.rig.emu.serve("/small.png", Picture::png(399, 400));
    let mut list = vec![small; 300];
    list.extend(desk.images(60));
    desk.list(&list);
    let mut command = program_with(["check", "--allow-private-network", "--progress", "json"]);
    command.args(["--base-url", &desk.rig.emu.base_url(), "--ledger", "none", "--rps", "1"]);
    command.args(["--input", &desk.at(INPUT), "--output", &desk.at(RESULTS)]);
    command.args(["--timing", "progress=0.2"]).env("DASHSCOPE_API_KEY", crate::rig::KEY);
    let running = Running::start(&mut command);
    // Once all but calls is done.
    let during = loop {
        let line: Value = running.wait_for("\"rejected_local\":300").parse().unwrap();
        let number = |key: &str| line[key].as_u64().unwrap();
        if number("waiting") >= 5 && number("waiting") + number("in_flight") == 360 - number("done")
        {
            break line;
        }
    };
    kill(running.id(), "TERM");
    running.finish().assert_status(143);
    // At the rate so far it would be a moment; but the calls are one a second.
    let [left, eta] = ["waiting", "eta_s"].map(|key| during[key].as_f64().unwrap());
    assert!((left - 1.0..=left + 1.0).contains(&eta), "{during}");
}

#[test]
fn a_narrow_terminal_cuts_no_word_and_never_the_money() {
    for (columns, shown) in
        [(200, "0.004 CNY, 1 accepted, 1 rejected_local"), (60, "0.004 CNY, 1 accepted")]
    {
        given_time(|late| {
            let desk = Desk::new();
            let small = desk.rig.emu.serve("/small.png", Picture::png(399, 400));
            let images = desk.images(2);
            desk.rig.emu.script(&images[1], [Fate::judge().late(late)]);
            desk.list(&[small, images[0].clone(), images[1].clone()]);
            let command = desk.batch(["--concurrency", "3"]);
            let Some(done) = on_a_terminal_of(columns, &command) else { return Some(()) };
            let written = &done.assert_status(1).stdout;
            let widest = screen(written).iter().map(|line| line.chars().count()).max();
            assert!(widest.is_some(), "{columns}");
            let drawn: Vec<&str> =
                written.split(['\r', '\n']).filter(|line| line.contains(" 2/3 ")).collect();
            (!drawn.is_empty()).then(|| {
                let is_shown = drawn.iter().any(|line| line.contains(shown));
                assert!(is_shown, "{columns}: {written:?}");
            })
        });
    }
}

#[test]
fn where_the_end_is_not_known_it_is_not_guessed() {
    let mut command = program_with(["probe", "--json", "--progress", "json", "--input", "-"]);
    let done = crate::rig::run_fed(&mut command, b"no/such.jpg\n");
    let object = done.stderr.lines().find(|line| line.starts_with('{')).unwrap();
    let object: Value = serde_json::from_str(object).unwrap();
    assert_eq!((&object["total"], &object["eta_s"]), (&Value::Null, &Value::Null));
    assert_eq!((&object["done"], &object["calls"]), (&1.into(), &0.into()));
}

#[test]
fn nothing_is_shown_where_nobody_looks_or_nobody_wants() {
    for how in ["none", "auto", "bar"] {
        let command = ["probe", "--json", "--progress", how, &fixture("plain.png")];
        let done = run(&mut program_with(command));
        let counts =
            "1 image: 1 rejected_local\nwhat to do:\n     1 × shortest_side_below_min: use";
        assert!(done.stderr.starts_with(counts), "{how}: {}", done.stderr);
    }
}

#[test]
fn a_bar_is_drawn_beside_a_file_and_gone_at_the_end() {
    let desk = Desk::new();
    for image in desk.listed(5) {
        desk.rig.emu.script(&image, [Fate::judge().late(Duration::from_millis(300))]);
    }
    for (how, drawn) in [("auto", true), ("bar", true), ("none", false)] {
        std::fs::remove_file(desk.path(RESULTS)).unwrap_or_default();
        // Each line of the log is one too: it must not end up in the bar.
        let mut command = desk.batch(["--concurrency", "2", "--progress", how, "-vv"]);
        // Without a ledger each is called for anew.
        command.args(["--ledger", "none"]).env("NO_COLOR", "1");
        let Some(done) = on_a_terminal(&command) else { return };
        let written = &done.assert_status(0).stdout;
        assert_eq!(written.contains("/5 "), drawn, "{how}: {written}");
        let screen = screen(written);
        let (log, said): (Vec<&String>, Vec<&String>) =
            screen.iter().filter(|line| !line.is_empty()).partition(|line| line.starts_with("20"));
        assert!(
            log.iter().any(|line| line.contains("source_done") || line.contains("emo_preflight"))
        );
        assert_eq!(said.len(), 7, "two steps with their commands: {how}: {screen:#?}");
        assert!(said[0].starts_with("ledger: none"), "{said:?}");
        assert_eq!(said[1], "5 images: 5 accepted");
        assert!(said[2].starts_with("rejected for free: 0; 5 images called for; spent 0.020"));
        assert_eq!(desk.results().len(), 5);
        for image in desk.images(5) {
            desk.rig.emu.script(&image, [Fate::judge().late(Duration::from_millis(300))]);
        }
    }
}

#[test]
fn rows_and_a_bar_share_a_terminal() {
    let desk = Desk::new();
    let images = desk.listed(6);
    for image in &images {
        desk.rig.emu.script(image, [Fate::judge().late(Duration::from_millis(200))]);
    }
    let mut command = program_with(["check", "--allow-private-network", "--progress", "bar"]);
    command.args(["--base-url", &desk.rig.emu.base_url(), "--input", &desk.at(INPUT)]);
    command.args(["--concurrency", "2", "--rps", "1000"]);
    command.env("DASHSCOPE_API_KEY", crate::rig::KEY).env("NO_COLOR", "1");
    let Some(done) = on_a_terminal(&command) else { return };
    let written = &done.assert_status(0).stdout;
    assert!(written.contains("/6 "), "a bar was there: {written}");
    let screen = screen(written);
    let shown: Vec<&String> = screen.iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(shown.len(), 1 + 1 + 6 + 2, "{screen:#?}");
    assert!(shown[1].starts_with("NUMBER  VERDICT"), "{shown:#?}");
    for row in &shown[2..8] {
        let index = images.iter().position(|image| row.ends_with(image.url())).unwrap();
        let number = index + 1;
        let url = images[index].url();
        let whole = format!("{number:>6}  accepted         PNG   400×400   0.004 CNY  {url}");
        assert_eq!(**row, whole);
    }
    assert_eq!(shown[8], "6 images: 6 accepted");
}

#[test]
fn rows_that_go_to_a_file_leave_the_bar_alone() {
    let desk = Desk::new();
    let list: String = (0..5_000).map(|at| format!("no/such-{at}.jpg\n")).collect();
    desk.put(INPUT, list);
    let Some(done) = on_a_terminal(&desk.probe(["--progress", "bar"])) else { return };
    let drawn = done.assert_status(1).stdout.matches("/5000 ").count();
    // Five times a second, and once when it comes.
    assert!((1..500).contains(&drawn), "{drawn}");
    assert_eq!(desk.results().len(), 5_000);
}
