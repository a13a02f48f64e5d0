//! Ours and the peers, one as the other.

use std::time::{Duration, Instant};

use emo_preflight::{AddressPolicy, Probe, ProbeOptions, Source};

use crate::peers::{Peer, Sides, client};

/// Who reads headers from URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Ours,
    Peer(Peer),
}

/// Ours first.
pub(crate) const CONTENDERS: [Contender; 5] = [
    Contender::Ours,
    Contender::Peer(Peer::RangeDoubling),
    Contender::Peer(Peer::StreamImagesize),
    Contender::Peer(Peer::StreamImage),
    Contender::Peer(Peer::WholeFile),
];

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "emo-preflight",
            Self::Peer(peer) => peer.name(),
        }
    }

    /// The sides of the image at `url`, and how long they took over a connection of their own.
    pub(crate) async fn look_cold(self, url: &str) -> (Sides, Duration) {
        match self {
            Self::Ours => {
                let mut options = ProbeOptions::default();
                options.addresses = AddressPolicy::Any;
                options.max_header_bytes = MOST_HEADER_BYTES;
                let probe = Probe::new(options).expect("a probe");
                let begun = Instant::now();
                let report = probe.check(Source::url(url)).await;
                let took = begun.elapsed();
                let sides = report.image.map(|header| (header.width, header.height));
                (sides.ok_or_else(|| format!("{:?}", report.reasons)), took)
            }
            Self::Peer(peer) => {
                let http = client();
                let begun = Instant::now();
                let sides = peer.look(&http, url).await;
                (sides, begun.elapsed())
            }
        }
    }
}

/// Above the default, at which ours gives up on an origin that ignores ranges and has 1.3 MB before
/// the sides: peers have no such limit.
pub(crate) const MOST_HEADER_BYTES: u64 = 2 * 1_024 * 1_024;
