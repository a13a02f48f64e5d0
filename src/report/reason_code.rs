//! The codes of reasons, and what can be done about each.
//!
//! The codes' texts are part of the results' JSON: they are added, never renamed. The advice is for
//! people and may change.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares the codes once: the variant, its documentation, its text and what can be done about it.
macro_rules! reason_codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal, $advice:literal;)*) => {
        /// What programs read of a reason. The texts are part of the contract.
        ///
        /// For an example see [`Reason`](crate::Reason).
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ReasonCode {
            $(
                $(#[doc = $doc])*
                ///
                #[doc = concat!("What to do: ", $advice, ".")]
                $variant,
            )*
            /// The service's own code, verbatim.
            Service(String),
        }

        impl ReasonCode {
            /// Every code of this crate, in the order of the stages they come from.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code's text in the JSON.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Service(code) => code,
                }
            }

            /// What can be done about it, in a short sentence for whoever owns the image or the run;
            /// lower-case, no full stop. None for a code of the service that is not documented.
            ///
            /// ```
            /// use emo_preflight::ReasonCode;
            /// assert_eq!(
            ///     ReasonCode::ShortestSideBelowMin.advice(),
            ///     Some("use a larger original; enlarging this one will not help"),
            /// );
            /// ```
            #[must_use]
            pub fn advice(&self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($advice),)*
                    Self::Service(code) => super::advice::of_service(code),
                }
            }
        }

        /// What each code means, line by line, for the page of them.
        #[cfg(test)]
        pub(super) const MEANINGS: &[(ReasonCode, &[&str])] =
            &[$((ReasonCode::$variant, &[$($doc),*]),)*];

        impl From<String> for ReasonCode {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)*
                    _ => Self::Service(text),
                }
            }
        }
    };
}

reason_codes! {
    /// An image, but of a format the service does not take; `found` names it.
    UnsupportedFormat = "unsupported_format",
        "convert the image to JPEG, PNG, BMP or WebP";
    /// No image at all; `found` names what it is, where that can be told.
    NotAnImage = "not_an_image",
        "check what the URL leads to: it must be the image's file, not a page, an error or a document";
    /// The header contradicts its format, or the file ends inside it.
    CorruptHeader = "corrupt_header",
        "export the image anew from its original; this file is damaged or cut off";
    /// The shorter side is too short, in pixels.
    ShortestSideBelowMin = "shortest_side_below_min",
        "use a larger original; enlarging this one will not help";
    /// The longer side is too long, in pixels.
    LongestSideAboveMax = "longest_side_above_max",
        "scale the image down or crop it until its longest side fits; keep the shortest at 400 px or more";
    /// The source is no http or https URL.
    NotHttpUrl = "not_http_url",
        "put the image where the service can fetch it and give its http or https URL; only `probe` reads local files";
    /// The URL, or a redirect of it, leads to an address that is not public.
    PrivateAddress = "private_address",
        "put the image on a public address, for the service cannot reach this one; --allow-private-network lets the local stage fetch it";
    /// The origin answered 404 or 410, or the file does not exist.
    NotFound = "not_found",
        "check the URL or path: there is nothing there";
    /// The line of the input could not be understood.
    BadInput = "bad_input",
        "mend the line or row that the message names";
    /// A local file could not be read.
    UnreadableFile = "unreadable_file",
        "check the file and its permissions, then run again";
    /// The origin answered with a status, or a partial answer, that tells nothing.
    HttpStatus = "http_status",
        "open the URL in a browser: a signature may have expired, or the host refuses unknown clients (--user-agent)";
    /// The origin could not be reached, or the transfer broke off.
    Network = "network",
        "check the connection and the host's name, then run again; nothing was paid";
    /// The local stage took longer than it may.
    Timeout = "timeout",
        "run again, or give slow hosts more time with --timeout";
    /// More than five redirects.
    TooManyRedirects = "too_many_redirects",
        "give the URL that the redirects end at";
    /// A redirect without a usable target.
    BadRedirect = "bad_redirect",
        "give the URL that the redirect was meant to lead to";
    /// The header was not over after as many bytes as may be taken.
    HeaderTooLong = "header_too_long",
        "save the image without its metadata, or take more with --max-header-bytes";
    /// A JPEG that gives its height only after its pixels (DNL).
    SizeDeferred = "size_deferred",
        "save the JPEG anew, so that its header says its height";
    /// The origin compressed the body although identity was asked for.
    EncodedBody = "encoded_body",
        "let the host serve the image uncompressed (Content-Encoding: identity)";
    /// The image's content must be known before a call, its origin gives no ranges or no length, and it is
    /// longer than what may be read of it.
    ImageTooLong = "image_too_long",
        "let the host answer range requests, or read more with --max-image-bytes";
    /// The image was another each time it was asked for.
    ChangedMeanwhile = "changed_meanwhile",
        "wait until the image stays the same, then run again";
    /// The face screen found no frontal face; `found` is the best score.
    NoFace = "no_face", "use a portrait whose face looks into the camera";
    /// The face screen found a second face of nearly the size of the first; `found` is their number.
    SeveralFaces = "several_faces", "use an image of one person, or crop it to one";
    /// The largest face that the face screen found is too small; `found` is its width in pixels.
    FaceTooSmall = "face_too_small", "use an image in which the face fills more of the frame";
    /// No decoder takes the image's bytes.
    Undecodable = "undecodable", "save the image anew; this file cannot be opened";
    /// The service answered `check_pass: false` and gave no code.
    CheckPassFalse = "check_pass_false",
        "use an image of one person, facing the camera, with the whole face in sight; the service gave no cause";
    /// `ext_bbox` has another ratio than the one requested.
    RatioMismatch = "ratio_mismatch",
        "do not hand these boxes on; ask for the image's other ratio, or use another image";
    /// 3:4 was requested and `ext_bbox` is 8:11.
    Ratio8To11 = "ratio_8_11",
        "do not hand these boxes on without a trial; ask for 1:1, or use an image with more room around the person";
    /// `ext_bbox` leaves the image.
    BoxOutOfImage = "box_out_of_image",
        "do not hand these boxes on; use an image with more room around the face";
    /// `face_bbox` is not within `ext_bbox`.
    FaceOutsideExt = "face_outside_ext",
        "do not hand these boxes on; use an image with more room around the face";
    /// A box without area.
    BoxDegenerate = "box_degenerate",
        "do not hand these boxes on; use another image";
    /// The service answered, and neither a verdict with its boxes nor a code can be read from it.
    MalformedAnswer = "malformed_answer",
        "update this program, for the service's answers may have changed; the ledger keeps this one as it came";
    /// The call may have been billed and its answer is lost; it is not repeated.
    BillingUnknown = "billing_unknown",
        "compare `spend --unknown` with the bill, or ask again with --retry-unknown, which may pay twice";
    /// What answered at the base URL is not the service; three such answers in a row stop the run.
    NotTheService = "not_the_service",
        "see what answers at the base URL (a login page, a proxy, another API), mend it, then go on with --resume";
    /// The ledger could not be written or read.
    LedgerError = "ledger_error",
        "mend what the message names (a full disk, rights, the database), then go on with --resume";
    /// The run's cap on paid calls is used up.
    CapReached = "cap_reached",
        "raise --max-calls and keep the run's name (--run), then go on with --resume";
}

impl ReasonCode {
    /// Whether a failure with it may have come before anything was sent.
    pub(super) fn may_come_before_call(&self) -> bool {
        matches!(self, Self::Network | Self::LedgerError | Self::CapReached)
    }

    /// Whether the next process does not know the bill of a failure with it.
    pub(super) fn leaves_bill_unknown(&self) -> bool {
        matches!(self, Self::BillingUnknown | Self::LedgerError)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ReasonCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}
