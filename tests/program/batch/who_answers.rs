//! Who answers at the base URL, at which pace, and what the summary makes of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use emo_preflight::emulator::Picture;
use serde_json::Value;

use super::desk::{Desk, INPUT, LEDGER, RESULTS};
use crate::rig::{KEY, by_index, gists, program_with, rig_with, rows, run};

/// Answers every request with a page, and counts them.
fn pages(status: &'static str) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/api/v1", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            stream.read_exact(&mut vec![0; length]).unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let page = "<html>Who are you?</html>";
            let head = "Content-Type: text/html\r\nConnection: close";
            let length = page.len();
            let answer =
                format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{page}");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (base_url, calls)
}

/// `check` at this base URL, from the input into the results, under a cap that has its run's name.
fn batch(desk: &Desk, base_url: &str) -> Command {
    let mut command = program_with(["check", "--json", "--allow-private-network"]);
    command.args(["--base-url", base_url, "--max-calls", "60", "--run", "night"]);
    command.args(["--input", &desk.at(INPUT), "--output", &desk.at(RESULTS)]);
    command.args(["--ledger", &desk.at(LEDGER)]).env("DASHSCOPE_API_KEY", KEY);
    command
}

#[test]
fn a_wrong_base_url_is_told_after_three_calls_and_leaves_the_cap_alone() {
    let desk = Desk::new();
    let images = desk.listed(60);
    let (wrong, calls) = pages("404 Not Found");
    let done = run(batch(&desk, &wrong).args(["--rps", "20", "--concurrency", "4"]));
    let called = calls.load(Ordering::SeqCst);
    done.assert_status(4)
        .says("spent 0.000 CNY; saved")
        .says(&format!("stopped: not_the_service: the base URL {wrong} must lead to the service"))
        .says(
            "give one like https://dashscope.aliyuncs.com/api/v1 (--base-url, DASHSCOPE_HTTP_BASE",
        );
    let rows = by_index(rows(&desk.get(RESULTS)));
    let failed = rows.iter().filter(|row| row["verdict"] == "failed").count() as u64;
    assert_eq!((rows.len(), failed), (60, called), "{}", done.stderr);
    // Those that were under way when the third was answered, at the most.
    assert!((3..=7).contains(&called), "{called}");
    for row in &rows {
        assert_eq!(row["reasons"][0]["code"], "not_the_service", "{row}");
        assert_eq!(row["billing"]["certainty"], "none", "{row}");
    }
    let fetched = images.iter().filter(|image| desk.rig.emu.fetches_of(image) > 0).count();
    assert!(fetched <= 12, "{fetched}");

    let mut mended = batch(&desk, &desk.rig.emu.base_url());
    run(mended.args(["--rps", "1000", "--resume"])).assert_status(0);
    assert_eq!(gists(&desk.results()), ["accepted"; 60]);
    assert_eq!(desk.rig.emu.billed(), 60);
}

#[test]
fn a_login_page_keeps_all_but_three_bills_known() {
    let desk = Desk::new();
    desk.listed(20);
    let (wrong, calls) = pages("200 OK");
    let mut command = batch(&desk, &wrong);
    let done = run(command.args(["--rps", "20", "--concurrency", "1"]));
    done.assert_status(4)
        .says("3 images called for; spent 0.000 CNY, up to 0.012 CNY more not known")
        .says("stopped: not_the_service: the base URL ");
    let gists = gists(&desk.results());
    assert_eq!(gists[..3], ["failed billing_unknown"; 3]);
    assert_eq!(gists[3..], ["skipped not_the_service"; 17].map(str::to_owned));
    assert_eq!(desk.results()[2]["reasons"][1]["code"], "not_the_service");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[test]
fn a_base_url_that_is_hardly_right_gets_a_warning() {
    let warning = "WARN emo_preflight::detect::service: the base URL should end in /api/v1, found ";
    for (base_url, found) in [
        ("http://127.0.0.1:9/v1", Some("http://127.0.0.1:9/v1")),
        ("http://127.0.0.1:9/", Some("http://127.0.0.1:9")),
        ("http://127.0.0.1:9/api/v1/", None),
    ] {
        let done = run(&mut program_with(["check", "--dry-run", "--base-url", base_url, "no-url"]));
        done.assert_status(1);
        let warned = done.stderr.lines().find_map(|line| Some(line.split_once(warning)?.1));
        assert_eq!(warned, found, "{}", done.stderr);
    }
}

#[test]
fn after_throttling_the_summary_says_which_pace_to_take() {
    let desk = Desk::with(rig_with(|builder| builder.api_key(KEY).rps(Some(5))));
    desk.listed(20);
    let done = run(batch(&desk, &desk.rig.emu.base_url()).args(["--rps", "50"]));
    let (calls, refused) = (desk.rig.emu.calls(), desk.rig.emu.calls() - 20);
    done.assert_status(0)
        .says(&format!("20 images called for in {calls} calls; spent 0.080 CNY"))
        .says(" refused for the pace (429) of --rps 50; take --rps ");
    assert!(done.stderr.contains(&format!("{refused} call")), "{}", done.stderr);
    // The ledger says the same.
    let spend = run(&mut desk.spend(["--json"]));
    let total = serde_json::from_str::<Value>(&spend.stdout).unwrap()["total"].clone();
    assert_eq!((&total["accepted"], &total["refused"]), (&20.into(), &refused.into()));
    assert_eq!((&total["images_certain"], &total["images_at_most"]), (&20.into(), &20.into()));

    // Who is throttled at the documented pace is not the only one that calls.
    let desk = Desk::with(rig_with(|builder| builder.api_key(KEY).rps(Some(1))));
    desk.listed(2);
    let done = run(batch(&desk, &desk.rig.emu.base_url()).args(["--rps", "5"]));
    done.assert_status(0).says(" of --rps 5; let every program of the account share one ledger");
}

#[test]
fn a_named_service_is_known_again_under_another_base_url() {
    let desk = Desk::new();
    let image = desk.images(1).remove(0);
    let other = rig_with(|builder| builder.api_key(KEY).rps(None));
    let behind = other.emu.serve("/x.png", Picture::png(400, 400));
    for (rig, name, known) in
        [(&desk.rig, Some("ours"), false), (&other, Some("ours"), true), (&other, None, false)]
    {
        other.emu.elsewhere(image.url());
        let mut command = rig.check(["--ledger", &desk.at(LEDGER), image.url()]);
        if let Some(name) = name {
            command.env("EMO_PREFLIGHT_SERVICE", name);
        }
        let done = run(&mut command);
        done.assert_status(0);
        assert_eq!(done.rows()[0]["from_ledger"], known, "{name:?}");
    }
    assert_eq!((desk.rig.emu.calls(), other.emu.calls()), (1, 1));
    assert_eq!(other.emu.calls_for(&behind), 0);
}
