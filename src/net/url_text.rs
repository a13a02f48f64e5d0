//! URLs as texts: what is sent of them, and what may be printed.

#[cfg(feature = "client")]
use url::Url;

/// The URL as it is sent: as given, less its fragment (RFC 3986, section 3.5: the fragment is the
/// client's own business).
pub(crate) fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(before, _)| before)
}

/// Whether a text begins with an ASCII prefix, in any case.
#[cfg(feature = "client")]
pub(crate) fn starts_with_ignore_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A URL without userinfo, query values and fragment: what logs and errors may show.
#[cfg(feature = "client")]
pub(crate) fn printable(url: &Url) -> String {
    let mut shown = url.clone();
    // These fail only for URLs that cannot have userinfo.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    if let Some(query) = url.query() {
        // A part without a name is a value: `?TOKEN`.
        let parts: Vec<String> = query
            .split('&')
            .map(|part| {
                part.split_once('=').map_or("…".to_owned(), |(name, _)| format!("{name}=…"))
            })
            .collect();
        // Set by hand: the setter would percent-encode the ellipsis.
        shown.set_query(None);
        return format!("{shown}?{}", parts.join("&"));
    }
    shown.into()
}

/// As [`printable`], of a text that may be no URL.
#[cfg(feature = "client")]
pub(crate) fn printable_text(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if url.has_host() => printable(&url),
        _ => scrubbed(text),
    }
}

/// A text that is no URL, without what would be a secret if it were: a mistyped URL and a line of
/// broken JSON hold the same signatures as a good one.
#[cfg(feature = "client")]
fn scrubbed(text: &str) -> String {
    let ends = |c: char| c == '"' || c == '\'' || c.is_whitespace();
    let mut shown = String::new();
    for piece in text.split_inclusive(ends) {
        let (mut piece, end) = match piece.char_indices().next_back() {
            Some((at, c)) if ends(c) => piece.split_at(at),
            _ => (piece, ""),
        };
        let mut is_url = false;
        // `:\/\/` is how some write JSON.
        for slashes in ["://", r":\/\/"] {
            if let Some((scheme, rest)) = piece.split_once(slashes) {
                is_url = true;
                shown.push_str(scheme);
                shown.push_str(slashes);
                let authority = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
                let userinfo =
                    rest.get(..authority).and_then(|a| a.rfind('@')).map_or(0, |at| at + 1);
                piece = rest.get(userinfo..).unwrap_or_default();
                break;
            }
        }
        match piece.find(['?', '#']) {
            Some(at) if is_url || piece.contains('=') => {
                shown.push_str(piece.get(..=at).unwrap_or_default());
                shown.push('…');
            }
            _ => shown.push_str(piece),
        }
        shown.push_str(end);
    }
    shown
}

#[cfg(all(test, feature = "client"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_a_url() {
        for (url, shown) in [
            ("https://h/a.jpg", "https://h/a.jpg"),
            ("https://user:pass@h:8/a#f", "https://h:8/a"),
            ("https://h/a?Signature=s&v=1", "https://h/a?Signature=…&v=…"),
            ("https://h/a?TOKEN", "https://h/a?…"),
            ("https://h/a?", "https://h/a?…"),
        ] {
            assert_eq!(printable(&Url::parse(url).unwrap()), shown);
        }
    }

    #[test]
    fn what_is_printed_of_a_text_that_is_no_url() {
        for (text, shown) in [
            ("https://user:pass@h/a?Signature=s#f", "https://h/a?Signature=…"),
            ("https://user:pass@[::1/a?Signature=s", "https://[::1/a?…"),
            ("https://us@er:pass@h:99999/a#s", "https://h:99999/a#…"),
            ("http:///?Signature=s", "http:///?…"),
            ("{\"u\":\"https://h:x/a?Signature=s\",", "{\"u\":\"https://h:x/a?…\","),
            (r#"{"u":"https:\/\/user:pass@h\/a?s=1"}"#, r#"{"u":"https:\/\/h\/a?…"}"#),
            ("portrait.jpg?Signature=s", "portrait.jpg?…"),
            ("what is it?", "what is it?"),
            ("", ""),
        ] {
            assert_eq!(printable_text(text), shown, "{text}");
        }
    }
}
