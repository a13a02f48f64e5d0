//! `report`.

use serde_json::json;

use crate::rig::{file, program_with, run, run_fed};

fn results() -> String {
    let one = json!({"v": 1, "index": 0, "source": "https://x.invalid/<b>.jpg", "ratio": "1:1",
        "verdict": "rejected_local", "reasons": [{"code": "not_found", "message": "no & <no>"}],
        "billing": {"images": 0, "certainty": "none"}});
    format!("{one}\n\n")
}

#[test]
fn a_results_file_becomes_a_page() {
    let results_file = file("report.jsonl", results());
    let page = results_file.with_extension("html");
    let (from, to) = (results_file.to_str().unwrap(), page.to_str().unwrap());
    let done = run(&mut program_with(["report", from, "-o", to]));
    done.assert_status(0).says("1 image");
    assert_eq!(done.stdout, "");
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>") && text.contains("report.jsonl"));
    assert!(!text.contains("<b>") && !text.contains("<no>"));

    // From stdin, over an earlier page; nothing is a page too.
    run_fed(&mut program_with(["report", "-", "-o", to]), b"").assert_status(0).says("0 images");
    assert!(std::fs::read_to_string(&page).unwrap().contains("<title>results"));
}

#[test]
fn what_is_no_result_is_named_and_writes_no_page() {
    let broken = file("broken.jsonl", results() + "{\"v\":2}\n");
    let page = broken.with_extension("html");
    let _ = std::fs::remove_file(&page);
    let (from, to) = (broken.to_str().unwrap(), page.to_str().unwrap());
    run(&mut program_with(["report", from, "-o", to])).assert_status(2).says("line 3 is no result");
    run(&mut program_with(["report", "/no/results.jsonl", "-o", to]))
        .assert_status(2)
        .says("/no/results.jsonl");
    assert!(!page.exists());
    let good = file("good.jsonl", results());
    let both = good.to_str().unwrap();
    run(&mut program_with(["report", both, "-o", both]))
        .assert_status(2)
        .says("must be another file than the results");
    assert_eq!(std::fs::read_to_string(&good).unwrap(), results());
    run(&mut program_with(["report", both, "-o", "/no/folder/page.html"]))
        .assert_status(2)
        .says("cannot write /no/folder/page.html");
}
