//! When there are colours on stdout and stderr, and what they mean.

use std::io::IsTerminal as _;

use clap::ColorChoice;
use console::Style;

/// Sets it for all that is printed from here on.
pub(in crate::cli) fn apply(choice: ColorChoice) {
    let wanted = |on_terminal: bool| match choice {
        ColorChoice::Auto => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
            on_terminal && !no_color && !dumb
        }
        ColorChoice::Always => true,
        ColorChoice::Never => false,
    };
    console::set_colors_enabled(wanted(std::io::stdout().is_terminal()));
    console::set_colors_enabled_stderr(wanted(std::io::stderr().is_terminal()));
}

/// A verdict's name on stdout, padded or not.
pub(in crate::cli) fn verdict(text: &str) -> String {
    let style = match text.trim_end() {
        "accepted" | "eligible" => Style::new().green(),
        "rejected_local" | "rejected_remote" => Style::new().red(),
        "box_mismatch" | "undetermined" => Style::new().yellow(),
        "failed" => Style::new().red().bold(),
        _ => Style::new().dim(),
    };
    style.apply_to(text).to_string()
}

/// Good or bad news, on stdout.
pub(in crate::cli) fn mark(good: bool, text: &str) -> String {
    let style = if good { Style::new().green() } else { Style::new().red().bold() };
    style.apply_to(text).to_string()
}

/// The word before an error, on stderr.
pub(in crate::cli) fn alarm(text: &str) -> String {
    Style::new().for_stderr().red().bold().apply_to(text).to_string()
}

/// A command to paste, on stderr.
pub(in crate::cli) fn command(text: &str) -> String {
    Style::new().for_stderr().bold().apply_to(text).to_string()
}
