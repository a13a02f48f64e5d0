//! One portrait through the whole gate. Here against the stand-in service; in earnest leave out
//! `base_url` and take `ApiKey::from_env()`:
//! `cargo run --features client,emulator --example one_url`

use emo_preflight::emulator::{Emulator, Picture};
use emo_preflight::{AddressPolicy, ApiKey, AspectRatio, Preflight, ProbeOptions, Source, Verdict};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Emulator::builder().start().await?;
    let portrait = service.serve("/portrait.jpg", Picture::jpeg(768, 1024));

    let mut probe = ProbeOptions::default();
    // The stand-in's images are on loopback, which is no public address.
    probe.addresses = AddressPolicy::Any;
    let gate = Preflight::builder(ApiKey::new("sk-any")?)
        .base_url(service.base_url())
        .probe(probe)
        .build()
        .await?;

    let source = Source::url(portrait.url()).ratio(AspectRatio::Portrait);
    // An error is the gate's; whatever is wrong with an image is in its report.
    let report = gate.check(source).await?;
    match &report.verdict {
        Verdict::Accepted { face, ext } => println!("face {face}, dynamic area {ext}"),
        other => println!("{other}: {:?}", report.reasons),
    }
    println!("billed: {} image", report.billing.images);
    assert_eq!(service.billed(), report.billing.images);
    Ok(())
}
