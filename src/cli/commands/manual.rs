//! `completions` and `man`, made from the arguments by clap's own crates.

use anyhow::{Context as _, bail};
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::args::Arguments;

pub(in crate::cli) fn completions(shell: Shell) -> Vec<u8> {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// The manual page, in roff: of the program, or of a command of it.
pub(in crate::cli) fn page(command: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let mut program = Arguments::command();
    // Gives the commands their full names and the options that all of them have.
    program.build();
    let page = match command {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(found) => found.clone(),
            None => bail!(
                "there must be such a command, found {name:?}; `emo-preflight --help` lists them"
            ),
        },
    };
    // The page leaves out what `-h` hides, unless it has a long form.
    let page = page.mut_args(|argument| match argument.get_help().cloned() {
        Some(help) if argument.get_long_help().is_none() => argument.long_help(help),
        _ => argument,
    });
    let mut text = Vec::new();
    Man::new(page).render(&mut text).context("cannot write the page")?;
    Ok(text)
}
