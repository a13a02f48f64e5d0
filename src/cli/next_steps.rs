//! What can be done with the results of a run, as commands to paste.

use std::borrow::Cow;
use std::path::Path;

use crate::cli::counts::{Counts, Earlier};
use crate::cli::{colour, text};

/// Says it on stderr. `again`: the command of this run with `--resume` would go on with it.
pub(super) fn say(path: &Path, counts: &Counts, earlier: &Earlier, is_whole: bool, again: bool) {
    if text::is_quiet() || counts.sources + earlier.lines == 0 {
        return;
    }
    let results = of_path(path);
    step("to look at the results", &format!("emo-preflight report {results} -o report.html"));
    if counts.undone > 0 || !is_whole {
        let what = "to go on with what has no verdict yet";
        match command_with(&["--resume"]).filter(|_| again) {
            Some(command) => step(what, &command),
            None if again => text::say(format_args!("{what}: the same command, with --resume")),
            None => {}
        }
    }
    let unsettled = counts.unsettled + earlier.unsettled;
    if unsettled > 0 {
        let images = text::count(unsettled, "image", "images");
        let what =
            format!("to ask again, once, about {images} of unknown bill, which may pay twice");
        match command_with(&["--resume", "--retry-unknown"]).filter(|_| again) {
            Some(command) => step(&what, &command),
            None => {
                text::say(format_args!("{what}: the same command, with --resume --retry-unknown"))
            }
        }
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
fn command_with(more: &[&str]) -> Option<String> {
    let given: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.into_string().ok()).collect::<Option<_>>()?;
    if given.iter().any(|word| word.contains(['@', '?', '#'])) {
        return None;
    }
    let mut words = vec!["emo-preflight".to_owned()];
    let mut more: Vec<&str> =
        more.iter().copied().filter(|option| !given.iter().any(|word| word == option)).collect();
    for word in &given {
        words.push(quoted(word).into_owned());
        if word == "check" {
            // Before what may be no options any more.
            words.extend(more.drain(..).map(str::to_owned));
        }
    }
    more.is_empty().then(|| words.join(" "))
}

const AUDIO: &str = "https://example.org/speech.wav";
