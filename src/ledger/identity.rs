//! What makes two questions one and the same.

use std::fmt;

use sha2::digest::Output;
use sha2::{Digest as _, Sha256};

use crate::bbox::AspectRatio;
use crate::source::Source;
use crate::url_text::{starts_with_ignore_case, without_fragment};

/// A question's identity: endpoint, model, ratio, and the caller's `image_id` or the URL as given
/// less its fragment and known signature parameters.
///
/// The account is not part of it: a rotated key buys nothing anew. Kept as a digest, so that
/// nothing secret in a URL is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity([u8; 32]);

impl Identity {
    pub(crate) fn of(source: &Source, endpoint: &str, model: &str) -> Self {
        // An empty id would make one picture of all that have it.
        let (kind, picture) = match source.image_id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => ("id", id.to_owned()),
            None => ("url", without_signature(without_fragment(&source.text))),
        };
        Self::digest(endpoint, model, source.ratio, kind, &picture)
    }

    fn digest(endpoint: &str, model: &str, ratio: AspectRatio, kind: &str, picture: &str) -> Self {
        let mut hasher = Sha256::new();
        for field in [endpoint, model, ratio.as_str(), kind, picture] {
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

/// A digest as books on disk keep it.
pub(super) fn hex(digest: [u8; 32]) -> String {
    format!("{:x}", Output::<Sha256>::from(digest))
}

/// The URL less the query parameters that sign it; the rest stays as it is, byte for byte.
fn without_signature(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|pair| !signs(pair)).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

fn signs(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    let starts_with = |prefix: &str| starts_with_ignore_case(name, prefix);
    let is_signature = SIGNATURE_NAMES.contains(&name)
        || SIGNATURE_PREFIXES.iter().any(|prefix| starts_with(prefix));
    is_signature && !MAKES_ANOTHER_PICTURE.iter().any(|process| starts_with(process))
}

/// Object Storage Service, signatures version 1 (also S3 version 2).
const SIGNATURE_NAMES: [&str; 4] = ["Signature", "Expires", "OSSAccessKeyId", "AWSAccessKeyId"];

/// Object Storage Service version 4 and its security token; S3 version 4.
const SIGNATURE_PREFIXES: [&str; 2] = ["x-oss-", "x-amz-"];

/// Object Storage Service's image processing: the same object, cropped or scaled, is another
/// picture.
const MAKES_ANOTHER_PICTURE: [&str; 2] = ["x-oss-process", "x-oss-async-process"];

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
            ("https://h/a.jpg?X-Amz-Signature=1#x", true),
            ("https://h/a.jpg?v=2", false),
            ("https://h/a.jpg?x-oss-process=image/resize,w_500", false),
            ("https://h/a.jpg?X-OSS-Process=style/face&x-oss-signature=1", false),
            ("https://h/a.jpg?x-oss-async-process=image/resize,w_500", false),
            ("https://h/a.jpg?signature=1", false),
            ("https://h/A.jpg", false),
            ("http://h/a.jpg", false),
        ] {
            assert_eq!(identity(url) == plain, same, "{url}");
        }
        assert_eq!(identity("https://h/a?v=2&Expires=1"), identity("https://h/a?v=2"));
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
