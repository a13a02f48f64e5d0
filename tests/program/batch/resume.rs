//! `--resume`: what stands, what is done over, and what a results file is at the end.

use emo_preflight::emulator::{Fate, Picture};
use serde_json::{Value, json};

use super::desk::{Desk, INPUT, RESULTS, line, lines};
use crate::rig::{Held, Running, gist, gists, kill, rows, run, until};

/// Every kind of line, and who does it over.
const KINDS: [(&str, &str, Over); 11] = [
    ("accepted", "certain", Over::Never),
    ("rejected_local", "none", Over::Never),
    ("rejected_remote", "certain", Over::Never),
    ("box_mismatch", "certain", Over::Never),
    ("failed", "certain", Over::Never),
    ("failed", "unknown", Over::WhenUnknownIsRetried),
    ("failed ledger_error", "certain", Over::WhenUnknownIsRetried),
    ("eligible", "none", Over::WhenCalled),
    ("skipped", "none", Over::Always),
    ("undetermined", "none", Over::Always),
    ("failed", "none", Over::Always),
];

#[derive(Clone, Copy, PartialEq)]
enum Over {
    Never,
    Always,
    WhenCalled,
    WhenUnknownIsRetried,
}

#[test]
fn lines_that_stand_are_kept_to_the_byte_and_the_others_done_over() {
    for (mode, calls, retries) in [
        ("check", true, false),
        ("check --retry-unknown", true, true),
        ("dry-run", false, false),
        ("dry-run --retry-unknown", false, true),
        ("probe", false, false),
    ] {
        let desk = Desk::new();
        let images = desk.listed(KINDS.len());
        let earlier: Vec<Value> = KINDS
            .iter()
            .enumerate()
            .map(|(at, (verdict, certainty, _))| {
                let (verdict, code) = verdict.split_once(' ').unwrap_or((verdict, ""));
                let mut line = line(at, images[at].url(), verdict, certainty);
                if !code.is_empty() {
                    line["reasons"] = json!([{"code": code, "message": "why"}]);
                }
                line
            })
            .collect();
        desk.put(RESULTS, lines(&earlier));
        let mut command = match mode {
            "probe" => desk.probe(["--resume"]),
            _ => desk.resume([]),
        };
        if mode.starts_with("dry-run") {
            command.arg("--dry-run").env_remove("DASHSCOPE_API_KEY");
        }
        if retries {
            command.arg("--retry-unknown");
        }
        let done = run(&mut command);
        let over = |over| match over {
            Over::Never => false,
            Over::Always => true,
            Over::WhenCalled => calls,
            Over::WhenUnknownIsRetried => retries,
        };
        let now = desk.results();
        let new = if calls { "accepted" } else { "eligible" };
        let file = desk.get(RESULTS);
        for (at, (verdict, certainty, when)) in KINDS.iter().enumerate() {
            let what = format!("{mode}: {verdict} {certainty}");
            let fetched = desk.rig.emu.fetches_of(&images[at]) > 0;
            assert_eq!(fetched, over(*when), "{what}");
            let earlier_verdict = &earlier[at]["verdict"];
            assert_eq!(now[at]["verdict"] == *earlier_verdict, !over(*when), "{what}");
            assert!(!over(*when) || now[at]["verdict"] == new, "{what}");
            assert_eq!(file.contains(&format!("{}\n", earlier[at])), !over(*when), "{what}");
        }
        let redone = KINDS.iter().filter(|kind| over(kind.2)).count();
        assert_eq!(desk.rig.emu.billed(), if calls { redone as u64 } else { 0 }, "{mode}");
        // What was kept counts: a `failed` among it is 3, whatever came now.
        done.assert_status(3).says(&format!("{} of 11 images done before", 11 - redone));
        assert_eq!(done.stdout, "");
        desk.rig.emu.finish();
    }
}

#[test]
fn kept_lines_count_for_the_exit_status() {
    for (verdict, certainty, arguments, status) in [
        ("accepted", "certain", [].as_slice(), 0),
        ("rejected_local", "none", &[], 1),
        ("box_mismatch", "certain", &[], 1),
        ("failed", "unknown", &[], 3),
        ("failed", "unknown", &["--exit-zero"], 0),
        // Done over, so it counts no more.
        ("undetermined", "none", &[], 0),
    ] {
        let desk = Desk::new();
        let images = desk.listed(2);
        desk.put(RESULTS, lines(&[line(1, images[1].url(), verdict, certainty)]));
        run(&mut desk.resume(arguments.iter().copied())).assert_status(status);
        desk.results();
    }
}

#[test]
fn a_torn_last_line_is_cut_and_its_call_not_paid_again() {
    let desk = Desk::new();
    desk.listed(3);
    run(&mut desk.batch([])).assert_status(0);
    let whole = desk.get(RESULTS);
    let last = whole.trim_end().rfind('\n').unwrap() + 1;
    // Nothing but a brace, half of it, all of it but its newline.
    for end in [last + 1, last + (whole.len() - last) / 2, whole.len() - 1] {
        desk.put(RESULTS, &whole[..end]);
        let done = run(&mut desk.resume([]));
        done.assert_status(0).says("2 of 3 images done before");
        let rows = desk.results();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows.iter().filter(|row| row["from_ledger"] == true).count(), 1);
    }
    // A file that is nothing but half a line.
    desk.put(RESULTS, "{\"v\":1,\"ind");
    run(&mut desk.resume([])).assert_status(0).says("0 of 3 images done before");
    assert_eq!(desk.results().len(), 3);
    assert_eq!(desk.rig.emu.billed(), 3);
    desk.rig.emu.finish();
}

#[test]
fn two_lines_of_one_index_end_as_one() {
    let desk = Desk::new();
    let images = desk.listed(3);
    let twice = line(1, images[1].url(), "accepted", "certain");
    let mut other = twice.clone();
    other["request_id"] = "later".into();
    let over = line(0, images[0].url(), "skipped", "none");
    desk.put(RESULTS, lines(&[twice.clone(), over.clone(), other, over, twice]));
    run(&mut desk.resume([])).assert_status(0).says("1 of 3 images done before");
    let rows = desk.results();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1]["request_id"], "earlier");
    assert_eq!(desk.rig.emu.billed(), 2);
    desk.rig.emu.finish();
}

#[test]
fn a_finished_file_is_left_alone_and_costs_nothing() {
    let desk = Desk::new();
    let images = desk.listed(3);
    desk.rig.emu.script(&images[1], [Fate::refused_by_model()]);
    run(&mut desk.batch([])).assert_status(1);
    let (before, fetches) = (desk.get(RESULTS), desk.fetches(&images));
    let modified = || std::fs::metadata(desk.path(RESULTS)).unwrap().modified().unwrap();
    let written = modified();
    let done = run(&mut desk.resume([]));
    done.assert_status(1).says("3 of 3 images done before").says("0 images\n");
    assert_eq!(desk.get(RESULTS), before);
    assert_eq!(modified(), written, "it was not even written");
    assert_eq!((desk.rig.emu.calls(), desk.fetches(&images)), (3, fetches));
    desk.no_copy_is_left();
    desk.rig.emu.finish();
}

#[test]
fn an_absent_or_an_empty_file_makes_a_plain_run() {
    for absent in [true, false] {
        let desk = Desk::new();
        desk.listed(2);
        if !absent {
            desk.put(RESULTS, "");
        }
        run(&mut desk.resume([])).assert_status(0).says("0 of 2 images done before");
        assert_eq!(gists(&desk.results()), ["accepted"; 2]);
        desk.rig.emu.finish();
    }
}

#[test]
fn the_callers_own_fields_come_back_whenever_their_line_was_written() {
    let desk = Desk::new();
    let images = desk.images(4);
    let own = |at: usize| json!({"n": at, "big": u64::MAX, "deep": {"z": [null], "a": "ü"}});
    let list: String = images
        .iter()
        .enumerate()
        .map(|(at, image)| {
            let mut object = own(at);
            object["image_url"] = image.url().into();
            object["image_id"] = format!("portrait-{at}").into();
            object["ratio"] = if at % 2 == 0 { "1:1" } else { "3:4" }.into();
            format!("{object}\n\n")
        })
        .collect();
    desk.put(INPUT, list);
    run(&mut desk.batch(["--max-calls", "2", "--run", "r"])).assert_status(4);
    run(&mut desk.resume(["--max-calls", "9", "--run", "r"])).assert_status(0);
    for (at, row) in desk.results().iter().enumerate() {
        assert_eq!(row["input"], own(at));
        assert_eq!(row["image_id"], format!("portrait-{at}"));
        assert_eq!(row["ratio"], if at % 2 == 0 { "1:1" } else { "3:4" });
        assert_eq!(row["verdict"], "accepted");
    }
    assert_eq!(desk.rig.emu.billed(), 4);
    desk.rig.emu.finish();
}

#[test]
fn named_sources_keep_their_places_before_the_list() {
    let desk = Desk::new();
    let images = desk.images(3);
    desk.list(&images[1..]);
    desk.put(RESULTS, lines(&[line(1, images[1].url(), "accepted", "certain")]));
    run(&mut desk.resume([images[0].url()])).assert_status(0);
    let sources: Vec<Value> = desk.results().iter().map(|row| row["source"].clone()).collect();
    assert_eq!(sources, [images[0].url(), images[1].url(), images[2].url()]);
    assert_eq!(desk.rig.emu.billed(), 2);
}

#[test]
fn what_stopped_a_run_is_done_over_when_it_is_mended() {
    let desk = Desk::new();
    let images = desk.listed(5);
    desk.rig.emu.script(&images[0], [Fate::error(401, "InvalidApiKey")]);
    let done = run(&mut desk.batch(["--concurrency", "1"]));
    done.assert_status(4);
    let stopped = gists(&desk.results());
    assert_eq!(stopped[0], "failed InvalidApiKey");
    assert_eq!(stopped[1..], ["skipped InvalidApiKey"; 4].map(str::to_owned));
    run(&mut desk.resume([])).assert_status(0).says("0 of 5 images done before");
    assert_eq!(gists(&desk.results()), ["accepted"; 5]);
    assert_eq!(desk.rig.emu.billed(), 5);
    desk.rig.emu.finish();
}

#[test]
fn an_origin_that_recovers_is_asked_again() {
    let desk = Desk::new();
    let images = desk.listed(2);
    desk.rig.emu.serve("/1.png", Picture::status(403));
    run(&mut desk.batch([])).assert_status(3);
    assert_eq!(gist(&desk.results()[1]), "undetermined http_status");
    desk.rig.emu.serve("/1.png", Picture::png(400, 400));
    run(&mut desk.resume([])).assert_status(0);
    assert_eq!(gists(&desk.results()), ["accepted"; 2]);
    assert_eq!(desk.rig.emu.billed_for(&images[0]), 1);
    desk.rig.emu.finish();
}

#[test]
fn a_copy_that_a_crash_left_behind_does_not_matter() {
    let desk = Desk::new();
    let images = desk.listed(2);
    desk.put(RESULTS, lines(&[line(0, images[0].url(), "skipped", "none")]));
    desk.put(&format!("{RESULTS}.resuming"), "half a line of long ago, longer than all of it");
    run(&mut desk.resume([])).assert_status(0);
    assert_eq!(gists(&desk.results()), ["accepted"; 2]);
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_who_may_read_stays_who_may_read() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let desk = Desk::new();
    let images = desk.listed(2);
    let over = lines(&[line(0, images[0].url(), "skipped", "none")]);
    let real = desk.put("real.jsonl", over);
    // Results may hold signed URLs.
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
    symlink("real.jsonl", desk.path(RESULTS)).unwrap();
    run(&mut desk.resume([])).assert_status(0);
    assert!(std::fs::symlink_metadata(desk.path(RESULTS)).unwrap().is_symlink());
    assert_eq!(rows(&desk.get("real.jsonl")).len(), 2);
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    desk.no_copy_is_left();
}

#[test]
fn a_second_process_is_refused_at_once() {
    let desk = Desk::new();
    let images = desk.images(1);
    let origin = Held::new();
    desk.put(INPUT, format!("{}\n{}\n", origin.url(), images[0].url()));
    desk.put(RESULTS, lines(&[line(1, images[0].url(), "skipped", "none")]));
    let first = Running::start(&mut desk.resume(["--timeout", "100"]));
    let held = origin.asked();
    for command in [&mut desk.resume([]), &mut desk.batch([]), &mut desk.probe(["--resume"])] {
        let second = run(command);
        second.assert_status(2).says("another process is writing to").says(RESULTS);
        assert_eq!(second.stdout, "");
    }
    Held::answer(held);
    first.finish().assert_status(1);
    assert_eq!(gists(&desk.results()), ["rejected_local not_found", "accepted"]);
    desk.rig.emu.finish();
}

#[test]
fn of_many_that_go_on_at_once_one_at_a_time_does() {
    let desk = Desk::new();
    let images = desk.listed(20);
    let over: Vec<Value> =
        (0..20).map(|at| line(at, images[at].url(), "skipped", "none")).collect();
    for _ in 0..3 {
        desk.put(RESULTS, lines(&over));
        let all: Vec<Running> = (0..8).map(|_| Running::start(&mut desk.resume([]))).collect();
        let mut went_on = 0;
        for one in all {
            let done = one.finish();
            if done.status == Some(2) {
                done.says("another process is writing to");
            } else {
                done.assert_status(0);
                went_on += 1;
            }
        }
        assert!(went_on > 0);
        assert_eq!(desk.results().len(), 20);
    }
    assert_eq!(desk.rig.emu.billed(), 20);
}

#[cfg(unix)]
#[test]
fn a_process_that_was_killed_leaves_a_file_to_go_on_with() {
    let desk = Desk::new();
    let images = desk.listed(40);
    for image in &images {
        let late = std::time::Duration::from_millis(100);
        desk.rig.emu.script(image, [Fate::judge().late(late)]);
    }
    let running = Running::start(&mut desk.batch(["--concurrency", "4"]));
    until("some are done", || desk.rig.emu.billed() > 8);
    kill(running.id(), "KILL");
    assert_eq!(running.finish().status, None);
    let unknown = run(&mut desk.resume([]));
    let rows = desk.results();
    assert_eq!(rows.len(), 40);
    let lost = rows.iter().filter(|row| gist(row) == "failed billing_unknown").count();
    unknown.assert_status(if lost > 0 { 3 } else { 0 });
    assert!(lost <= 4, "{lost}");
    // What is unknown was not asked again.
    assert!(desk.rig.emu.billed() <= 40);
    run(&mut desk.resume(["--retry-unknown"])).assert_status(0);
    assert_eq!(gists(&desk.results()), ["accepted"; 40]);
}
