//! `probe` over real files of other projects, where they are at hand: the folder named by
//! `EMO_PREFLIGHT_CORPUS`; see `tests/corpus.rs`.

use std::path::Path;

use serde_json::Value;

use crate::rig::{by_index, file, gist, program_with, run};

#[test]
fn probe_tells_the_truth_of_every_file() {
    let folder = std::env::var_os("EMO_PREFLIGHT_CORPUS").unwrap_or("../shared/corpus".into());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    if !folder.exists() {
        println!("corpus not found at {}: this test did not run", folder.display());
        return;
    }
    let truth = std::fs::read_to_string(folder.join("truth.jsonl")).unwrap();
    let truth: Vec<Value> = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let full = |line: &Value| folder.join(line["path"].as_str().unwrap()).display().to_string();
    let list: Vec<String> = truth.iter().map(full).collect();
    let list = file("corpus.txt", list.join("\n"));

    let done = run(&mut program_with(["probe", "--json", "--input", list.to_str().unwrap()]));
    let rows = by_index(done.rows());
    assert_eq!(rows.len(), truth.len(), "one row for each file");
    for (truth, row) in truth.iter().zip(&rows) {
        assert_eq!(row["source"], full(truth));
        match truth["expect"].as_str().unwrap() {
            "header" => {
                for field in ["format", "width", "height"] {
                    assert_eq!(row["image"][field], truth[field], "{row}");
                }
                assert_eq!(verdict(row), expected(truth), "{row}");
            }
            "unsupported" => assert!(
                ["rejected_local unsupported_format", "rejected_local not_an_image"]
                    .contains(&gist(row).as_str()),
                "{row}"
            ),
            "no_panic" => {}
            other => panic!("expect {other:?}"),
        }
    }
    // Some of the broken ones end in a size that is deferred; all else is rejected or fine.
    assert!([Some(1), Some(3)].contains(&done.status), "{:?}", done.status);
    done.says(&format!("{} images: ", truth.len()));
}

/// What the documented limits say of a file, each broken one with its numbers.
fn expected(truth: &Value) -> Vec<String> {
    let sides = [truth["width"].as_u64().unwrap(), truth["height"].as_u64().unwrap()];
    let (least, most) = (sides[0].min(sides[1]), sides[0].max(sides[1]));
    let mut expected = Vec::new();
    if least < 400 {
        expected.push(format!("shortest_side_below_min {least} 400"));
    }
    if most > 7_000 {
        expected.push(format!("longest_side_above_max {most} 7000"));
    }
    let verdict = if expected.is_empty() { "eligible" } else { "rejected_local" };
    expected.insert(0, verdict.to_owned());
    expected
}

fn verdict(row: &Value) -> Vec<String> {
    let reasons = row["reasons"].as_array().unwrap();
    let reason =
        |r: &Value| format!("{} {} {}", r["code"].as_str().unwrap(), r["found"], r["required"]);
    let mut verdict = vec![row["verdict"].as_str().unwrap().to_owned()];
    verdict.extend(reasons.iter().map(reason));
    verdict
}
