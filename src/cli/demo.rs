//! `demo` and `emulator`: the whole flow without a key, on loopback only.

use std::net::SocketAddr;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _};

use crate::cli::gallery::{self, Exhibit};
use crate::cli::output::{Format, Money, Printer};
use crate::cli::signals;
use crate::cli::status::Status;
use crate::cli::text;
use crate::emulator::Emulator;
use crate::{AddressPolicy, ApiKey, Preflight, ProbeOptions, Report, RunOptions, Source};

/// Shows every built-in picture to the gate and says what was expected and what came.
pub(super) async fn run() -> anyhow::Result<Status> {
    let emulator = Emulator::builder().start().await.context("cannot start the emulator")?;
    let mut exhibits = gallery::open(&emulator);
    // The first picture a second time: it is not paid for again.
    if let Some(first) = exhibits.first() {
        let again = Exhibit { name: "portrait.jpg again", ..first.clone() };
        exhibits.push(again);
    }
    let probe = ProbeOptions { addresses: AddressPolicy::Any, ..ProbeOptions::default() };
    let gate = Preflight::builder(ApiKey::new("sk-demo")?)
        .base_url(emulator.base_url())
        .probe(probe)
        .build()
        .await?;

    println!("The whole flow on a stand-in for the service, which looks at no faces.");
    println!("{} pictures, {} calls a second at the most.\n", exhibits.len(), 5);
    println!("  {:<18} {:<38} {:<12} {:<15} {:>9}", "PICTURE", "EXPECTED", "CAME", "SIZE", "MONEY");
    let sources: Vec<Source> = exhibits
        .iter()
        .map(|exhibit| Source::url(exhibit.served.url()).ratio(exhibit.ratio))
        .collect();
    let mut reports = gate.run(stream::iter(sources), RunOptions::default());
    let signal = signals::stop_on_signal(reports.stopper());
    let mut printer = Printer::new(Format::Table, Money::Costs);
    let mut as_expected = 0;
    while let Some(report) = reports.next().await {
        printer.count(&report);
        let exhibit = usize::try_from(report.index).ok().and_then(|index| exhibits.get(index));
        as_expected += usize::from(exhibit.is_some_and(|exhibit| show(exhibit, &report)));
    }
    let spent = gate.close().await;
    println!();
    printer.summary();
    eprintln!(
        "the stand-in billed {}; the gate knows of {} for certain and of {} that may have been",
        text::count(emulator.billed(), "image", "images"),
        spent.images,
        spent.unknown,
    );
    if let Some(signal) = signal.received() {
        return Ok(Status::Signal(signal));
    }
    let all = exhibits.len();
    println!("{as_expected} of {all} pictures got the verdict they were drawn for");
    Ok(if as_expected == all { Status::Good } else { Status::Rejected })
}

/// Prints a line for one picture; true when it came out as expected.
fn show(exhibit: &Exhibit, report: &Report) -> bool {
    let (verdict, reason) = (exhibit.verdict, exhibit.reason.as_ref());
    let came = (report.verdict.as_str(), report.reasons.first().map(|reason| &reason.code));
    let say = |verdict: &str, reason: Option<&crate::ReasonCode>| match reason {
        Some(code) => format!("{verdict} {code}"),
        None => verdict.to_owned(),
    };
    let as_expected = came == (verdict, reason);
    println!(
        "{} {:<18} {:<38} {:<12} {:<15} {:>9}",
        if as_expected { "✓" } else { "✗" },
        exhibit.name,
        short(&say(verdict, reason)),
        if as_expected { "as expected".to_owned() } else { say(came.0, came.1) },
        text::size(report.image.as_ref()),
        text::bill(report.billing, report.from_ledger),
    );
    as_expected
}

/// `rejected_local shortest_side_below_min` is the longest and fits; the service's codes may not.
fn short(text: &str) -> String {
    if text.chars().count() <= 38 {
        return text.to_owned();
    }
    text.chars().take(37).chain(['…']).collect()
}

/// Runs the stand-in until a signal comes.
pub(super) async fn serve(listen: SocketAddr) -> anyhow::Result<Status> {
    let emulator = Emulator::builder()
        .listen(listen)
        .forgiving()
        .start()
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let exhibits = gallery::open(&emulator);
    let base = emulator.base_url();
    println!("{base}");
    eprintln!("A stand-in for the service, which looks at no faces. Ctrl-C ends it. Pictures:");
    for exhibit in &exhibits {
        let reason = exhibit.reason.as_ref().map_or(String::new(), |code| format!(" {code}"));
        eprintln!("  {}  ({}{reason})", exhibit.served.url(), exhibit.verdict);
    }
    eprintln!("Try, in another terminal:");
    if let Some(first) = exhibits.first() {
        eprintln!(
            "  DASHSCOPE_API_KEY=sk-any DASHSCOPE_HTTP_BASE_URL={base} \\\n    \
             emo-preflight check --allow-private-network {}",
            first.served.url()
        );
    }
    signals::next().await;
    eprintln!(
        "\nbilled {} of {}",
        emulator.billed(),
        text::count(emulator.calls(), "call", "calls")
    );
    Ok(Status::Good)
}
