//! A stream of portraits, with a ledger on disk: the second run pays for nothing.
//! `cargo run --features ledger,emulator --example stream_with_ledger`

use emo_preflight::emulator::{Emulator, Picture};
use emo_preflight::{AddressPolicy, ApiKey, Ledger, Preflight, ProbeOptions, RunOptions, Source};
use futures_util::{StreamExt as _, stream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Emulator::builder().start().await?;
    let mut urls = Vec::new();
    for (number, side) in [640, 300, 800, 1024, 200].into_iter().enumerate() {
        let image = service.serve(&format!("/{number}.png"), Picture::png(side, side));
        urls.push(image.url().to_owned());
    }

    let folder = tempfile::tempdir()?;
    for run in ["first", "second"] {
        let mut probe = ProbeOptions::default();
        probe.addresses = AddressPolicy::Any;
        let gate = Preflight::builder(ApiKey::new("sk-any")?)
            .base_url(service.base_url())
            .ledger(Ledger::open(folder.path().join("portraits.db")).await?)
            // Never more than this is paid for under the id, whoever shares the ledger.
            .max_calls(100)
            .run_id("portraits-of-november")
            .probe(probe)
            .build()
            .await?;

        let sources = stream::iter(urls.clone()).map(Source::url);
        let mut reports = gate.run(sources, RunOptions::default());
        while let Some(report) = reports.next().await {
            println!("{run}: {} {} {}", report.index, report.verdict, report.source);
        }
        println!("{run}: {:?}", gate.close().await);
    }
    // Three were worth a call, once.
    assert_eq!(service.billed(), 3);
    Ok(())
}
