//! What people look at: the report, and copies of images.

use std::path::PathBuf;

use clap::Args;

use super::LocalArguments;

#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArguments {
    /// Results of probe or check, JSON Lines (- for stdin)
    #[arg(value_name = "RESULTS.jsonl")]
    pub(in crate::cli) results: PathBuf,
    /// Write the page to this file
    #[arg(short, long, value_name = "FILE.html")]
    pub(in crate::cli) output: PathBuf,
    /// Fetch the images and put a small copy of each into the page
    #[arg(long)]
    pub(in crate::cli) embed: bool,
    #[command(flatten)]
    pub(in crate::cli) local: LocalArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AnnotateArguments {
    /// Results of check, JSON Lines (- for stdin)
    #[arg(value_name = "RESULTS.jsonl")]
    pub(in crate::cli) results: PathBuf,
    /// Write the copies to this folder
    #[arg(short, long, value_name = "DIR")]
    pub(in crate::cli) output: PathBuf,
    /// Write what EMO will see: the dynamic area, as 512×512 or 512×704
    #[arg(long)]
    pub(in crate::cli) crop: bool,
    #[command(flatten)]
    pub(in crate::cli) local: LocalArguments,
}
