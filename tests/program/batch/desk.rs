//! A folder for one test's files, and the stand-in service beside it.

use std::path::PathBuf;
use std::process::Command;

use emo_preflight::emulator::{Picture, Served};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::{Rig, by_index, program_with, rig, rows};

pub(crate) struct Desk {
    pub(crate) rig: Rig,
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(rig())
    }

    pub(crate) fn with(rig: Rig) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { rig, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.at(name)
    }

    pub(crate) fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The results file: whole lines, each index once, and nothing beside it that was to be gone.
    pub(crate) fn results(&self) -> Vec<Value> {
        self.no_copy_is_left();
        by_index(rows(&self.get(RESULTS)))
    }

    pub(crate) fn no_copy_is_left(&self) {
        assert!(!self.names().iter().any(|name| name.contains("resuming")), "{:?}", self.names());
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// So many images that pass.
    pub(crate) fn images(&self, count: usize) -> Vec<Served> {
        let image = Picture::png(400, 400);
        let serve = |at| self.rig.emu.serve(&format!("/{at}.png"), image.clone());
        (0..count).map(serve).collect()
    }

    /// So many images that pass, as the input.
    pub(crate) fn listed(&self, count: usize) -> Vec<Served> {
        let images = self.images(count);
        self.list(&images);
        images
    }

    pub(crate) fn list(&self, images: &[Served]) {
        let lines: Vec<&str> = images.iter().map(Served::url).collect();
        self.put(INPUT, lines.join("\n") + "\n");
    }

    /// `check` with the ledger of this folder.
    pub(crate) fn check<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.rig.check(arguments);
        // By the variable, so that a test can still give the option.
        command.env("EMO_PREFLIGHT_LEDGER", self.at(LEDGER));
        command
    }

    /// `check` from the input into the results, with more arguments.
    pub(crate) fn batch<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.check(["--input", &self.at(INPUT), "--output", &self.at(RESULTS)]);
        command.args(arguments);
        command
    }

    /// The same, going on with the results.
    pub(crate) fn resume<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.batch(["--resume"]);
        command.args(arguments);
        command
    }

    /// `check --dry-run` from the input, without a key.
    pub(crate) fn dry_run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.check(["--dry-run", "--input", &self.at(INPUT)]);
        command.env_remove("DASHSCOPE_API_KEY").args(arguments);
        command
    }

    /// `probe` from the input into the results.
    pub(crate) fn probe<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = program_with(["probe", "--allow-private-network"]);
        command.args(["--input", &self.at(INPUT), "--output", &self.at(RESULTS)]).args(arguments);
        command
    }

    pub(crate) fn spend<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = program_with(["spend", "--ledger", &self.at(LEDGER)]);
        command.args(arguments);
        command
    }

    /// GETs of these images by the program.
    pub(crate) fn fetches(&self, images: &[Served]) -> u64 {
        images.iter().map(|image| self.rig.emu.fetches_of(image)).sum()
    }
}

/// A line of a results file, as an earlier run may have written it.
pub(crate) fn line(index: usize, source: &str, verdict: &str, certainty: &str) -> Value {
    let mut line = json!({
        "v": 1, "index": index, "source": source, "ratio": "1:1", "verdict": verdict,
        "reasons": [], "billing": {"images": u8::from(certainty == "certain"), "certainty": certainty},
        "request_id": "earlier", "from_ledger": false,
    });
    if ["accepted", "box_mismatch"].contains(&verdict) {
        line["face_bbox"] = json!([150, 150, 250, 250]);
        line["ext_bbox"] = json!([50, 50, 350, 350]);
    }
    line
}

pub(crate) fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What a terminal shows once all of this was written to it, as far as the program steers one:
/// carriage returns, cursor up, erased lines.
pub(crate) fn screen(written: &str) -> Vec<String> {
    let (mut lines, mut row, mut column) = (vec![Vec::<char>::new()], 0_usize, 0_usize);
    let mut rest = written.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(Vec::new());
                }
            }
            '\r' => column = 0,
            '\u{1b}' => {
                assert_eq!(rest.next(), Some('['), "a control sequence");
                let mut number = String::new();
                while rest.peek().is_some_and(|c| c.is_ascii_digit() || "?;".contains(*c)) {
                    number.extend(rest.next());
                }
                match rest.next().unwrap() {
                    'A' => row = row.saturating_sub(number.parse().unwrap_or(1)),
                    'B' => row += number.parse::<usize>().unwrap_or(1),
                    'K' if number == "2" => lines[row].clear(),
                    'K' => lines[row].truncate(column),
                    'm' | 'h' | 'l' => {}
                    other => panic!("an unknown control sequence: {number}{other}"),
                }
            }
            c => {
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
    }
    lines
        .into_iter()
        .map(|line| line.into_iter().collect::<String>().trim_end().to_owned())
        .collect()
}

pub(crate) const INPUT: &str = "input.txt";
pub(crate) const RESULTS: &str = "results.jsonl";
pub(crate) const LEDGER: &str = "ledger.db";
