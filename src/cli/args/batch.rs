//! Where sources come from, how the local stage goes about them, and where results go.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::values::{at_a_time, seconds};
use crate::cli::output::Layout;
use crate::cli::terminal::progress::ProgressKind;
use crate::{AddressPolicy, AspectRatio, ProbeOptions, RunOptions};

#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
#[command(group(ArgGroup::new("images").required(true).multiple(true).args(["sources", "input"])))]
pub(in crate::cli) struct SourceArguments {
    /// http(s) URLs of images; for probe also paths
    #[arg(value_name = "SOURCE", help_heading = "Source", display_order = 0)]
    pub(in crate::cli) sources: Vec<String>,
    /// List of sources; - is stdin
    ///
    /// One source a line; or a JSON object a line with image_url and, where you like, ratio, image_id
    /// and fields of your own; or CSV, told by its first line.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) input: Option<PathBuf>,
    /// CSV input, told by its first line: the column with the URL
    #[arg(long, value_name = "NAME", default_value = "image_url", hide_short_help = true)]
    pub(in crate::cli) url_column: String,
    /// 1:1 (profile) or 3:4 (half-body) [default: 1:1]
    ///
    /// Aspect ratio to ask for, where a line of the input has none of its own.
    #[arg(long, value_name = "RATIO", default_value = "1:1")]
    #[arg(hide_default_value = true)]
    pub(in crate::cli) ratio: AspectRatio,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Local stage")]
pub(in crate::cli) struct LocalArguments {
    /// Sources under way at a time
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_a_time())]
    concurrency: usize,
    /// Requests under way to one host at a time
    #[arg(long, value_name = "N", default_value = "16", value_parser = at_a_time())]
    #[arg(hide_short_help = true)]
    per_host: usize,
    /// Seconds for the local stage of one source
    #[arg(long, value_name = "S", default_value = "20", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Duration,
    /// Bytes to take of one image before giving up; at least 1024
    #[arg(long, value_name = "N", default_value = "4194304", value_parser = clap::value_parser!(u64).range(1_024..))]
    #[arg(hide_short_help = true)]
    max_header_bytes: u64,
    /// Bytes to read of an image whose origin gives no ranges or no length
    ///
    /// An image is known by its bytes. Where parts of it cannot be asked for, all of it is read before a
    /// call.
    #[arg(long, value_name = "N", default_value = "67108864", value_parser = clap::value_parser!(u64).range(16_384..))]
    #[arg(hide_short_help = true)]
    max_image_bytes: u64,
    /// Fetch from private addresses too
    ///
    /// Addresses that are not public (loopback, 10.0.0.0/8 and so on) are refused otherwise, after
    /// redirects too.
    #[arg(long)]
    allow_private_network: bool,
    /// User-Agent of image fetches [default: emo-preflight/VERSION]
    #[arg(long, value_name = "S", hide_short_help = true)]
    user_agent: Option<String>,
}

impl LocalArguments {
    pub(in crate::cli) fn probe_options(&self) -> ProbeOptions {
        let defaults = ProbeOptions::default();
        ProbeOptions {
            timeout: self.timeout,
            max_header_bytes: self.max_header_bytes,
            max_image_bytes: self.max_image_bytes,
            per_host: self.per_host,
            addresses: if self.allow_private_network {
                AddressPolicy::Any
            } else {
                AddressPolicy::PublicOnly
            },
            user_agent: self.user_agent.clone().unwrap_or(defaults.user_agent),
            ..defaults
        }
    }

    pub(in crate::cli) fn run_options(&self) -> RunOptions {
        RunOptions { concurrency: self.concurrency, ..RunOptions::default() }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(in crate::cli) struct OutputArguments {
    /// JSON Lines, not a table [default if piped]
    ///
    /// One JSON object a line on stdout. A terminal gets a table otherwise.
    #[arg(long)]
    json: bool,
    /// Write results here, as JSON Lines
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Do only what the output file lacks
    #[arg(long, requires = "output")]
    pub(in crate::cli) resume: bool,
    /// How to show progress, on stderr
    #[arg(long, value_name = "HOW", default_value = "auto", hide_short_help = true)]
    pub(in crate::cli) progress: ProgressKind,
    /// Exit 0 whenever every source got a result
    ///
    /// Exit with 0 where it would be 1 or 3: every source got a result and the run was not stopped.
    #[arg(long, hide_short_help = true)]
    pub(in crate::cli) exit_zero: bool,
}

impl OutputArguments {
    pub(in crate::cli) fn layout(&self) -> Layout {
        if self.json { Layout::JsonLines } else { Layout::for_stdout() }
    }
}
