//! Lists of sources: plain lines and JSON Lines, good ones and bad.

use emo_preflight::emulator::Picture;
use serde_json::{Value, json};

use crate::rig::{by_index, file, fixture, gist, gists, program_with, rig, run, run_fed};

#[test]
fn the_callers_own_fields_come_back_untouched() {
    let rig = rig();
    let good = rig.emu.serve("/good.png", Picture::png(400, 400));
    let own = json!({
        "id": 7,
        "big": u64::MAX,
        "small": i64::MIN,
        "part": 0.5,
        "none": null,
        "yes": true,
        "": "an empty name",
        "text": "ü \u{1F600} \" \\ \u{7} \u{202e}",
        "deep": {"a": [1, {"b": [null, []]}, "c"], "z": {}, "y": 1},
        // Names of ours, which are theirs here.
        "index": -1,
        "verdict": "mine",
        "source": {"x": 1},
        "input": {"input": 1},
    });
    let mut line = own.clone();
    line["image_url"] = good.url().into();
    line["ratio"] = "3:4".into();
    line["image_id"] = "portrait-7".into();
    for command in ["probe", "check"] {
        let mut command = match command {
            "probe" => program_with(["probe", "--json", "--allow-private-network"]),
            _ => rig.check([]),
        };
        let done = run_fed(command.args(["--input", "-"]), line.to_string().as_bytes());
        done.assert_status(0);
        let row = &done.rows()[0];
        assert_eq!(row["input"], own);
        assert_eq!(row["source"], good.url());
        assert_eq!(row["ratio"], "3:4");
        assert_eq!(row["image_id"], "portrait-7");
    }
    assert_eq!(rig.emu.received()[0].body["parameters"]["ratio"], "3:4");
    rig.emu.finish();
}

#[test]
fn an_image_id_makes_two_urls_one_question() {
    let rig = rig();
    let [first, second] = ["/a.png", "/b.png"].map(|p| rig.emu.serve(p, Picture::png(400, 400)));
    let line = |url: &str, id: Value| json!({"image_url": url, "image_id": id}).to_string();
    let list = [
        line(first.url(), json!(12)),
        line(second.url(), json!(12)),
        line(second.url(), json!("12")),
        line(second.url(), json!(null)),
    ];
    let done = run_fed(&mut rig.check(["--input", "-"]), list.join("\n").as_bytes());
    done.assert_status(0);
    let rows = by_index(done.rows());
    let ids: Vec<_> = rows.iter().map(|row| row.get("image_id").cloned()).collect();
    assert_eq!(ids, [Some(json!("12")), Some(json!("12")), Some(json!("12")), None]);
    assert_eq!(rig.emu.billed(), 2);
    rig.emu.finish();
}

#[test]
fn a_bad_line_costs_that_line_and_no_other() {
    let good = fixture("plain.png");
    let long = "x".repeat(2 * 1_024 * 1_024);
    let object = json!({"image_url": good, "n": 1}).to_string();
    let lines: Vec<(Vec<u8>, Option<&str>)> = vec![
        (good.clone().into(), None),
        (
            r#"{"image_url": "https://h/a.jpg""#.into(),
            Some("must be a JSON object: EOF while parsing"),
        ),
        (object.clone().into(), None),
        (
            r#"{"image": "https://h/a.jpg"}"#.into(),
            Some("an object must have image_url, found none"),
        ),
        (r#"{"image_url": ["https://h/a.jpg"]}"#.into(), Some("must be a string, found an array")),
        (r#"{"image_url": null}"#.into(), Some("image_url must be a string, found null")),
        (r#"{"image_url": "https://h/a", "ratio": 1}"#.into(), Some("\"3:4\", found a number")),
        (
            r#"{"image_url": "https://h/a", "ratio": "16:9"}"#.into(),
            Some("1:1 or 3:4, found \"16:9\""),
        ),
        (r#"{"image_url": "https://h/a", "image_id": {}}"#.into(), Some("found an object")),
        (r#"{"image_url": "https://h/a", "image_id": 0.5}"#.into(), Some("found another number")),
        (
            // Read as a float it would be the same image as its neighbour.
            r#"{"image_url": "https://h/a", "image_id": 123456789012345678901}"#.into(),
            Some("a whole number of 64 bits"),
        ),
        (
            r#"{"image_url": "https://h/a", "image_id": ""}"#.into(),
            Some("image_id must not be empty, found an empty text"),
        ),
        // Valid JSON by its grammar, and no value all the same.
        (r#"{"image_url": "\ud800"}"#.into(), Some("found what cannot be read: ")),
        (r#"{"image_url": "https://h/a", "ratio": 1e999}"#.into(), Some("number out of range")),
        (
            format!(r#"{{"image_url": "https://h/a", "image_id": {}}}"#, nested(200)).into(),
            Some(
                "image_id must be a string or a whole number of 64 bits, found what cannot be read",
            ),
        ),
        (
            r#"{"image_url": 1, "ratio": 2}"#.into(),
            Some("image_url must be a string, found a number; ratio must be"),
        ),
        (object.clone().into(), None),
        (r#"{"image_url": "https://h/a"} {}"#.into(), Some("trailing characters")),
        (b"https://h/\xff\xfe.jpg".to_vec(), Some("a line must be UTF-8")),
        (b"{\"image_url\": \"\xff\"}".to_vec(), Some("a line must be UTF-8")),
        (long.clone().into(), Some("at most 1048576 bytes")),
        (json!({"image_url": good, "long": long}).to_string().into(), Some("at most 1048576")),
        (good.clone().into(), None),
    ];
    for end in ["\n", "\r\n"] {
        let mut text = b"\xEF\xBB\xBF".to_vec();
        for (line, _) in &lines {
            text.extend_from_slice(line);
            // Blank lines count as lines of the file and as no source.
            text.extend_from_slice(format!("{end}{end} \t{end}").as_bytes());
        }
        let list = file(&format!("bad-{}.txt", end.len()), &text);
        let list = list.to_str().unwrap();
        let done = run(&mut program_with(["probe", "--json", "--input", list]));
        done.assert_status(1);
        let rows = by_index(done.rows());
        assert_eq!(rows.len(), lines.len());
        for (at, (row, (line, problem))) in rows.iter().zip(&lines).enumerate() {
            let line = String::from_utf8_lossy(line);
            let line = line.chars().take(99).collect::<String>();
            let Some(problem) = problem else {
                assert_eq!(row["source"], *good, "{line}");
                assert_eq!(gist(row), "rejected_local shortest_side_below_min", "{line}");
                continue;
            };
            assert_eq!(gist(row), "rejected_local bad_input", "{line}: {row}");
            let message = row["reasons"][0]["message"].as_str().unwrap();
            assert!(message.starts_with(&format!("line {}: ", 3 * at + 1)), "{line}: {message}");
            assert!(message.contains(problem), "{line}: {message}");
            assert!(message.len() < 200, "{message}");
            assert!(row.to_string().len() < 1_500, "a bad line is shown in part");
        }
    }
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[test]
fn a_bad_line_is_found_again_by_the_callers_own_fields() {
    let line =
        json!({"image_url": "https://h/a.jpg", "ratio": "2:1", "image_id": "x", "mine": [1]});
    let mut command = program_with(["probe", "--json", "--ratio", "3:4", "--input", "-"]);
    let row = run_fed(&mut command, line.to_string().as_bytes()).rows().remove(0);
    assert_eq!(row["source"], "https://h/a.jpg");
    assert_eq!(row["image_id"], "x");
    assert_eq!(row["input"], json!({"mine": [1]}));
    assert_eq!(row["ratio"], "3:4", "the one that would have been asked for");
}

#[test]
fn named_sources_come_before_those_of_the_list() {
    let mut command = program_with(["probe", "--json", "one", "two", "--input", "-"]);
    let done = run_fed(command.args(["--ratio", "3:4"]), b"three\n{\"image_url\":\"four\"}");
    done.assert_status(1);
    let rows = by_index(done.rows());
    let sources: Vec<_> = rows.iter().map(|row| row["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["one", "two", "three", "four"]);
    assert!(rows.iter().all(|row| row["ratio"] == "3:4"));
    assert_eq!(gists(&rows), ["rejected_local not_found"; 4]);
}

#[test]
fn a_source_is_shown_as_it_was_given() {
    for source in ["HTTP://127.0.0.1/a%2fb?x=1&y=%20#f", "no/such/ü file.png", "ftp://h/a.jpg"] {
        let done = run(&mut program_with(["probe", "--json", source]));
        assert_eq!(done.rows()[0]["source"], source);
    }
}

/// A first line with the URL's column makes a table of it: other columns come back as texts.
#[test]
fn csv_is_read_by_its_columns() {
    let rig = rig();
    let good = rig.emu.serve("/a,b.png", Picture::png(400, 400));
    let url = good.url();
    for (option, column) in [(None, "image_url"), (Some("photo"), "photo")] {
        let csv = format!(
            "\u{FEFF}id,{column},ratio,image_id,note\r\n\
             007,\"{url}\",3:4,x1,\"two\r\nlines, \"\"quoted\"\"\"\r\n\
             8,\"{url}\",,,\r\n\
             9,short\r\n\
             10,\"{url}\",4:3,,\r\n"
        );
        let mut command = program_with(["probe", "--json", "--allow-private-network"]);
        if let Some(name) = option {
            command.args(["--url-column", name]);
        }
        let rows = by_index(run_fed(command.args(["--input", "-"]), csv.as_bytes()).rows());
        assert_eq!(rows.len(), 4, "{rows:?}");
        assert_eq!(rows[0]["source"], url);
        assert_eq!(rows[0]["input"], json!({"id": "007", "note": "two\r\nlines, \"quoted\""}));
        assert_eq!((&rows[0]["ratio"], &rows[0]["image_id"]), (&json!("3:4"), &json!("x1")));
        assert_eq!((&rows[1]["ratio"], &rows[1]["verdict"]), (&json!("1:1"), &json!("eligible")));
        for (row, says) in [
            (&rows[2], "row 4: a row must have 5 cells as the first line has, found 2"),
            (&rows[3], "row 5: aspect ratio must be 1:1 or 3:4"),
        ] {
            assert_eq!(gist(row), "rejected_local bad_input");
            let message = row["reasons"][0]["message"].as_str().unwrap();
            assert!(message.contains(says), "{message}");
        }
        assert_eq!(rows[3]["input"]["id"], "10");
    }
}

/// What people do wrong, and what the message tells them to do.
#[test]
fn common_mistakes_have_a_hint() {
    let utf_16: Vec<u8> =
        "\u{FEFF}https://h/a.jpg".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (input, says) in [
        (b"example.com/a.jpg".to_vec(), "perhaps https://example.com/a.jpg is meant"),
        (b"\"https://example.com/a.jpg\"".to_vec(), "give it without them"),
        (b"[{\"image_url\":\"https://h/a.jpg\"}]".to_vec(), "jq -c '.[]'"),
        (b"{\"url\":\"https://h/a.jpg\"}".to_vec(), "found url; rename it"),
        (utf_16, "iconv -f UTF-16"),
    ] {
        let mut command = program_with(["check", "--dry-run", "--json", "--ledger", "none"]);
        let done = run_fed(command.args(["--input", "-"]), &input);
        let message = done.rows()[0]["reasons"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(says) && message.contains("must"), "{message}");
    }
}
