//! What can be done with the results of a run.

use std::borrow::Cow;
use std::path::Path;

use crate::ReasonCode;
use crate::cli::counts::Counts;
use crate::cli::terminal::{colour, text};

/// A run's cap on calls.
pub(in crate::cli) struct Cap {
    pub(in crate::cli) most: u64,
    /// The run's name, where the command gives it none.
    pub(in crate::cli) fresh: Option<String>,
}

/// Says it on stderr. `again`: the command of this run with `--resume` would go on with it.
pub(in crate::cli) fn say(
    path: &Path,
    counts: &Counts,
    earlier: &Counts,
    is_whole: bool,
    again: bool,
    cap: Option<&Cap>,
) {
    if text::is_quiet() || counts.sources + earlier.sources == 0 {
        return;
    }
    let results = of_path(path);
    step("to look at the results", &format!("emo-preflight report {results} -o report.html"));
    let is_reached = counts.stop.as_ref().is_some_and(|stop| stop.code == ReasonCode::CapReached);
    let same_command = |what: &str, options: &str, calls: u64| {
        let run = cap.and_then(|cap| cap.fresh.as_ref());
        let run = run.map_or_else(String::new, |run| format!(" --run {run}"));
        let most = cap.filter(|_| is_reached).map(|cap| cap.most.saturating_add(calls));
        let most = most.map_or_else(String::new, |most| format!(" --max-calls {most}"));
        let options = colour::command(&format!("{options}{run}{most}"));
        text::say(format_args!("{what}: the same command, with {options}"));
    };
    if again && (counts.undone > 0 || !is_whole) {
        let higher = if is_reached { ", under a higher cap" } else { "" };
        let what = format!("to go on with what has no verdict yet{higher}");
        same_command(&what, "--resume", counts.undone);
    }
    let unknown = counts.unknown + earlier.unknown;
    if unknown > 0 {
        let images = text::count(unknown, "image", "images");
        let what =
            format!("to ask again, once, about {images} of unknown bill, which may pay twice");
        same_command(&what, "--resume --retry-unknown", counts.undone + unknown);
    }
    let accepted = counts.of("accepted") + earlier.of("accepted");
    if accepted > 0 {
        let images = text::count(accepted, "accepted image", "accepted images");
        step(
            &format!("to make emo-v1 requests of {images}, with your sound's URL"),
            &format!("emo-preflight emo-body {results} --audio-url {AUDIO} > bodies.jsonl"),
        );
    }
}

/// As a shell reads it.
pub(in crate::cli) fn quoted(word: &str) -> Cow<'_, str> {
    // It fails for a NUL only, which no argument has.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed("''"))
}

fn step(what: &str, command: &str) {
    text::say(format_args!("{what}:\n  {}", colour::command(command)));
}

fn of_path(path: &Path) -> String {
    let path = path.to_string_lossy();
    // Not to be taken for an option.
    let path = if path.starts_with('-') { Cow::Owned(format!("./{path}")) } else { path };
    quoted(&path).into_owned()
}

const AUDIO: &str = "https://example.org/speech.wav";
