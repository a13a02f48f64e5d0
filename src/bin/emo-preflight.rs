//! The program; see `emo-preflight --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    emo_preflight::cli::main()
}
