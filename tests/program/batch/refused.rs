//! Outputs that cannot be gone on with: said before anything is fetched, called or changed.

use serde_json::{Value, json};

use super::desk::{Desk, INPUT, LEDGER, RESULTS, line, lines};
use crate::rig::{KEY, program_with, run};

#[test]
fn a_file_with_something_in_it_is_not_overwritten() {
    let desk = Desk::new();
    let images = desk.listed(1);
    for content in ["\n", "my thesis", "{\"v\":1}\n"] {
        desk.put(RESULTS, content);
        for command in [&mut desk.batch([]), &mut desk.batch(["--dry-run"]), &mut desk.probe([])] {
            run(command).assert_status(2).says("is not empty: --resume goes on with it");
            assert_eq!(desk.get(RESULTS), content);
        }
    }
    assert_eq!((desk.rig.emu.calls(), desk.fetches(&images)), (0, 0));
}

#[test]
fn a_bad_line_is_named_and_nothing_changes() {
    let desk = Desk::new();
    let images = desk.listed(3);
    let good = |at: usize| line(at, images[at].url(), "accepted", "certain").to_string();
    let over = line(0, images[0].url(), "skipped", "none").to_string();
    let mut other_version = line(1, images[1].url(), "accepted", "certain");
    other_version["v"] = 2.into();
    for (bad, why) in [
        (good(1)[..40].to_owned(), "line 2"),
        (String::new(), "line 2"),
        ("{}".to_owned(), "missing field"),
        ("http://h/a.jpg".to_owned(), "is no result"),
        (other_version.to_string(), "version"),
        (good(1) + &good(2), "trailing characters"),
    ] {
        // In the middle, and at the end but whole: not a crash's work.
        for content in [format!("{over}\n{bad}\n{}\n", good(2)), format!("{over}\n{bad}\n")] {
            desk.put(RESULTS, &content);
            let done = run(&mut desk.resume([]));
            done.assert_status(2).says("line 2 of ").says("is no result").says(why);
            assert_eq!(desk.get(RESULTS), content);
            desk.no_copy_is_left();
        }
    }
    let mut bytes = format!("{over}\n").into_bytes();
    bytes.extend_from_slice(b"{\"v\":1,\"index\":1,\"source\":\"\xff\xfe\"}\n");
    desk.put(RESULTS, &bytes);
    run(&mut desk.resume([])).assert_status(2).says("line 2 of ");
    assert_eq!(std::fs::read(desk.path(RESULTS)).unwrap(), bytes);
    assert_eq!((desk.rig.emu.calls(), desk.fetches(&images)), (0, 0));
    assert!(!desk.path(LEDGER).exists(), "not even ledger was made");
}

#[test]
fn results_of_another_input_are_refused_and_lose_no_line() {
    let desk = Desk::new();
    let images = desk.listed(3);
    let kept = |at: usize| line(at, images[at].url(), "accepted", "certain");
    // A line that would be dropped: it must not be, for an input that is not its own.
    let over = line(0, images[0].url(), "undetermined", "none");
    let changed = |field: &str, value: Value| {
        let mut line = kept(2);
        line[field] = value;
        line
    };
    for (wrong, why) in [
        (changed("source", images[1].url().into()), "found another at index 2"),
        (changed("source", format!("{}?", images[2].url()).into()), "at index 2"),
        (changed("ratio", "3:4".into()), "found another at index 2"),
        (changed("index", 3.into()), "has the index 3 and the input only 3 sources"),
        (changed("index", 900_000_000.into()), "has the index 900000000"),
        (changed("index", u64::MAX.into()), "has the index 18446744073709551615"),
        // Done over or not, it is not this input's.
        (line(3, "http://h/a.jpg", "skipped", "none"), "has the index 3"),
    ] {
        let content = lines(&[over.clone(), kept(1), wrong]);
        desk.put(RESULTS, &content);
        for mode in [[].as_slice(), &["--dry-run"]] {
            let done = run(&mut desk.resume(mode.iter().copied()));
            done.assert_status(2).says(why).says("belongs to another input");
            assert_eq!(desk.get(RESULTS), content, "{why}");
            desk.no_copy_is_left();
        }
    }
    // The command line's ratio is the input's where a line has none.
    desk.put(RESULTS, lines(&[kept(0)]));
    run(&mut desk.resume(["--ratio", "3:4"])).assert_status(2).says("found another at index 0");
    assert_eq!((desk.rig.emu.calls(), desk.fetches(&images)), (0, 0));
    assert!(!desk.path(LEDGER).exists());
    // A longer input than before is the same input, gone on with.
    run(&mut desk.resume([])).assert_status(0);
    assert_eq!(desk.results().len(), 3);
}

/// A row is known by its image_id where both have one: its URL may have been signed again since.
#[test]
fn an_image_id_tells_the_row() {
    let desk = Desk::new();
    let images = desk.images(2);
    let kept = |source: &str, image_id: Option<&str>| {
        let mut kept = line(0, source, "accepted", "certain");
        kept["image_id"] = image_id.into();
        if image_id.is_none() {
            kept.as_object_mut().unwrap().remove("image_id");
        }
        lines(&[kept])
    };
    let signed_again = "http://h/a.jpg?sign=2";
    for (source, of_line, of_input, is_the_same) in [
        (signed_again, Some("a"), Some("a"), true),
        (signed_again, Some("a"), Some("b"), false),
        (signed_again, Some("a"), None, false),
        (signed_again, None, Some("a"), false),
        (signed_again, None, None, false),
        // A label alone makes no other row.
        (images[0].url(), Some("a"), Some("b"), true),
        (images[0].url(), Some("a"), None, true),
        (images[0].url(), None, Some("a"), true),
    ] {
        let mut row = json!({"image_url": images[0].url()});
        if let Some(id) = of_input {
            row["image_id"] = id.into();
        }
        let other = json!({"image_url": images[1].url()});
        desk.put(INPUT, format!("{row}\n{other}\n"));
        let before = kept(source, of_line);
        desk.put(RESULTS, &before);
        let done = run(&mut desk.resume([]));
        if is_the_same {
            done.assert_status(0).says("1 of 2 images done before");
            assert!(desk.get(RESULTS).starts_with(&before), "{of_line:?} {of_input:?}");
        } else {
            done.assert_status(2).says("found another at index 0");
            assert_eq!(desk.get(RESULTS), before, "{of_line:?} {of_input:?}");
        }
    }
    // What was said of one ratio is no word on the other.
    desk.put(INPUT, format!("{}\n", json!({"image_url": images[0].url(), "image_id": "a"})));
    desk.put(RESULTS, kept(signed_again, Some("a")));
    run(&mut desk.resume(["--ratio", "3:4"])).assert_status(2).says("results of the same ratio");
    assert_eq!(desk.fetches(&images[..1]), 0);
}

#[test]
fn settings_that_are_refused_late_lose_no_line_either() {
    let desk = Desk::new();
    let images = desk.listed(2);
    let content = lines(&[line(0, images[0].url(), "undetermined", "none")]);
    desk.put(RESULTS, &content);
    for (arguments, status, why) in [
        (["--rps", "100000"], 2, "calls per second must be from 0.0001 to 1000"),
        (["--ledger", env!("CARGO_TARGET_TMPDIR")], 4, "cannot open the ledger"),
    ] {
        // By hand: the rig has a pace of its own.
        let mut command = program_with(["check", "--resume", "--input", &desk.at(INPUT)]);
        command.args(["--output", &desk.at(RESULTS)]).args(arguments);
        command.env("DASHSCOPE_API_KEY", KEY);
        run(&mut command).assert_status(status).says(why);
        assert_eq!(desk.get(RESULTS), content);
        desk.no_copy_is_left();
    }
    assert_eq!((desk.rig.emu.calls(), desk.fetches(&images)), (0, 0));
}

#[test]
fn options_that_cannot_go_together_are_said_so() {
    let desk = Desk::new();
    let images = desk.listed(1);
    let results = desk.at(RESULTS);
    for (arguments, why) in [
        (vec!["--resume", images[0].url()], "--output"),
        (vec!["--resume", "--output", &results, "--input", "-"], "give it as a regular file"),
        (
            vec!["--resume", "--output", &results, "--max-calls", "1", images[0].url()],
            "--max-calls with --resume must count for a named run, found none",
        ),
        (
            vec!["--resume", "--output", &results, "--input", &desk.at("absent.txt")],
            "cannot read the input",
        ),
        (vec!["--output", "-", images[0].url()], "without it results go to stdout"),
        (vec!["--progress", "loud", images[0].url()], "possible values: auto, bar, json, none"),
        (vec!["--ledger-max-age", "soon", images[0].url()], "an age is like 30d or 12h"),
    ] {
        run(&mut desk.check(arguments)).assert_status(2).says(why);
    }
    // A pipe can be read only once too.
    let mut piped = desk.check(["--resume", "--output", &results, "--input", "/dev/stdin"]);
    if cfg!(unix) {
        piped.stdin(std::process::Stdio::piped());
        run(&mut piped).assert_status(2).says("give it as a regular file");
    }
    assert_eq!((desk.rig.emu.calls(), desk.fetches(&images)), (0, 0));
}

#[test]
fn an_output_that_cannot_be_opened_is_named() {
    let desk = Desk::new();
    let images = desk.listed(1);
    for (output, why) in
        [(desk.at(""), "irectory"), (desk.at("no/such/folder.jsonl"), "No such file or directory")]
    {
        for command in ["check", "probe"] {
            let mut command = program_with([command, "--output", &output, images[0].url()]);
            let done = run(command.env("DASHSCOPE_API_KEY", KEY));
            done.assert_status(2).says("cannot write the output").says(why);
        }
    }
    assert_eq!((desk.rig.emu.calls(), desk.fetches(&images)), (0, 0));
}

#[test]
fn a_list_as_the_output_of_itself_is_refused() {
    let desk = Desk::new();
    desk.put(INPUT, json!({"image_url": "http://127.0.0.1:1/a.jpg"}).to_string() + "\n");
    let before = desk.get(INPUT);
    for more in [[].as_slice(), &["--resume"]] {
        let mut command = desk.check(["--input", &desk.at(INPUT), "--output", &desk.at(INPUT)]);
        run(command.args(more)).assert_status(2);
        assert_eq!(desk.get(INPUT), before);
    }
}
