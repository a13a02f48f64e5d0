//! Labelled images, where they are at hand: the folder that `EMO_PREFLIGHT_FACES` names, or
//! `../shared/faces`, with a `labels.jsonl` of one object a line:
//! `{"path", "class": "portrait" | "faceless" | "several", …}`.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use emo_preflight::FaceScreen;
use serde_json::Value;

#[test]
#[ignore = "takes long: `.ci/slow` runs it"]
fn no_labelled_portrait_is_rejected_and_nearly_all_faceless_images_are() {
    let folder = std::env::var_os("EMO_PREFLIGHT_FACES")
        .map_or_else(|| PathBuf::from(DEFAULT_FOLDER), PathBuf::from);
    let Ok(labels) = fs::read_to_string(folder.join("labels.jsonl")) else {
        // Past the capture of a passing test's output: that nothing ran is to be seen.
        let _ =
            writeln!(io::stderr(), "NOT RUN: there are no labelled images at {}", folder.display());
        return;
    };
    let screen = FaceScreen::new();
    let (mut portraits, mut faceless, mut rejected) = (0, 0, 0);
    for label in labels.lines() {
        let label: Value = serde_json::from_str(label).unwrap();
        let path = label["path"].as_str().unwrap();
        let finding = screen.inspect(&fs::read(folder.join(path)).unwrap());
        match label["class"].as_str().unwrap() {
            "portrait" => {
                portraits += 1;
                assert_eq!(finding.objection, None, "{path}: {:?}", finding.screen);
            }
            "faceless" => {
                faceless += 1;
                rejected += usize::from(finding.objection.is_some());
            }
            _ => {}
        }
    }
    println!("{portraits} portraits pass; {rejected} of {faceless} faceless images are rejected");
    assert!(portraits > 0 && rejected * 100 >= faceless * 98, "{rejected} of {faceless}");
}

const DEFAULT_FOLDER: &str = "../shared/faces";
