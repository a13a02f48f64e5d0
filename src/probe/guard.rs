//! Which addresses image fetches may connect to.
//!
//! Literal addresses are judged before each hop, since they never reach a resolver. Names are
//! judged by a resolver that hands on only allowed addresses: the HTTP client connects to these
//! and looks nothing up again, so a name cannot answer with a public address first and a private
//! one next (DNS rebinding). Proxies from the environment are not used: they would connect past
//! this check.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;
use url::{Host, Url};

/// Which addresses image fetches may connect to.
///
/// Judged is the address itself, just before the connection is made to it and at every hop:
/// whatever a URL writes for it, and whatever its name resolved to before. Image fetches therefore
/// take no proxy from the environment (`HTTP_PROXY` and its like): a proxy would look the name up
/// and connect where nobody judges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressPolicy {
    /// Public addresses only, judged by the IANA special-purpose registries (RFC 6890); an IPv6
    /// address that stands for an IPv4 address is what that one is. The default.
    #[default]
    PublicOnly,
    /// Public addresses, and these: an internal mirror, say.
    ///
    /// ```
    /// use emo_preflight::{AddressPolicy, ProbeOptions};
    /// let mut options = ProbeOptions::default();
    /// options.addresses = AddressPolicy::PublicAnd(vec![[10, 0, 0, 7].into()]);
    /// assert!(options.addresses.allows([10, 0, 0, 7].into()));
    /// assert!(!options.addresses.allows([10, 0, 0, 8].into()));
    /// ```
    PublicAnd(Vec<IpAddr>),
    /// Any address.
    Any,
}

impl AddressPolicy {
    /// Whether a connection to `address` is allowed.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::PublicOnly => not_public(address).is_none(),
            Self::PublicAnd(more) => more.contains(&address) || not_public(address).is_none(),
        }
    }

    /// Judges a URL whose host is a literal address; the URL parser has already read it in every
    /// form it may be written in (`0x7f.1`, `2130706433`, `[::ffff:7f00:1]`).
    pub(super) fn judge_literal(&self, url: &Url) -> Result<(), PrivateAddress> {
        let address = match url.host() {
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.allows(address) { Ok(()) } else { Err(PrivateAddress::of(address)) }
    }

    /// The first of a name's addresses that are allowed. A name that has no address at all is not
    /// refused here: the connection fails.
    fn admit(
        &self,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, PrivateAddress> {
        let mut allowed = Vec::new();
        let mut refused = None;
        for found in found {
            if !self.allows(found.ip()) {
                refused = Some(PrivateAddress::of(found.ip()));
            } else if allowed.len() < MAX_ADDRESSES {
                allowed.push(found);
            }
        }
        match refused {
            Some(refused) if allowed.is_empty() => Err(refused),
            _ => Ok(allowed),
        }
    }
}

/// A connection that the policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address is public, found {address} ({kind})")]
pub(crate) struct PrivateAddress {
    address: IpAddr,
    kind: &'static str,
}

impl PrivateAddress {
    fn of(address: IpAddr) -> Self {
        Self { address, kind: not_public(address).unwrap_or("not allowed") }
    }
}

/// Where names are looked up, whatever the addresses.
pub(super) trait Names: Send + Sync {
    fn find(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// Looks names up as this machine does.
pub(super) struct SystemNames;

impl Names for SystemNames {
    fn find(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    }
}

/// Resolves names to allowed addresses only.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    pub(super) policy: AddressPolicy,
    pub(super) names: Arc<dyn Names>,
}

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.policy.clone();
        let found = self.names.find(name.as_str());
        Box::pin(async move { Ok(policy.admit(found.await?.into_iter())?.into_iter()) })
    }
}

/// What makes an address not public; `None` for a public one.
fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => kind_of(u32::from(v4).into(), 32, NOT_PUBLIC_V4),
        IpAddr::V6(v6) => not_public_v6(v6),
    }
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(kind) = kind_of(address.into(), 128, NOT_PUBLIC_V6) {
        return Some(kind);
    }
    let mut embeds = false;
    for form in EMBEDDING_V6 {
        if is_within(address.into(), 128, form.prefix, form.length) {
            embeds = true;
            let bits = u128::from(address) >> form.offset;
            let bits = u32::try_from(bits & 0xFFFF_FFFF).unwrap_or(0);
            let embedded = Ipv4Addr::from(if form.inverted { !bits } else { bits });
            if not_public(IpAddr::V4(embedded)).is_some() {
                return Some(form.kind);
            }
        }
    }
    if embeds { None } else { kind_of(address.into(), 128, NOT_PUBLIC_UNLESS_EMBEDDING_V6) }
}

fn kind_of<A: Copy + Into<u128>>(
    address: u128,
    width: u32,
    table: &[(A, u32, &'static str)],
) -> Option<&'static str> {
    table
        .iter()
        .find(|(prefix, length, _)| is_within(address, width, (*prefix).into(), *length))
        .map(|(.., kind)| *kind)
}

fn is_within(address: u128, width: u32, prefix: u128, length: u32) -> bool {
    let shift = width - length;
    address.checked_shr(shift).unwrap_or(0) == prefix.checked_shr(shift).unwrap_or(0)
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}

/// IANA IPv4 Special-Purpose Address Registry (RFC 6890 and its updates), and multicast
/// (RFC 5771).
const NOT_PUBLIC_V4: &[(u32, u32, &str)] = &[
    (v4(0, 0, 0, 0), 8, "unspecified"),
    (v4(10, 0, 0, 0), 8, "private"),
    (v4(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (v4(127, 0, 0, 0), 8, "loopback"),
    (v4(169, 254, 0, 0), 16, "link-local"),
    (v4(172, 16, 0, 0), 12, "private"),
    (v4(192, 0, 0, 0), 24, "protocol assignments"),
    (v4(192, 0, 2, 0), 24, "documentation"),
    (v4(192, 88, 99, 0), 24, "6to4 relay"),
    (v4(192, 168, 0, 0), 16, "private"),
    (v4(198, 18, 0, 0), 15, "benchmarking"),
    (v4(198, 51, 100, 0), 24, "documentation"),
    (v4(203, 0, 113, 0), 24, "documentation"),
    (v4(224, 0, 0, 0), 4, "multicast"),
    (v4(240, 0, 0, 0), 4, "reserved"),
];

/// IANA IPv6 Special-Purpose Address Registry: what is not public although some of it lies in
/// global unicast space.
const NOT_PUBLIC_V6: &[(u128, u32, &str)] = &[
    (0, 128, "unspecified"),
    (1, 128, "loopback"),
    (v6([0x64, 0xff9b, 1, 0]), 48, "local-use NAT64"),
    (v6([0x100, 0, 0, 0]), 64, "discard-only"),
    (v6([0x2001, 2, 0, 0]), 48, "benchmarking"),
    (v6([0x2001, 0xdb8, 0, 0]), 32, "documentation"),
    (v6([0x3fff, 0, 0, 0]), 20, "documentation"),
    (v6([0xfc00, 0, 0, 0]), 7, "unique local"),
    (v6([0xfe80, 0, 0, 0]), 10, "link-local"),
    (v6([0xfec0, 0, 0, 0]), 10, "site-local"),
    (v6([0xff00, 0, 0, 0]), 8, "multicast"),
];

/// What is not public but for the prefixes of [`EMBEDDING_V6`] within. Global unicast is 2000::/3
/// (RFC 4291, section 2.4), of which 2001::/23 is set apart (RFC 2928): the few public services
/// there are no hosts of pictures.
const NOT_PUBLIC_UNLESS_EMBEDDING_V6: &[(u128, u32, &str)] = &[
    (v6([0x2001, 0, 0, 0]), 23, "protocol assignments"),
    (v6([0x5f00, 0, 0, 0]), 16, "segment routing"),
    (v6([0, 0, 0, 0]), 3, "not global unicast"),
    (v6([0x4000, 0, 0, 0]), 2, "not global unicast"),
    (v6([0x8000, 0, 0, 0]), 1, "not global unicast"),
];

/// IPv6 addresses that hold an IPv4 address.
struct Embedding {
    prefix: u128,
    length: u32,
    /// Where the IPv4 address lies, in bits from the right.
    offset: u32,
    inverted: bool,
    /// What one is called whose IPv4 address is not public.
    kind: &'static str,
}

impl Embedding {
    const fn new(prefix: [u16; 6], length: u32, kind: &'static str) -> Self {
        let [a, b, c, d, e, f] = prefix;
        let prefix = Ipv6Addr::new(a, b, c, d, e, f, 0, 0).to_bits();
        Self { prefix, length, offset: 0, inverted: false, kind }
    }
}

/// Teredo (RFC 4380) holds two: the server's and, inverted, the client's.
const EMBEDDING_V6: &[Embedding] = &[
    Embedding::new([0, 0, 0, 0, 0, 0xffff], 96, "IPv4-mapped, not public"),
    Embedding::new([0, 0, 0, 0, 0xffff, 0], 96, "IPv4-translated, not public"),
    Embedding::new([0, 0, 0, 0, 0, 0], 96, "IPv4-compatible, not public"),
    Embedding::new([0x64, 0xff9b, 0, 0, 0, 0], 96, "NAT64 to an address not public"),
    Embedding {
        offset: 80,
        ..Embedding::new([0x2002, 0, 0, 0, 0, 0], 16, "6to4 to an address not public")
    },
    Embedding {
        offset: 64,
        ..Embedding::new([0x2001, 0, 0, 0, 0, 0], 32, "Teredo by an address not public")
    },
    Embedding {
        inverted: true,
        ..Embedding::new([0x2001, 0, 0, 0, 0, 0], 32, "Teredo to an address not public")
    },
];

const fn v6(start: [u16; 4]) -> u128 {
    let [a, b, c, d] = start;
    ((a as u128) << 112) | ((b as u128) << 96) | ((c as u128) << 80) | ((d as u128) << 64)
}

/// A name with more addresses than this is tried on the first ones only.
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
