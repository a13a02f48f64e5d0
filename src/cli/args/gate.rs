//! How the paid call is made, and what is remembered of it.

use std::time::Duration;

use clap::Args;

use super::values::{age, rate, seconds};
use crate::cli::timing::Timing;
use crate::detect::EMO_DETECT;
use crate::gate::DEFAULT_ACCOUNT;

#[derive(Debug, Args)]
#[command(next_help_heading = "Paid call")]
pub(in crate::cli) struct GateArguments {
    /// Hard cap on paid calls of the run
    #[arg(long, value_name = "N")]
    pub(in crate::cli) max_calls: Option<u64>,
    /// Name of the run that --max-calls counts for
    ///
    /// Several processes may be one run. A fresh name is made where none is given, but with --resume and
    /// in serve a cap needs one.
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) run: Option<String>,
    /// Paid calls a second at the most
    #[arg(long, value_name = "R", default_value = "5", value_parser = rate, allow_negative_numbers = true)]
    pub(in crate::cli) rps: f64,
    /// Base URL of the service
    ///
    /// http only on loopback. [default: https://dashscope.aliyuncs.com/api/v1]
    // The variable's value is not shown in the help: it may hold userinfo.
    #[arg(long, value_name = "U", env = "DASHSCOPE_HTTP_BASE_URL", hide_env_values = true)]
    #[arg(hide_short_help = true)]
    pub(in crate::cli) base_url: Option<String>,
    /// Name of the service that the base URL leads to
    ///
    /// What was asked under another base URL of this name is not asked again. [default:
    /// dashscope.aliyuncs.com for every host of the vendor's in Beijing, else the base URL]
    #[arg(long, value_name = "NAME", env = "EMO_PREFLIGHT_SERVICE", hide_env = true)]
    #[arg(hide_short_help = true)]
    pub(in crate::cli) service: Option<String>,
    /// Model to call; a dedicated deployment has its own name
    #[arg(long, value_name = "M", default_value = EMO_DETECT.model, hide_short_help = true)]
    pub(in crate::cli) model: String,
    /// Workspace to call in
    #[arg(long, value_name = "W", hide_short_help = true)]
    pub(in crate::cli) workspace: Option<String>,
    /// Seconds a paid call may take, its answer included
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    #[arg(hide_short_help = true)]
    pub(in crate::cli) call_timeout: Duration,
    /// Whose quota the calls count against, whatever their keys
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ACCOUNT, hide_short_help = true)]
    pub(in crate::cli) account: String,
    #[command(flatten)]
    pub(in crate::cli) ledger: LedgerArguments,
    /// Do not reuse verdicts older than this (30d, 12h)
    #[arg(long, value_name = "D", value_parser = age, allow_hyphen_values = true)]
    #[arg(hide_short_help = true, help_heading = LEDGER)]
    pub(in crate::cli) ledger_max_age: Option<Duration>,
    /// Ask again, once, where the bill is unknown
    ///
    /// Ask again, once, what was of unknown bill before this process began. This may pay twice.
    #[arg(long, help_heading = LEDGER)]
    pub(in crate::cli) retry_unknown: bool,
    /// Waiting times for tests: NAME=SECONDS[,NAME=SECONDS…]
    #[arg(long, env = "EMO_PREFLIGHT_TIMING", hide = true, default_value = "", value_parser = Timing::parse)]
    pub(in crate::cli) timing: Timing,
}

#[derive(Debug, Args)]
#[command(next_help_heading = LEDGER)]
pub(in crate::cli) struct LedgerArguments {
    /// SQLite file, postgres://… or none
    ///
    /// Where calls are written down, so that none is paid twice: an SQLite file, postgres://… for many
    /// machines, or none (in memory: another process may pay for the same question again).
    /// [default: emo-preflight/ledger.db in the state directory]
    // As with the base URL: a value that is a database's URL by mistake has a password in it.
    #[arg(long, value_name = "L", env = "EMO_PREFLIGHT_LEDGER", hide_env_values = true)]
    pub(in crate::cli) ledger: Option<String>,
    /// Seconds that a PostgreSQL ledger is waited for when it cannot be reached
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    #[arg(hide_short_help = true)]
    pub(in crate::cli) ledger_wait: Duration,
}

const LEDGER: &str = "Ledger";
