//! What every public type promises to who holds it: it may go to any thread and stay there. That
//! this compiles is the test.

use emo_preflight::header::{
    FirstBytes, Format, Found, Header, HeaderError, HeaderReader, InvalidOrientation, Orientation,
    Problem, ReadError, Shortcut, Step,
};
use emo_preflight::{
    Advice, AspectRatio, BBox, Billing, BoxProblem, Certainty, EmoInput, EmoParameters, EmoRequest,
    Fetch, Fields, HandOffError, Limits, Mismatch, Reason, ReasonCode, Report, Screen, ScreenFace,
    StyleLevel, UnknownRatio, Verdict, Violation,
};

fn goes_anywhere<T: Send + Sync + Unpin + 'static>() {}

macro_rules! all_go_anywhere {
    ($($type:ty),* $(,)?) => { $(goes_anywhere::<$type>();)* };
}

#[test]
fn what_needs_no_feature_goes_anywhere() {
    all_go_anywhere!(BoxProblem, UnknownRatio, AspectRatio, BBox, Limits, Violation);
    all_go_anywhere!(FirstBytes, Format, Found, Header, HeaderError, HeaderReader);
    all_go_anywhere!(InvalidOrientation, Orientation, Problem, ReadError, Shortcut, Step);
    all_go_anywhere!(Billing, Certainty, Fetch, Fields, Reason, ReasonCode, Report, Verdict);
    all_go_anywhere!(Advice, Screen, ScreenFace);
    all_go_anywhere!(EmoInput, EmoParameters, EmoRequest, HandOffError, Mismatch, StyleLevel);
}

#[cfg(feature = "faces")]
#[test]
fn the_face_screens_types_go_anywhere() {
    use emo_preflight::{FaceModelError, FaceScreen, Finding, ScreenAction, ScreenThresholds};
    all_go_anywhere!(FaceModelError, FaceScreen, Finding, ScreenAction, ScreenThresholds);
}

#[cfg(feature = "client")]
mod client {
    use emo_preflight::{
        Activity, AddressPolicy, ApiKey, ConfigError, GateError, KeyError, Ledger, LedgerError,
        Preflight, PreflightBuilder, Probe, ProbeOptions, RootCertificate, Run, RunOptions, Source,
        Spent, Stopper,
    };
    use futures_util::stream;

    use super::goes_anywhere;

    fn can_be_spawned<F: Future + Send + 'static>(_: F) {}
    fn can_be_sent<F: Future + Send>(_: F) {}

    #[test]
    fn the_clients_types_go_anywhere() {
        all_go_anywhere!(Activity, AddressPolicy, ApiKey, ConfigError, GateError, KeyError);
        all_go_anywhere!(Ledger, LedgerError, Preflight, PreflightBuilder, Probe, ProbeOptions);
        all_go_anywhere!(RootCertificate, RunOptions, Source, Spent, Stopper);
    }

    #[tokio::test]
    async fn the_clients_futures_can_be_spawned() {
        let builder = Preflight::builder(ApiKey::new("sk-any").unwrap());
        can_be_spawned(builder.clone().build());
        let gate = builder.build().await.unwrap();
        can_be_spawned(gate.check(Source::url("")));
        can_be_sent(gate.close());
        let probe = Probe::new(ProbeOptions::default()).unwrap();
        can_be_spawned(probe.check(Source::url("")));
        let runs: [Run; 2] = [
            gate.run(stream::empty(), RunOptions::default()),
            probe.run(stream::empty(), RunOptions::default()),
        ];
        can_be_spawned(async move { drop(runs) });
    }
}

#[cfg(feature = "ledger")]
#[test]
fn the_ledgers_types_go_anywhere() {
    all_go_anywhere!(emo_preflight::DaySpend, emo_preflight::Spend, emo_preflight::UnknownCall);
}

#[cfg(feature = "ledger")]
#[tokio::test]
async fn the_ledgers_futures_can_be_sent() {
    use emo_preflight::Ledger;

    fn can_be_sent<F: Future + Send>(_: F) {}
    let ledger = Ledger::in_memory();
    can_be_sent(Ledger::open("never-opened.db"));
    can_be_sent(Ledger::open_read_only("never-opened.db"));
    can_be_sent(ledger.spend(None, None));
    can_be_sent(ledger.unknown_calls());
}

#[cfg(feature = "emulator")]
#[test]
fn the_emulators_types_go_anywhere() {
    use emo_preflight::emulator::{Emulator, EmulatorBuilder, Fate, Picture, Received, Served};
    all_go_anywhere!(Emulator, EmulatorBuilder, Fate, Picture, Received, Served);
}
