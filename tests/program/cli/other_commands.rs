//! `check` of what is no URL, `emo-body`, `demo`, `emulator`, `--help`.

use std::io::{Read, Write};
use std::net::TcpStream;

use emo_preflight::emulator::{Fate, Picture};
use serde_json::{Value, json};

use crate::rig::{Running, file, fixture, gists, program_with, rig, run, run_fed};

#[test]
fn a_path_is_nothing_the_service_could_fetch() {
    let rig = rig();
    let path = fixture("plain.jpg");
    let done = run(&mut rig.check([path.as_str()]));
    done.assert_status(1);
    let rows = done.rows();
    assert_eq!(gists(&rows), ["rejected_local not_http_url"]);
    let message = &rows[0]["reasons"][0]["message"];
    let expected =
        "source must be an http or https URL, found a local path: the service takes URLs only";
    assert_eq!(message, expected);
    assert_eq!(rig.emu.calls(), 0);

    // What a dry run says is what the real one would do.
    let done = run(&mut program_with(["check", "--json", "--dry-run", &path]));
    assert_eq!(gists(&done.rows()), ["rejected_local not_http_url"]);
}

#[test]
fn results_become_request_bodies() {
    let rig = rig();
    let good = rig.emu.serve("/good.png", Picture::png(400, 400));
    let boxes = rig.emu.serve("/boxes.png", Picture::png(400, 400));
    let small = rig.emu.serve("/small.png", Picture::png(399, 400));
    rig.emu.script(&boxes, [Fate::boxes([9.0, 9.0, 20.5, 20.0], [0.0, 0.0, 400.0, 300.0])]);
    let source = format!("{}?a=1#face", good.url());
    let mut command = rig.check([source.as_str(), boxes.url(), small.url()]);
    let results = run(command.args(["--concurrency", "1"])).stdout;
    let results = file("results.jsonl", results + "\n\n");
    let results = results.to_str().unwrap();

    let audio = "https://h/speech.wav";
    let arguments = ["emo-body", results, "--audio-url", audio];
    let done = run(&mut program_with(arguments));
    done.assert_status(1)
        .says(&format!("left out {}: ratio_mismatch", boxes.url()))
        .says("1 request body; left out: 1 not accepted, 1 whose boxes do not hold (--accept");
    let body = |url: &str, face: Value, ext: Value, style: &str| {
        json!({
            "model": "emo-v1",
            "input": {"image_url": url, "audio_url": audio, "face_bbox": face, "ext_bbox": ext},
            "parameters": {"style_level": style},
        })
    };
    let first = lines(&std::fs::read_to_string(results).unwrap()).remove(0);
    let accepted = |style| {
        let (face, ext) = (first["face_bbox"].clone(), first["ext_bbox"].clone());
        body(&format!("{}?a=1", good.url()), face, ext, style)
    };
    assert_eq!(lines(&done.stdout), [accepted("normal")]);

    let mut command = program_with(arguments);
    let done = run(command.args(["--accept-mismatch", "--style-level", "calm"]));
    done.assert_status(0).says("2 request bodies; left out: 1 not accepted, 0 whose boxes do not");
    let mismatch =
        body(boxes.url(), json!([9.0, 9.0, 20.5, 20.0]), json!([0, 0, 400, 300]), "calm");
    assert_eq!(lines(&done.stdout), [accepted("calm"), mismatch]);

    let text = std::fs::read(results).unwrap();
    let mut command = program_with(["emo-body", "-", "--audio-url", audio]);
    let done = run_fed(&mut command, &text);
    assert_eq!(lines(&done.stdout), [accepted("normal")]);
}

#[test]
fn what_is_no_results_file_is_said_with_its_line() {
    let good = r#"{"v":1,"index":0,"source":"https://h/a","ratio":"1:1","verdict":"eligible","reasons":[],"billing":{"images":0,"certainty":"none"}}"#;
    for (text, says) in [
        (format!("{good}\ngarbage\n"), "line 2 is no result of check: expected value, at column 1"),
        (format!("{good}\n\n{{}}\n"), "line 3 is no result of check: missing field"),
        (good.replace("\"v\":1", "\"v\":2"), "result version must be 1, found 2"),
        (good.replace("eligible", "fine"), "unknown variant `fine`"),
    ] {
        let mut command = program_with(["emo-body", "-", "--audio-url", "https://h/u"]);
        let done = run_fed(&mut command, text.as_bytes());
        done.assert_status(2).says(says);
        assert!(!done.stderr.contains("line 1 column"), "{}", done.stderr);
    }
    let done =
        run_fed(&mut program_with(["emo-body", "-", "--audio-url", "https://h/u"]), b"\xff\n");
    done.assert_status(2).says("cannot read line 1 of the results");
    let done = run_fed(&mut program_with(["emo-body", "-", "--audio-url", "https://h/u"]), b"");
    done.assert_status(0).says("0 request bodies");
}

#[test]
fn the_demo_shows_every_verdict_and_heeds_no_settings() {
    let mut command = program_with(["demo"]);
    // Settings of the user's own, which here would lead somewhere else or nowhere.
    command.env("DASHSCOPE_API_KEY", "not a key").env("DASHSCOPE_HTTP_BASE_URL", "http://h h/");
    command.env("http_proxy", "http://127.0.0.1:1").env("all_proxy", "http://127.0.0.1:1");
    command.env("EMO_PREFLIGHT_LEDGER", "/nowhere/at/all.db");
    let done = run(&mut command);
    done.assert_status(0).says("15 images: 6 accepted");
    let shown: Vec<&str> = done.stdout.lines().filter(|line| line.starts_with('✓')).collect();
    assert_eq!(shown.len(), 15, "{}", done.stdout);
    assert!(!done.stdout.contains('✗'), "{}", done.stdout);
    for verdict in ["accepted", "rejected_local", "rejected_remote", "box_mismatch", "failed"] {
        assert!(shown.iter().any(|line| line.contains(verdict)), "{verdict}: {}", done.stdout);
    }
    assert!(done.stdout.ends_with("15 of 15 images got the verdict they were drawn for\n\n"));
    done.says("the stand-in billed 8 images; the gate knows of 7 for certain and of 1 that may");
}

#[test]
fn a_demo_that_nobody_watches_is_no_panic() {
    let mut running = Running::start(&mut program_with(["demo"]));
    running.line();
    running.close_stdout();
    running.finish().assert_status(4).says("stopping: results can no longer be written");
}

#[cfg(unix)]
#[test]
fn the_emulator_answers_as_documented_until_it_is_told_to_end() {
    for signal in ["INT", "TERM"] {
        let mut command = program_with(["emulator", "--listen", "127.0.0.1:0"]);
        // The stand-in takes any key and knows no account.
        command.env("DASHSCOPE_API_KEY", "not a key").env("DASHSCOPE_HTTP_BASE_URL", "http://h h/");
        let mut running = Running::start(&mut command);
        let base = running.line();
        let base = base.strip_suffix('\n').unwrap();
        let origin = base.strip_suffix("/api/v1").unwrap();
        running.wait_for(&format!("  {origin}/images/portrait.jpg  (accepted)"));

        let answer = detect(origin, &format!("{origin}/images/portrait.jpg"));
        let keys =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(&answer), ["output", "request_id", "usage"]);
        assert_eq!(keys(&answer["output"]), ["check_pass", "ext_bbox", "face_bbox"]);
        assert_eq!(answer["usage"], json!({"image_count": 1}));

        // What it tells a newcomer to try works.
        let mut check = program_with(["check", "--json", "--allow-private-network"]);
        check.arg(format!("{origin}/images/portrait.png"));
        check.env("DASHSCOPE_API_KEY", "sk-any").env("DASHSCOPE_HTTP_BASE_URL", base);
        assert_eq!(gists(&run(&mut check).assert_status(0).rows()), ["accepted"]);

        crate::rig::kill(running.id(), signal);
        let done = running.finish();
        done.assert_status(0).says("billed 2 of 2 calls");
        assert_eq!(done.stdout.lines().count(), 1, "one line for programs: {}", done.stdout);
    }
}

#[test]
fn a_port_that_is_taken_is_said() {
    let rig = rig();
    let address = rig.emu.addr().to_string();
    let done = run(&mut program_with(["emulator", "--listen", &address]));
    done.assert_status(2).says(&format!("cannot listen on {address}"));
}

#[test]
fn help_and_version_are_on_stdout() {
    let version = run(&mut program_with(["--version"]));
    version.assert_status(0);
    let number = concat!("emo-preflight ", env!("CARGO_PKG_VERSION"));
    let commit = version.stdout.strip_prefix(number).unwrap().trim_end();
    let is_commit = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let named = commit.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
    assert!(commit.is_empty() || named.is_some_and(is_commit), "{commit:?}");
    for (arguments, says) in [
        (vec!["--help"], vec!["probe", "check", "emo-body", "emulator", "demo"]),
        (vec!["probe", "--help"], vec!["--input", "--ratio", "--json", "--allow-private-network"]),
        (vec!["check", "--help"], vec!["--dry-run", "--rps", "--base-url", "--call-timeout"]),
        (vec!["emo-body", "--help"], vec!["--audio-url", "--style-level", "--accept-mismatch"]),
        (vec!["emulator", "--help"], vec!["--listen", "127.0.0.1:8484"]),
        (vec!["demo", "--help"], vec!["needs no key"]),
    ] {
        let done = run(&mut program_with(arguments.iter().copied()));
        done.assert_status(0);
        assert_eq!(done.stderr, "", "{arguments:?}");
        for text in says {
            assert!(done.stdout.contains(text), "{arguments:?} says {text}: {}", done.stdout);
        }
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The documented POST, by hand.
fn detect(origin: &str, image_url: &str) -> Value {
    let host = origin.strip_prefix("http://").unwrap();
    let body = json!({"model": "emo-detect-v1", "input": {"image_url": image_url},
        "parameters": {"ratio": "1:1"}})
    .to_string();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST /api/v1/services/aigc/image2video/face-detect HTTP/1.1\r\nhost: {host}\r\n\
         authorization: Bearer sk-any\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    serde_json::from_str(body).unwrap()
}
