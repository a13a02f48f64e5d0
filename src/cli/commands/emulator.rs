//! `emulator`: the stand-in service, for people's own clients.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;

use crate::cli::commands::gallery;
use crate::cli::signals;
use crate::cli::status::Status;
use crate::cli::terminal::text;
use crate::emulator::Emulator;

/// Runs the stand-in until a signal comes.
pub(in crate::cli) async fn run(listen: SocketAddr, rps: u32) -> anyhow::Result<Status> {
    let emulator = Emulator::builder()
        .listen(listen)
        .forgiving()
        .rps((rps > 0).then_some(rps))
        .start()
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let exhibits = gallery::open(&emulator);
    let base = emulator.base_url();
    let mut signals = signals::Signals::new();
    // For programs; people find it below too, so it does not matter if nobody reads it.
    let _ = writeln!(std::io::stdout(), "{base}");
    text::say("A stand-in for the service, which looks at no faces. Ctrl-C ends it. Images:");
    for exhibit in &exhibits {
        let reason = exhibit.reason.as_ref().map_or(String::new(), |code| format!(" {code}"));
        text::say(format_args!("  {}  ({}{reason})", exhibit.served.url(), exhibit.verdict));
    }
    text::say("Try, in another terminal:");
    if let Some(first) = exhibits.first() {
        text::say(format_args!(
            "  DASHSCOPE_API_KEY=sk-any DASHSCOPE_HTTP_BASE_URL={base} \\\n    \
             emo-preflight check --allow-private-network --ledger none {}",
            first.served.url()
        ));
    }
    match &mut signals {
        Some(signals) => signals.next().await,
        // The system's own handling of the signal ends the process.
        None => std::future::pending().await,
    };
    text::say(format_args!(
        "\nbilled {} of {}",
        emulator.billed(),
        text::count(emulator.calls(), "call", "calls")
    ));
    Ok(Status::Good)
}
