//! What can be done with the results of a run, as commands to paste.

use std::borrow::Cow;
use std::path::Path;

use crate::ReasonCode;
use crate::cli::counts::{Counts, Earlier};
use crate::cli::{colour, text};

/// A run's cap on calls.
pub(super) struct Cap {
    pub(super) most: u64,
    /// The run's name, where the command gives it none.
    pub(super) fresh: Option<String>,
}

impl Cap {
    /// The options that go on under the cap; where it is used up, under one that is `more` calls higher.
    fn options(&self, is_reached: bool, more: u64) -> Vec<String> {
        let run = self.fresh.iter().flat_map(|run| ["--run".to_owned(), run.clone()]);
        let most = self.most.saturating_add(more).to_string();
        run.chain(is_reached.then(|| [MAX_CALLS.to_owned(), most]).into_iter().flatten()).collect()
    }
}

/// Says it on stderr. `again`: the command of this run with `--resume` would go on with it.
pub(super) fn say(
    path: &Path,
    counts: &Counts,
    earlier: &Earlier,
    is_whole: bool,
    again: bool,
    cap: Option<&Cap>,
) {
    if text::is_quiet() || counts.sources + earlier.lines == 0 {
        return;
    }
    let results = of_path(path);
    step("to look at the results", &format!("emo-preflight report {results} -o report.html"));
    let is_reached = counts.stop.as_ref().is_some_and(|stop| stop.code == ReasonCode::CapReached);
    let options = |first: &[&str], calls: u64| -> Vec<String> {
        let under = cap.map(|cap| cap.options(is_reached, calls)).unwrap_or_default();
        first.iter().map(|option| (*option).to_owned()).chain(under).collect()
    };
    if again && (counts.undone > 0 || !is_whole) {
        let higher = if is_reached { ", under a higher cap" } else { "" };
        let what = format!("to go on with what has no verdict yet{higher}");
        same_command(&what, &options(&["--resume"], counts.undone), again);
    }
    let unsettled = counts.unsettled + earlier.unsettled;
    if unsettled > 0 {
        let images = text::count(unsettled, "image", "images");
        let what =
            format!("to ask again, once, about {images} of unknown bill, which may pay twice");
        let options = options(&["--resume", "--retry-unknown"], counts.undone + unsettled);
        same_command(&what, &options, again);
    }
    let accepted = counts.by_verdict.get("accepted").copied().unwrap_or(0) + earlier.accepted;
    if accepted > 0 {
        let images = text::count(accepted, "accepted image", "accepted images");
        step(
            &format!("to make emo-v1 requests of {images}, with your sound's URL"),
            &format!("emo-preflight emo-body {results} --audio-url {AUDIO} > bodies.jsonl"),
        );
    }
}

/// As a shell reads it.
pub(super) fn quoted(word: &str) -> Cow<'_, str> {
    // It fails for a NUL only, which no argument has.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed("''"))
}

/// The command of this run with more options, or in words where it must not be shown.
fn same_command(what: &str, options: &[String], again: bool) {
    match command_with(options).filter(|_| again) {
        Some(command) => step(what, &command),
        None => {
            text::say(format_args!("{what}: the same command, with {}", options.join(" ")));
        }
    }
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

/// This process's own command with more options, where it may be shown: a URL's signature or
/// password may not.
fn command_with(more: &[String]) -> Option<String> {
    let mut given: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.into_string().ok()).collect::<Option<_>>()?;
    if given.iter().any(|word| word.contains(['@', '?', '#'])) {
        return None;
    }
    if more.iter().any(|option| option == MAX_CALLS) {
        let mut is_its_value = false;
        given.retain(|word| {
            let stays = !std::mem::replace(&mut is_its_value, word == MAX_CALLS);
            stays && !word.starts_with(MAX_CALLS)
        });
    }
    let mut words = vec!["emo-preflight".to_owned()];
    let mut more: Vec<_> = more.iter().filter(|option| !given.contains(option)).collect();
    for word in &given {
        words.push(quoted(word).into_owned());
        if word == "check" {
            // Before what may be no options any more.
            words.extend(more.drain(..).cloned());
        }
    }
    more.is_empty().then(|| words.join(" "))
}

const MAX_CALLS: &str = "--max-calls";

const AUDIO: &str = "https://example.org/speech.wav";
