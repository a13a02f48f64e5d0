//! What makes two questions one and the same: the service, the model, what is asked, and the image's bytes.

use std::fmt;

use sha2::digest::Output;
use sha2::{Digest as _, Sha256};

use crate::detect::Detector;
use crate::probe::{Content, Sighting};
use crate::rules::AspectRatio;

/// What is asked, about whichever image.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The name of the service; neither the account nor the workspace is part of it.
    pub(crate) service: String,
    /// Who reads its answer.
    #[cfg_attr(not(feature = "ledger"), expect(dead_code, reason = "for a ledger on disk"))]
    pub(crate) detector: &'static Detector,
    pub(crate) model: String,
    pub(crate) ratio: AspectRatio,
}

impl Ask {
    /// The question that this is about an image.
    pub(crate) fn identity(&self, content: &Content) -> Identity {
        let mut hasher = Sha256::new();
        for field in [self.service.as_str(), &self.model, self.ratio.as_str()] {
            // Lengths keep two fields from being read as two others.
            hasher.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(field);
        }
        hasher.update(content.0);
        Identity(hasher.finalize().into())
    }
}

/// A question's identity, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity([u8; 32]);

/// The digest in hexadecimal.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0))
    }
}

/// Which image is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ImageKey {
    Content(Content),
    /// The one that was met there.
    Sighting(Sighting),
}

/// One question: what is asked about which image.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) identity: Identity,
    pub(crate) ask: Ask,
    pub(crate) content: Content,
    /// Where the image was met, so that it is known there again.
    pub(crate) sighting: Option<Sighting>,
    /// The source, safe to print.
    pub(crate) source: String,
    /// The caller's label.
    #[cfg_attr(not(feature = "ledger"), expect(dead_code, reason = "for a ledger on disk"))]
    pub(crate) image_id: Option<String>,
}

/// A digest as a ledger on disk keeps it.
pub(super) fn hex(digest: [u8; 32]) -> String {
    format!("{:x}", Output::<Sha256>::from(digest))
}

/// The digest that [`hex`] wrote.
#[cfg(feature = "ledger")]
pub(super) fn digest_of(text: &str) -> Option<[u8; 32]> {
    let digit = |at: usize| text.get(at..at + 1).and_then(|d| u8::from_str_radix(d, 16).ok());
    let byte = |n: usize| Some(digit(2 * n)? << 4 | digit(2 * n + 1)?);
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    bytes.filter(|_| text.len() == 64)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::EMO_DETECT;

    #[test]
    fn each_part_counts() {
        let ask = || Ask {
            service: "s".to_owned(),
            detector: &EMO_DETECT,
            model: "m".to_owned(),
            ratio: AspectRatio::Square,
        };
        let content = Content([7; 32]);
        let identity = ask().identity(&content);
        assert_eq!(identity, ask().identity(&content));
        for (ask, content) in [
            (Ask { service: "t".to_owned(), ..ask() }, content),
            (Ask { model: "n".to_owned(), ..ask() }, content),
            (Ask { service: "sm".to_owned(), model: String::new(), ..ask() }, content),
            (Ask { ratio: AspectRatio::Portrait, ..ask() }, content),
            (ask(), Content([8; 32])),
        ] {
            assert_ne!(ask.identity(&content), identity, "{ask:?}");
        }
    }

    #[cfg(feature = "ledger")]
    #[test]
    fn a_digest_is_read_as_it_was_written() {
        let digest: [u8; 32] = std::array::from_fn(|n| (n * 9) as u8);
        assert_eq!(digest_of(&hex(digest)), Some(digest));
        for text in ["", "00", &"0".repeat(65), &"g".repeat(64), &"é".repeat(32), &"+1".repeat(32)]
        {
            assert_eq!(digest_of(text), None, "{text}");
        }
    }
}
