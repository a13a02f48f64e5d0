//! The program's arguments.

#![allow(rustdoc::bare_urls, reason = "these comments are the help's text")]

mod batch;
mod examples;
mod gate;
mod ledger;
mod pictures;
mod screen;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::civil::Date;

pub(super) use batch::{LocalArguments, OutputArguments, SourceArguments};
pub(super) use gate::{GateArguments, LedgerArguments};
pub(super) use ledger::LedgerCommand;
pub(super) use pictures::{AnnotateArguments, ReportArguments};
pub(super) use screen::ScreenArguments;

pub(super) use values::seconds;

use self::values::{day, listen};
use crate::StyleLevel;
use crate::report::Price;

/// With the commit, where the build knew it: what a report of a fault should name.
const VERSION: &str = env!("EMO_PREFLIGHT_VERSION");

/// Keeps portraits that cannot pass away from the paid emo-detect-v1 call.
///
/// Reads an image's header for free, calls the service only for what is worth it, and checks the
/// boxes that come back. Results go to stdout, everything else to stderr.
#[derive(Debug, Parser)]
#[command(name = "emo-preflight", version = VERSION, max_term_width = 100)]
#[command(arg_required_else_help = true, after_help = examples::PROGRAM)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Say less on stderr: errors, and why a run stopped
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = OUTPUT)]
    pub(super) quiet: bool,
    /// Say more on stderr; twice for more still (RUST_LOG overrides)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = OUTPUT)]
    #[arg(hide_short_help = true)]
    pub(super) verbose: u8,
    /// When to use colours [default: auto]
    ///
    /// auto: on a terminal, unless NO_COLOR is set or TERM is dumb.
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, help_heading = OUTPUT)]
    #[arg(hide_default_value = true, hide_short_help = true)]
    pub(super) color: ColorChoice,
    /// How diagnostics are written on stderr
    #[arg(long, value_name = "FORM", default_value = "text", global = true, help_heading = OUTPUT)]
    #[arg(hide_short_help = true)]
    pub(super) log: LogForm,
}

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogForm {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check headers, and faces with --screen-faces: free, needs no key
    #[command(after_help = examples::PROBE)]
    Probe(ProbeArguments),
    /// Check headers, then make the paid call for what passes (key: DASHSCOPE_API_KEY)
    #[command(after_help = examples::CHECK, after_long_help = examples::CHECK_LONG)]
    // Clap would name the options that the environment sets as if they had to be given.
    #[command(override_usage = "emo-preflight check [OPTIONS] <SOURCE|--input <FILE>>")]
    Check(Box<CheckArguments>),
    /// Stand in front of DashScope clients in any language, as an HTTP service
    #[command(after_help = examples::SERVE)]
    Serve(Box<ServeArguments>),
    /// Say what calls have cost, by Beijing days as on the vendor's bill
    #[command(after_help = examples::SPEND)]
    Spend(SpendArguments),
    /// Make a page to look at of a results file
    #[command(after_help = examples::REPORT)]
    Report(Box<ReportArguments>),
    /// Write copies of the images with both boxes drawn in, or what EMO will see of them
    #[command(after_help = examples::ANNOTATE)]
    Annotate(Box<AnnotateArguments>),
    /// Turn a results file into emo-v1 request bodies, one a line; submits nothing
    #[command(after_help = examples::EMO_BODY)]
    EmoBody(EmoBodyArguments),
    /// Export what was paid for, go on with a copied ledger, print a database's schema
    #[command(after_help = examples::LEDGER)]
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Run the stand-in service on loopback until Ctrl-C
    #[command(after_help = examples::EMULATOR)]
    Emulator(EmulatorArguments),
    /// Run the whole flow on the stand-in service and built-in images; needs no key
    #[command(after_help = examples::DEMO)]
    Demo,
    /// Print a shell's completions
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of the program, or of a command of it
    #[command(after_help = examples::MAN)]
    Man {
        /// A command, such as check
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct ProbeArguments {
    #[command(flatten)]
    pub(super) sources: SourceArguments,
    #[command(flatten)]
    pub(super) local: LocalArguments,
    #[command(flatten)]
    pub(super) screen: ScreenArguments,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    pub(super) sources: SourceArguments,
    #[command(flatten)]
    pub(super) local: LocalArguments,
    #[command(flatten)]
    pub(super) screen: ScreenArguments,
    /// Stop before the call; say what it would cost
    ///
    /// Say how many calls and how much money it would be. Free, needs no key.
    #[arg(long, help_heading = PAID_CALL)]
    pub(super) dry_run: bool,
    /// Do not ask before more than 25 calls
    ///
    /// A run from a terminal that may make more than 25 calls and has no --max-calls asks before it
    /// begins. This answers yes.
    #[arg(long, help_heading = PAID_CALL)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) gate: GateArguments,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Address and port to listen on
    ///
    /// On another address than loopback EMO_PREFLIGHT_TOKEN must be set: callers must show it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8485", value_parser = listen)]
    #[arg(help_heading = SERVER)]
    pub(super) listen: SocketAddr,
    /// Pass on what is not for the gate
    ///
    /// Other paths and other models go on to the service, with the caller's own key.
    #[arg(long, help_heading = SERVER)]
    pub(super) pass_through: bool,
    #[command(flatten)]
    pub(super) local: LocalArguments,
    #[command(flatten)]
    pub(super) screen: ScreenArguments,
    #[command(flatten)]
    pub(super) gate: GateArguments,
}

#[derive(Debug, Args)]
pub(super) struct SpendArguments {
    #[command(flatten)]
    pub(super) ledger: LedgerArguments,
    /// First day to count, as in 2026-01-31, Beijing time
    #[arg(long, value_name = "D", value_parser = day)]
    pub(super) since: Option<Date>,
    /// Last day to count
    #[arg(long, value_name = "D", value_parser = day)]
    pub(super) until: Option<Date>,
    /// Price of an image in CNY
    #[arg(long, value_name = "P", default_value = "0.004", value_parser = Price::parse)]
    pub(super) price: Price,
    /// List the calls of unknown bill instead
    #[arg(long)]
    pub(super) unknown: bool,
    /// JSON on stdout
    #[arg(long, help_heading = OUTPUT)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct EmoBodyArguments {
    /// Results of check, JSON Lines (- for stdin)
    #[arg(value_name = "RESULTS.jsonl")]
    pub(super) results: PathBuf,
    /// The sound: wav or mp3, less than 15 MB, less than 60 s
    #[arg(long, value_name = "U")]
    pub(super) audio_url: String,
    /// How lively the head moves
    #[arg(long, value_name = "LEVEL", default_value = "normal")]
    pub(super) style_level: StyleLevel,
    /// Make bodies of box_mismatch results too
    #[arg(long)]
    pub(super) accept_mismatch: bool,
}

#[derive(Debug, Args)]
pub(super) struct EmulatorArguments {
    /// Loopback address and port to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8484", value_parser = listen)]
    pub(super) listen: SocketAddr,
    /// Calls in any second before it answers 429; 0 for no limit
    #[arg(long, value_name = "R", default_value = "5")]
    pub(super) rps: u32,
}

const OUTPUT: &str = "Output";
const PAID_CALL: &str = "Paid call";
const SERVER: &str = "Server";
