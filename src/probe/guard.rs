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
use ipnet::{Ipv4Net, Ipv6Net};
use tower_service::Service;
use url::{Host, Url};

/// Which addresses image fetches may connect to.
///
/// Judged is the address itself, just before the connection is made to it and at every hop:
/// whatever a URL writes for it, and whatever its name resolved to before. Image fetches therefore
/// take no proxy from the environment (`HTTP_PROXY` and its like): a proxy would look the name up
/// and connect where nobody judges.
///
/// For an example see [`PreflightBuilder`](crate::PreflightBuilder).
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
#[error("address must be public, found {address} ({kind})")]
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
        IpAddr::V4(v4) => {
            NOT_PUBLIC_V4.iter().find(|(net, _)| net.contains(&v4)).map(|(_, kind)| *kind)
        }
        IpAddr::V6(v6) => not_public_v6(v6),
    }
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    let kind_by = |table: &[(Ipv6Net, &'static str)]| {
        table.iter().find(|(net, _)| net.contains(&address)).map(|(_, kind)| *kind)
    };
    if let Some(kind) = kind_by(NOT_PUBLIC_V6) {
        return Some(kind);
    }
    let mut embeds = false;
    for (_, offset, is_inverted, kind) in
        EMBEDDING_V6.iter().filter(|(net, ..)| net.contains(&address))
    {
        embeds = true;
        let [.., a, b, c, d] = (address.to_bits() >> offset).to_be_bytes();
        let held = Ipv4Addr::new(a, b, c, d);
        if not_public(if *is_inverted { !held } else { held }.into()).is_some() {
            return Some(kind);
        }
    }
    if embeds { None } else { kind_by(NOT_PUBLIC_UNLESS_EMBEDDING_V6) }
}

/// IANA IPv4 Special-Purpose Address Registry (RFC 6890 and its updates), and multicast
/// (RFC 5771).
const NOT_PUBLIC_V4: &[(Ipv4Net, &str)] = &[
    (v4([0, 0, 0, 0], 8), "unspecified"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "carrier-grade NAT"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 0, 0, 0], 24), "protocol assignments"),
    (v4([192, 0, 2, 0], 24), "documentation"),
    (v4([192, 88, 99, 0], 24), "6to4 relay"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([198, 18, 0, 0], 15), "benchmarking"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
];

/// IANA IPv6 Special-Purpose Address Registry: what is not public although some of it lies in
/// global unicast space.
const NOT_PUBLIC_V6: &[(Ipv6Net, &str)] = &[
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "local-use NAT64"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discard-only"),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), "benchmarking"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "unique local"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

/// What is not public but for the prefixes of [`EMBEDDING_V6`] within. Global unicast is 2000::/3
/// (RFC 4291, section 2.4), of which 2001::/23 is set apart (RFC 2928): the few public services
/// there are no hosts of images.
const NOT_PUBLIC_UNLESS_EMBEDDING_V6: &[(Ipv6Net, &str)] = &[
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "protocol assignments"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "segment routing"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 3), "not global unicast"),
    (v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2), "not global unicast"),
    (v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1), "not global unicast"),
];

/// IPv6 addresses that hold an IPv4 address: where it lies, in bits from the right; whether it is inverted;
/// what one is called whose IPv4 address is not public. Teredo (RFC 4380) holds two: the server's and,
/// inverted, the client's.
const EMBEDDING_V6: &[(Ipv6Net, u32, bool, &str)] = &[
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), 0, false, "IPv4-mapped, not public"),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), 0, false, "IPv4-translated, not public"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), 0, false, "IPv4-compatible, not public"),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), 0, false, "NAT64 to an address not public"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), 80, false, "6to4 to an address not public"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), 64, false, "Teredo by an address not public"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), 0, true, "Teredo to an address not public"),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// A name with more addresses than this is tried on the first ones only.
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
