//! `docs/results.schema.json` beside what the program really writes.

use std::collections::BTreeSet;

use emo_preflight::ReasonCode;
use emo_preflight::emulator::Picture;
use serde_json::{Value, json};

use crate::rig::{Running, file, fixture, kill, program_with, rig, run};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/results.schema.json")).unwrap()
}

/// Results of the emulator's whole gallery, and of what the gallery has none for.
fn real_results() -> Vec<Value> {
    let emulator =
        Running::start(&mut program_with(["emulator", "--listen", "127.0.0.1:0", "--rps", "0"]));
    let images = emulator.lines_until("Try, in another terminal:");
    let urls: Vec<&str> =
        images.iter().filter_map(|line| line.strip_prefix("  ")?.split("  (").next()).collect();
    assert!(urls.len() >= 14, "{images:?}");
    let (base, _) = urls[0].split_once("/images/").unwrap();
    let lines: Vec<String> = urls
        .iter()
        .enumerate()
        .map(|(n, url)| {
            json!({"image_url": url, "image_id": format!("id-{n}"), "shot": n}).to_string()
        })
        .collect();
    let list = file("schema-gallery.jsonl", lines.join("\n"));
    let check = |more: &[&str]| {
        let mut command = program_with(["check", "--allow-private-network", "--rps", "1000"]);
        command.args(["--base-url", &format!("{base}/api/v1"), "--concurrency", "1"]).args(more);
        run(command.env("DASHSCOPE_API_KEY", "sk-any")).rows()
    };
    let mut results = check(&["--input", list.to_str().unwrap()]);
    results.extend(check(&[urls[0], &format!("{}?copy", urls[0]), "a.jpg", ""]));
    results.extend(check(&["--max-calls", "0", urls[0], urls[1]]));
    results.extend(check(&["--screen-faces", "advise", urls[0], urls[1]]));
    kill(emulator.id(), "TERM");
    emulator.finish();

    let rig = rig();
    let good = rig.emu.serve("/good.png", Picture::png(400, 400));
    let local =
        [good.url(), &fixture("dnl.jpg"), &fixture("plain.jpg"), "http://127.0.0.1:1/a.jpg"];
    let mut probe = program_with(["probe", "--allow-private-network"]);
    results.extend(run(probe.args(local)).rows());
    results.extend(run(&mut program_with(["probe", good.url()])).rows());
    results
}

#[test]
fn every_real_result_is_as_the_schema_says_and_has_nothing_it_does_not_name() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let results = real_results();
    let mut verdicts = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for result in &results {
        let errors: Vec<String> = validator.iter_errors(result).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}: {result}");
        named(result, &schema, &schema);
        verdicts.insert(result["verdict"].as_str().unwrap().to_owned());
        keys.extend(result.as_object().unwrap().keys().cloned());
    }
    let described = |value: &Value| -> BTreeSet<String> {
        serde_json::from_value::<Vec<String>>(value.clone()).unwrap().into_iter().collect()
    };
    assert_eq!(verdicts, described(&schema["properties"]["verdict"]["enum"]), "each was met");
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(keys, properties.keys().cloned().collect(), "each field was met");
    let codes: Vec<&str> = ReasonCode::ALL.iter().map(ReasonCode::as_str).collect();
    assert_eq!(schema["$defs"]["reason"]["properties"]["code"]["examples"], json!(codes));
}

/// Every field of an object is one that the schema names: a new one is to be described too.
fn named(value: &Value, part: &Value, schema: &Value) {
    let part = match part["$ref"].as_str() {
        Some(place) => schema.pointer(place.trim_start_matches('#')).unwrap(),
        None => part,
    };
    if let (Some(fields), Some(properties)) = (value.as_object(), part["properties"].as_object()) {
        for (name, field) in fields {
            let described =
                properties.get(name).unwrap_or_else(|| panic!("{name} is not described"));
            named(field, described, schema);
        }
    }
    for item in value.as_array().into_iter().flatten() {
        named(item, &part["items"], schema);
    }
}

#[test]
fn the_schema_refuses_what_is_no_result() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = json!({
        "v": 1, "index": 0, "source": "a", "ratio": "1:1", "verdict": "accepted", "reasons": [],
        "billing": {"images": 1, "certainty": "certain"}, "from_ledger": false,
        "face_bbox": [1, 2.5, 3, 4], "ext_bbox": [0, 0, 5, 5], "a field of a later version": 1,
    });
    assert!(validator.is_valid(&good));
    for (pointer, wrong) in [
        ("/v", json!(2)),
        ("/index", json!(-1)),
        ("/ratio", json!("4:3")),
        ("/verdict", json!("fine")),
        ("/verdict", json!("failed")),
        ("/face_bbox", json!([1, 2, 3])),
        ("/reasons", json!([{"code": "timeout"}])),
        ("/billing/certainty", json!("sure")),
        ("/from_ledger", json!(null)),
    ] {
        let mut result = good.clone();
        *result.pointer_mut(pointer).unwrap() = wrong.clone();
        assert!(!validator.is_valid(&result), "{pointer} {wrong}");
    }
    let mut boxless = good;
    boxless.as_object_mut().unwrap().remove("ext_bbox");
    assert!(!validator.is_valid(&boxless));
}
