//! `spend`: what calls have cost, to be held against the vendor's bill.

use std::time::Duration;

use emo_preflight::emulator::Fate;
use serde_json::{Value, json};

use super::desk::{Desk, LEDGER};
use super::ledger::change;
use crate::rig::{Running, kill, program_with, run, until};

#[test]
fn its_sums_are_what_the_service_billed() {
    let desk = booked();
    let emu = &desk.rig.emu;
    let done = run(&mut desk.spend(["--json"]));
    done.assert_status(0);
    let spend: Value = serde_json::from_str(&done.stdout).unwrap();
    let total = json!({
        "accepted": 3, "rejected_billed": 1, "box_mismatch": 1, "failed_billed": 1, "refused": 1,
        "unknown": 2, "images_certain": 5, "images_at_most": 7,
        "cny_certain": "0.020", "cny_at_most": "0.028",
    });
    assert_eq!(spend["total"], total);
    assert_eq!(spend["v"], 1);
    let days = spend["days"].as_array().unwrap();
    assert_eq!(days.len(), 1);
    let mut day = days[0].clone();
    assert!(day["day"].as_str().unwrap().starts_with("20"), "{day}");
    day.as_object_mut().unwrap().remove("day");
    assert_eq!(day, total);
    assert!((5..=7).contains(&emu.billed()), "{}", emu.billed());

    // A table says the same.
    let done = run(&mut desk.spend([]));
    done.assert_status(0).says("the vendor's count of images lies between IMAGES and AT MOST");
    let lines: Vec<Vec<&str>> =
        done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["DAY", "ACCEPTED", "REJECTED"]);
    assert_eq!(lines.len(), 3);
    let sums = ["3", "1", "1", "1", "1", "2", "5", "7", "0.020", "to", "0.028"];
    assert_eq!(lines[1][1..], sums);
    assert_eq!((lines[2][0], &lines[2][1..]), ("total", &sums[..]));
    emu.finish();
}

#[test]
fn a_price_is_exact() {
    let desk = booked();
    let done = run(&mut desk.spend(["--json", "--price", "0.000333"]));
    let spend: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(spend["total"]["cny_certain"], "0.001665");
    assert_eq!(spend["total"]["cny_at_most"], "0.002331");
    for wrong in ["-1", "free", "0,004", "1e-3"] {
        run(&mut desk.spend([&*format!("--price={wrong}")]))
            .assert_status(2)
            .says("a price must be");
    }
}

#[test]
fn calls_of_unknown_bill_are_listed() {
    let desk = booked();
    let done = run(&mut desk.spend(["--unknown", "--json"]));
    done.assert_status(0).says("2 calls of unknown bill");
    let calls: Vec<Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_eq!(call["v"], 1);
        assert_eq!(call["under_way"], false);
        let time = call["time"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 20, "{time}");
        assert!(call["source"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    }
    let by_source = |end: &str| {
        calls.iter().find(|call| call["source"].as_str().unwrap().ends_with(end)).unwrap()
    };
    // The one whose answer said nothing of money has an id to ask the vendor about.
    assert!(by_source("/5.png?sig=…").get("request_id").is_none());
    let id = by_source("/6.png")["request_id"].as_str().unwrap();
    let table = run(&mut desk.spend(["--unknown"])).stdout;
    assert_eq!(table.lines().count(), 2);
    assert!(table.contains(id), "{table}");
    assert!(table.contains("  -  ") || table.contains("  -   "), "{table}");
    assert!(!table.contains("SECRET"));
    // The days count here too.
    let done = run(&mut desk.spend(["--unknown", "--until", "2001-01-01"]));
    done.assert_status(0).says("0 calls of unknown bill");
    assert_eq!(done.stdout, "");
}

#[test]
fn days_are_beijings_and_both_ends_count() {
    let desk = Desk::new();
    let images = desk.images(3);
    run(&mut desk.check(images.iter().map(|image| image.url()))).assert_status(0);
    // Midnight in Beijing is 16:00 UTC: the last moment of the 31st, the first of the 1st.
    change(
        &desk.at(LEDGER),
        "UPDATE attempt SET slot_us = CASE (SELECT COUNT(*) FROM attempt b
                                        WHERE b.id < attempt.id AND b.state <> 'not_sent')
            WHEN 0 THEN 1769875199999999 WHEN 1 THEN 1769875200000000 ELSE 1770048000000000 END",
    );
    let days = |arguments: &[&str]| {
        let done = run(desk.spend(["--json"]).args(arguments));
        done.assert_status(0);
        let spend: Value = serde_json::from_str(&done.stdout).unwrap();
        let days = spend["days"].as_array().unwrap();
        let of =
            |day: &Value| format!("{} {}", day["day"].as_str().unwrap(), day["images_certain"]);
        days.iter().map(of).collect::<Vec<_>>()
    };
    let [first, second, third] = ["2026-01-31 1", "2026-02-01 1", "2026-02-03 1"];
    assert_eq!(days(&[]), [first, second, third]);
    assert_eq!(days(&["--since", "2026-02-01"]), [second, third]);
    assert_eq!(days(&["--until", "2026-02-01"]), [first, second]);
    assert_eq!(days(&["--since", "2026-02-01", "--until", "2026-02-01"]), [second]);
    assert_eq!(days(&["--since", "2026-02-02", "--until", "2026-02-02"]), [""; 0]);
}

#[test]
fn wrong_days_are_usage_errors() {
    let desk = booked();
    for (arguments, why) in [
        (vec!["--since", "2026-02-30"], "a day is like 2026-01-31"),
        (vec!["--until", "yesterday"], "a day is like 2026-01-31"),
        (
            vec!["--since", "2026-02-02", "--until", "2026-02-01"],
            "--since must not be after --until",
        ),
    ] {
        run(&mut desk.spend(arguments)).assert_status(2).says(why);
    }
}

#[test]
fn without_ledger_nothing_was_spent() {
    let desk = Desk::new();
    for (ledger, said) in [(desk.at(LEDGER), "no ledger yet at "), ("none".into(), "no ledger")] {
        let spend = |arguments: &[&str]| {
            let done = run(program_with(["spend", "--ledger", &ledger]).args(arguments));
            done.assert_status(0).says(said);
            done.stdout
        };
        assert_eq!(spend(&[]), "");
        assert_eq!(spend(&["--unknown"]), "");
        assert_eq!(spend(&["--unknown", "--json"]), "", "a list of calls, of which there are none");
        let sums: Value = serde_json::from_str(&spend(&["--json"])).unwrap();
        assert_eq!(sums["total"]["images_at_most"], 0);
        assert_eq!(sums["days"], json!([]));
    }
    assert!(desk.names().is_empty(), "none were made");
}

#[cfg(unix)]
#[test]
fn a_call_under_way_is_among_the_unknown_and_one_cut_short_stays_there() {
    let desk = Desk::new();
    let images = desk.images(1);
    desk.rig.emu.script(&images[0], [Fate::judge().late(Duration::from_secs(20))]);
    let running = Running::start(&mut desk.check([images[0].url()]));
    until("a call is under way", || desk.rig.emu.billed() > 0);
    let table = || run(&mut desk.spend(["--unknown"])).assert_status(0).stdout.clone();
    assert!(table().contains("  (may be under way)"), "{}", table());
    let sums = || -> Value {
        let done = run(&mut desk.spend(["--json"]));
        serde_json::from_str::<Value>(&done.stdout).unwrap()["total"].clone()
    };
    let expected = |sums: &Value| {
        assert_eq!((&sums["unknown"], &sums["images_certain"]), (&1.into(), &0.into()));
        assert_eq!(sums["images_at_most"], 1);
    };
    expected(&sums());
    kill(running.id(), "KILL");
    running.finish();
    expected(&sums());
    assert_eq!(desk.rig.emu.billed(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn sums_that_cannot_be_written_are_no_success() {
    let desk = booked();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = desk.spend([]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8(output.stderr).unwrap().contains("No space left"));
}

/// Ledger with something of everything: seven images, two of them of unknown bill.
fn booked() -> Desk {
    let desk = Desk::new();
    let images = desk.images(8);
    let script = |at: usize, fate: Fate| desk.rig.emu.script(&images[at], [fate]);
    script(1, Fate::refused_by_model());
    script(2, Fate::boxes([9.0, 9.0, 20.0, 20.0], [0.0, 0.0, 400.0, 410.0]));
    script(3, Fate::missing_box());
    script(4, Fate::error(400, "InvalidFile.NoHuman"));
    script(5, Fate::judge().reset());
    script(6, Fate::without_usage());
    let sources = images.iter().enumerate().map(|(at, image)| match at {
        5 => format!("{}?sig=SECRET", image.url()),
        _ => image.url().to_owned(),
    });
    let sources: Vec<String> = sources.collect();
    run(&mut desk.check(sources.iter().map(String::as_str))).assert_status(3);
    assert_eq!(desk.rig.emu.calls(), 8);
    desk
}
