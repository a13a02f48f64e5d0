//! The program's arguments.

#![allow(rustdoc::bare_urls, reason = "these comments are the help's text")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use jiff::civil::Date;

use crate::cli::money::Price;
use crate::cli::output::Layout;
use crate::cli::progress::ProgressKind;
use crate::detect::EMO_DETECT;
use crate::{
    AddressPolicy, AspectRatio, FaceScreen, ProbeOptions, RunOptions, ScreenAction, StyleLevel,
};

/// With the commit, where the build knew it: what a report of a fault should name.
const VERSION: &str = env!("EMO_PREFLIGHT_VERSION");

/// Keeps portraits that cannot pass away from the paid emo-detect-v1 call.
///
/// Reads an image's header for free, calls the service only for what is worth it, and checks the
/// boxes that come back. Results go to stdout, everything else to stderr.
#[derive(Debug, Parser)]
#[command(name = "emo-preflight", version = VERSION, max_term_width = 100)]
#[command(arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Say more on stderr; twice for more still (RUST_LOG overrides)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(super) verbose: u8,
    /// How diagnostics are written on stderr
    #[arg(long, value_name = "FORM", default_value = "text", global = true)]
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
    Probe(ProbeArguments),
    /// Check headers, then make the paid call for what passes (key: DASHSCOPE_API_KEY)
    Check(Box<CheckArguments>),
    /// Stand in front of DashScope clients in any language, as an HTTP service
    Serve(Box<ServeArguments>),
    /// Say what calls have cost, by Beijing days as on the vendor's bill
    Spend(SpendArguments),
    /// Turn a results file into emo-v1 request bodies, one a line; submits nothing
    EmoBody(EmoBodyArguments),
    /// Print the SQL that makes a PostgreSQL ledger's schema, for a database administrator
    LedgerSchema,
    /// Run the stand-in service on loopback until Ctrl-C
    Emulator(EmulatorArguments),
    /// Run the whole flow on the stand-in service and built-in images; needs no key
    Demo,
}

#[derive(Debug, Args)]
pub(super) struct ProbeArguments {
    #[command(flatten)]
    pub(super) sources: SourceArguments,
    #[command(flatten)]
    pub(super) local: LocalArguments,
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
    pub(super) output: OutputArguments,
    #[command(flatten)]
    pub(super) gate: GateArguments,
    /// Stop before the call; say how many calls and how much money it would be
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// How the paid call is made, and what is remembered of it.
#[derive(Debug, Args)]
pub(super) struct GateArguments {
    /// Base URL of the service; http only on loopback
    /// [default: https://dashscope.aliyuncs.com/api/v1]
    // The variable's value is not shown in the help: it may hold userinfo.
    #[arg(long, value_name = "U", env = "DASHSCOPE_HTTP_BASE_URL", hide_env_values = true)]
    pub(super) base_url: Option<String>,
    /// Model to call; a dedicated deployment has its own name
    #[arg(long, value_name = "M", default_value = EMO_DETECT.model)]
    pub(super) model: String,
    /// Workspace to call in
    #[arg(long, value_name = "W")]
    pub(super) workspace: Option<String>,
    /// Seconds a paid call may take, its answer included
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) call_timeout: Duration,
    /// Paid calls a second at the most
    #[arg(long, value_name = "R", default_value = "5", value_parser = rate, allow_negative_numbers = true)]
    pub(super) rps: f64,
    /// Whose quota the calls count against [default: a digest of the key]
    #[arg(long, value_name = "NAME")]
    pub(super) account: Option<String>,
    /// Hard cap on paid calls of the run
    #[arg(long, value_name = "N")]
    pub(super) max_calls: Option<u64>,
    /// Name of the run that the cap counts for; several processes may be one run
    /// [default: a fresh one]
    #[arg(long, value_name = "ID")]
    pub(super) run: Option<String>,
    #[command(flatten)]
    pub(super) ledger: LedgerArguments,
    /// Do not reuse verdicts older than this (30d, 12h)
    #[arg(long, value_name = "D", value_parser = age, allow_hyphen_values = true)]
    pub(super) ledger_max_age: Option<Duration>,
    /// Ask again, once, what was of unknown bill before now; this may pay twice
    #[arg(long)]
    pub(super) retry_unknown: bool,
    /// Do not ask again about an image that the ledger knows under another URL. Two images are the
    /// same when length, first and last 1,024 bytes, format and sides are; with --screen-faces, when
    /// all their bytes are
    #[arg(long)]
    pub(super) same_content: bool,
}

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Address and port to listen on; on another than loopback EMO_PREFLIGHT_TOKEN must be set
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8485", value_parser = listen)]
    pub(super) listen: SocketAddr,
    /// Pass on to the service what is not for the gate: other paths, other models, with the caller's
    /// own key
    #[arg(long)]
    pub(super) pass_through: bool,
    #[command(flatten)]
    pub(super) local: LocalArguments,
    #[command(flatten)]
    pub(super) gate: GateArguments,
}

#[derive(Debug, Args)]
pub(super) struct LedgerArguments {
    /// SQLite file of the ledger, postgres://… for many machines, or none (in memory: a question may
    /// be paid for again by another process) [default: emo-preflight/ledger.db in the state directory]
    // As with the base URL: a value that is a database's URL by mistake has a password in it.
    #[arg(long, value_name = "L", env = "EMO_PREFLIGHT_LEDGER", hide_env_values = true)]
    pub(super) ledger: Option<String>,
    /// Seconds that a PostgreSQL ledger is waited for when it cannot be reached
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) ledger_wait: Duration,
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
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("images").required(true).multiple(true).args(["sources", "input"])))]
pub(super) struct SourceArguments {
    /// http(s) URLs of images; for probe also paths of files
    #[arg(value_name = "SOURCE")]
    pub(super) sources: Vec<String>,
    /// File (- for stdin): one source a line, a JSON object with image_url, ratio, image_id, or CSV
    #[arg(long, value_name = "FILE")]
    pub(super) input: Option<PathBuf>,
    /// CSV input, told by its first line: the column with the URL
    #[arg(long, value_name = "NAME", default_value = "image_url")]
    pub(super) url_column: String,
    /// Aspect ratio to ask for: 1:1 (profile) or 3:4 (half-body)
    #[arg(long, value_name = "RATIO", default_value = "1:1", value_parser = ratio)]
    pub(super) ratio: AspectRatio,
}

#[derive(Debug, Args)]
pub(super) struct LocalArguments {
    /// Sources under way at a time
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_least_1)]
    concurrency: usize,
    /// Requests under way to one host at a time
    #[arg(long, value_name = "N", default_value = "16", value_parser = at_least_1)]
    per_host: usize,
    /// Seconds the local stage of one source may take
    #[arg(long, value_name = "S", default_value = "20", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Duration,
    /// Bytes to take of one image before giving up; at least 1024
    #[arg(long, value_name = "N", default_value = "4194304", value_parser = clap::value_parser!(u64).range(1_024..))]
    max_header_bytes: u64,
    /// Fetch from addresses that are not public too
    #[arg(long)]
    allow_private_network: bool,
    /// User-Agent of image fetches [default: emo-preflight/VERSION]
    #[arg(long, value_name = "S")]
    user_agent: Option<String>,
    /// Look for a face in what passes by its header: only advise, or reject what surely has no usable
    /// one. Fetches whole images
    #[arg(long, value_name = "HOW", default_value = "off")]
    screen_faces: ScreenFaces,
    /// Model of SeetaFace's frontal detector to look with [default: built in]
    #[arg(long, value_name = "FILE", requires = "screen_faces")]
    face_model: Option<PathBuf>,
}

/// What is done with what the face screen finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScreenFaces {
    Off,
    Advise,
    Reject,
}

impl LocalArguments {
    pub(super) fn probe_options(&self) -> anyhow::Result<ProbeOptions> {
        let options = self.options_of_fetches();
        let action = match self.screen_faces {
            ScreenFaces::Off => return Ok(options),
            ScreenFaces::Advise => ScreenAction::Advise,
            ScreenFaces::Reject => ScreenAction::Reject,
        };
        let screen = match &self.face_model {
            None => FaceScreen::new(),
            Some(path) => std::fs::read(path)
                .map_err(anyhow::Error::from)
                .and_then(|bytes| Ok(FaceScreen::from_model(&bytes)?))
                .with_context(|| path.display().to_string())?,
        };
        Ok(options.face_screen(screen.action(action)))
    }

    fn options_of_fetches(&self) -> ProbeOptions {
        let defaults = ProbeOptions::default();
        ProbeOptions {
            timeout: self.timeout,
            max_header_bytes: self.max_header_bytes,
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

    pub(super) fn run_options(&self) -> RunOptions {
        RunOptions { concurrency: self.concurrency, ..RunOptions::default() }
    }
}

#[derive(Debug, Args)]
pub(super) struct OutputArguments {
    /// One JSON object a line on stdout [default when stdout is no terminal]
    #[arg(long)]
    json: bool,
    /// Write results to this file, as JSON Lines, instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Do only what the output file lacks
    #[arg(long, requires = "output")]
    pub(super) resume: bool,
    /// How to show progress, on stderr
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(super) progress: ProgressKind,
    /// Exit 0 whenever every source got a result and the run was not stopped
    #[arg(long)]
    pub(super) exit_zero: bool,
}

impl OutputArguments {
    pub(super) fn layout(&self) -> Layout {
        if self.json { Layout::JsonLines } else { Layout::for_stdout() }
    }
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

impl ValueEnum for StyleLevel {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Normal, Self::Calm, Self::Active]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            Self::Normal => "normal",
            Self::Calm => "calm",
            Self::Active => "active",
        }))
    }
}

fn ratio(text: &str) -> Result<AspectRatio, String> {
    text.parse().map_err(|error: crate::rules::UnknownRatio| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let required = || format!("seconds must be above 0 and at most {MOST_SECONDS}, found {text:?}");
    let number: f64 = text.parse().map_err(|_| required())?;
    if number > 0.0 && number <= MOST_SECONDS {
        Ok(Duration::from_secs_f64(number))
    } else {
        Err(required())
    }
}

fn age(text: &str) -> Result<Duration, String> {
    let required = |why: String| format!("an age is like 30d or 12h: {why}");
    let span: jiff::Span = text.parse().map_err(|e: jiff::Error| required(e.to_string()))?;
    let span = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|e| required(e.to_string()))?;
    Duration::try_from(span).map_err(|_| required("found a negative one".to_owned()))
}

fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|e| format!("a day is like 2026-01-31: {e}"))
}

/// The gate knows how much is too much; that there are any is known here, without a key.
fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| *rate > 0.0 && rate.is_finite())
        .ok_or_else(|| format!("calls a second must be a number above 0, found {text:?}"))
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "it must be an IP address and a port, such as 127.0.0.1:8484 or [::1]:0, found {text:?}"
        )
    })
}

fn at_least_1(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MOST_AT_A_TIME).contains(&number) => Ok(number),
        _ => Err(format!("it must be a whole number from 1 to {MOST_AT_A_TIME}, found {text:?}")),
    }
}

const MOST_SECONDS: f64 = 86_400.0;
const MOST_AT_A_TIME: usize = 10_000;
