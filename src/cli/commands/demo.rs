//! `demo`: the whole flow without a key, on loopback only.

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _};

use crate::cli::commands::gallery::{self, Exhibit};
use crate::cli::counts::Counts;
use crate::cli::output::{Layout, Printer};
use crate::cli::signals;
use crate::cli::status::Status;
use crate::cli::terminal::progress::{Progress, ProgressKind};
use crate::cli::terminal::summary::{self, Calls};
use crate::cli::terminal::{colour, text};
use crate::cli::timing::Timing;
use crate::emulator::Emulator;
use crate::{AddressPolicy, ApiKey, Preflight, ProbeOptions, Report, RunOptions, Source};

/// Shows every built-in image to the gate and says what was expected and what came.
pub(in crate::cli) async fn run() -> anyhow::Result<Status> {
    let emulator = Emulator::builder().start().await.context("cannot start the emulator")?;
    let mut exhibits = gallery::open(&emulator);
    // The first image a second time: it is not paid for again.
    if let Some(first) = exhibits.first() {
        let again = Exhibit { name: "portrait.jpg ×2", ..first.clone() };
        exhibits.push(again);
    }
    let probe = ProbeOptions { addresses: AddressPolicy::Any, ..ProbeOptions::default() };
    let gate = Preflight::builder(ApiKey::new("sk-demo")?)
        .base_url(emulator.base_url())
        .probe(probe)
        .build()
        .await?;

    let sources: Vec<Source> = exhibits
        .iter()
        .map(|exhibit| Source::url(exhibit.served.url()).ratio(exhibit.ratio))
        .collect();
    let mut reports = gate.run(stream::iter(sources), RunOptions::default());
    let stopper = reports.stopper();
    let signal = signals::stop_on_signal(reports.stopper());
    let silent = Progress::new(ProgressKind::None, None, None, Timing::default().progress);
    let out = Box::new(std::io::stdout());
    let mut printer = Printer::new(out, Layout::Table, true, silent);
    printer.line(
        &format!(
            "The whole flow on a stand-in for the service, which looks at no faces.\n\
             {} images, 5 calls a second at the most.\n\n  \
             {:<15} {:<38} {:<13} {:>9}",
            exhibits.len(),
            "IMAGE",
            "VERDICT, as it was drawn for",
            "SIZE",
            "MONEY"
        ),
        &stopper,
    );
    let mut as_expected = 0;
    while let Some(report) = reports.next().await {
        printer.counts.add(&report);
        let exhibit = usize::try_from(report.index).ok().and_then(|index| exhibits.get(index));
        if let Some(exhibit) = exhibit {
            let (line, met) = compare(exhibit, &report);
            printer.line(&line, &stopper);
            as_expected += usize::from(met);
        }
    }
    let spent = gate.close().await;
    let all = exhibits.len();
    let ended_early = signal.received().is_some() || printer.is_unread();
    if !ended_early {
        printer.line(
            &format!("\n{as_expected} of {all} images got the verdict they were drawn for\n"),
            &stopper,
        );
    }
    summary::say(&printer.counts, Calls::Made, &Counts::default(), spent);
    text::say_wrapped(
        format_args!(
            "the stand-in billed {}; the gate knows of {} for certain and of {} that may have been",
            text::count(emulator.billed(), "image", "images"),
            spent.images,
            spent.unknown,
        ),
        2,
    );
    text::say("next, with an image of yours, for free:\n  emo-preflight probe portrait.jpg");
    if let Some(signal) = signal.received() {
        return Ok(Status::Signal(signal));
    }
    Ok(match as_expected == all {
        _ if printer.is_unread() => Status::Stopped,
        true => Status::Good,
        false => Status::Rejected,
    })
}

/// The line of one image, and whether it came out as expected.
fn compare(exhibit: &Exhibit, report: &Report) -> (String, bool) {
    let (verdict, reason) = (exhibit.verdict, exhibit.reason.as_ref());
    let came = (report.verdict.as_str(), report.reasons.first().map(|reason| &reason.code));
    let say = |verdict: &str, reason: Option<&crate::ReasonCode>| match reason {
        Some(code) => format!("{verdict} {code}"),
        None => verdict.to_owned(),
    };
    let as_expected = came == (verdict, reason);
    let line = format!(
        "{} {:<15} {:<38} {:<13} {:>9}{}",
        colour::mark(as_expected, if as_expected { "✓" } else { "✗" }),
        exhibit.name,
        // `rejected_local shortest_side_below_min` fits; codes of the service may not.
        console::truncate_str(&say(verdict, reason), 38, "…"),
        text::size(report.image.as_ref()),
        text::bill(report.billing, report.from_ledger),
        if as_expected { String::new() } else { format!("\n  came: {}", say(came.0, came.1)) },
    );
    (line, as_expected)
}
