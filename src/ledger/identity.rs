//! What makes two questions one and the same.

use std::fmt;

use sha2::digest::Output;
use sha2::{Digest as _, Sha256};

use crate::header::Header;
use crate::net::url_text::without_fragment;
use crate::probe::Version;
use crate::rules::AspectRatio;
use crate::run::Source;

use super::signers::without_signature;

/// A question's identity: endpoint, model, ratio, and the caller's `image_id` or the URL as given
/// less its fragment and known signature parameters.
///
/// The account is not part of it: a rotated key buys nothing anew. Kept as a digest, so that
/// nothing secret in a URL is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity([u8; 32]);

impl Identity {
    pub(crate) fn of(source: &Source, endpoint: &str, model: &str) -> Self {
        // An empty id would make one image of all that have it.
        let (kind, image) = match source.image_id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => ("id", id.to_owned()),
            None => ("url", without_signature(&normalized(without_fragment(&source.text)))),
        };
        Self::digest(endpoint, model, source.ratio, kind, &image)
    }

    fn digest(endpoint: &str, model: &str, ratio: AspectRatio, kind: &str, image: &str) -> Self {
        let mut hasher = Sha256::new();
        for field in [endpoint, model, ratio.as_str(), kind, image] {
            // Lengths keep two fields from being read as two others.
            hasher.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(field);
        }
        Self(hasher.finalize().into())
    }
}

/// The digest in hexadecimal.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0))
    }
}

/// What tells an image from all others under whatever URL: all of its bytes where they were read, else
/// a sample of them, its format and sides, and what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content([u8; 32]);

impl Content {
    /// `None` while too little of the image is known.
    pub(crate) fn of(
        header: &Header,
        version: &Version,
        endpoint: &str,
        model: &str,
        ratio: AspectRatio,
    ) -> Option<Self> {
        let mut hasher = Sha256::new();
        for field in [endpoint, model, ratio.as_str(), header.format.name()] {
            hasher.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(field);
        }
        for side in [header.width, header.height] {
            hasher.update(side.to_be_bytes());
        }
        hasher.update(version.length?.to_be_bytes());
        match version.whole {
            Some(whole) => hasher.update(whole),
            None => {
                hasher.update(version.start);
                hasher.update(version.end?);
            }
        }
        Some(Self(hasher.finalize().into()))
    }

    #[cfg(feature = "ledger")]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The digest in hexadecimal.
#[cfg(feature = "postgres")]
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0))
    }
}

/// A digest as a ledger on disk keeps it.
pub(super) fn hex(digest: [u8; 32]) -> String {
    format!("{:x}", Output::<Sha256>::from(digest))
}

/// The URL as RFC 3986, section 6.2.2, lets it be written without a change of meaning: scheme and
/// host in lower case, no default port, no percent-encoding of unreserved characters, and upper
/// case in that of others.
fn normalized(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let scheme = scheme.to_ascii_lowercase();
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let default = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(default).or_else(|| host.strip_suffix(':')).unwrap_or(host);
    let mut text = format!("{scheme}://");
    if let Some(user) = user {
        push_normalized(&mut text, user);
        text.push('@');
    }
    text.push_str(&host.to_ascii_lowercase());
    push_normalized(&mut text, rest);
    text
}

fn push_normalized(to: &mut String, text: &str) {
    let mut pieces = text.split('%');
    to.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let byte = piece.get(..2).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let Some(byte) = byte else {
            to.push('%');
            to.push_str(piece);
            continue;
        };
        match char::from(byte) {
            letter @ ('A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '.' | '_' | '~') => to.push(letter),
            _ => to.push_str(&format!("%{byte:02X}")),
        }
        to.push_str(piece.get(2..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(url: &str) -> Identity {
        Identity::of(&Source::url(url), "https://service/face-detect", "emo-detect-v1")
    }

    #[test]
    fn what_is_one_question() {
        let plain = identity("https://h/a.jpg");
        for (url, same) in [
            ("https://h/a.jpg", true),
            ("https://h/a.jpg#face", true),
            ("https://h/a.jpg?Expires=1&OSSAccessKeyId=k&Signature=s%3D", true),
            ("https://h/a.jpg?x-oss-signature=1&x-oss-date=2", true),
            ("https://h/a.jpg?x%2Doss%2Dsignature=1", true),
            ("https://h/a.jpg?X-Amz-Signature=1#x", true),
            ("HTTPS://H:443/%61.jpg", true),
            ("https://H:/a%2Ejpg", true),
            ("https://h/a.jpg?v=2", false),
            ("https://h/a.jpg?x-oss-process=image/resize,w_500", false),
            ("https://h/a.jpg?X-OSS-Process=style/face&x-oss-signature=1", false),
            ("https://h/a.jpg?signature=1", false),
            ("https://h/a.jpg?", false),
            ("https://h:80/a.jpg", false),
            ("https://h/A.jpg", false),
            ("https://h/%2561.jpg", false),
            ("http://h/a.jpg", false),
        ] {
            assert_eq!(identity(url) == plain, same, "{url}");
        }
    }

    #[test]
    fn spellings_of_one_url() {
        for (url, normal) in [
            ("HTTP://Host:80/a%7eb", "http://host/a~b"),
            (
                "http://User%3a@Host:8080/A%2fb?C=%c3%a9#",
                "http://User%3A@host:8080/A%2Fb?C=%C3%A9#",
            ),
            ("https://[2001:DB8::1]:443/a", "https://[2001:db8::1]/a"),
            ("https://h:80/", "https://h:80/"),
            ("https://h?Q", "https://h?Q"),
            ("https://h/100%/%4/%zz/%+1/é%é", "https://h/100%/%4/%zz/%+1/é%é"),
            ("https://h/a/../b//c", "https://h/a/../b//c"),
            ("portrait.jpg", "portrait.jpg"),
        ] {
            assert_eq!(normalized(url), normal);
            assert_eq!(normalized(normal), normal, "once is enough");
        }
    }

    /// Ledgers in use are looked up by it: it must stay what it was in schema 1.
    #[test]
    fn a_url_in_normal_form_keeps_its_identity() {
        let identity = identity("https://example.org/portraits/a%20b.jpg?v=2").to_string();
        assert_eq!(identity, "f29f68a36983c08b915692056a65385bec6ffd6ecc510d94d06eb85a47aa52d3");
    }

    #[test]
    fn each_part_counts_and_the_callers_id_replaces_the_url() {
        let source = || Source::url("https://h/a.jpg");
        let of = |source: &Source| Identity::of(source, "e", "m");
        assert_ne!(of(&source()), of(&source().ratio(AspectRatio::Portrait)));
        assert_ne!(of(&source()), Identity::of(&source(), "f", "m"));
        assert_ne!(of(&source()), Identity::of(&source(), "e", "n"));
        assert_eq!(of(&source().image_id("7")), of(&Source::url("https://h/b.jpg").image_id("7")));
        assert_ne!(of(&source().image_id("https://h/a.jpg")), of(&source()));
        assert_eq!(of(&source().image_id("")), of(&source()));
    }
}
