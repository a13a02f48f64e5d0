use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Pattern, SERVICE};
use crate::report::ReasonCode;
use crate::report::reason_code::MEANINGS;

#[test]
fn every_code_has_an_advice_that_reads_like_one() {
    let service = SERVICE.iter().map(|(pattern, _)| ReasonCode::Service(example(pattern)));
    for code in ReasonCode::ALL.iter().cloned().chain(service) {
        let advice = code.advice().unwrap_or_else(|| panic!("{code} has no advice"));
        // As messages are: they stand behind a semicolon.
        assert!(!advice.ends_with('.') && !advice.contains("  "), "{code}: {advice:?}");
        assert!(advice.starts_with(|c: char| c.is_lowercase()), "{code}: {advice:?}");
        assert!((10..=140).contains(&advice.len()), "{code}: {advice:?}");
    }
}

#[test]
fn the_first_pattern_that_fits_is_the_row_itself() {
    for (pattern, advice) in SERVICE {
        let code = example(pattern);
        assert_eq!(super::of_service(&code), Some(*advice), "{code}: an earlier row hides it");
    }
    for unknown in ["", "Never.Seen.Before", "invalidapikey", "Throttled"] {
        assert_eq!(super::of_service(unknown), None, "{unknown:?}");
    }
}

#[test]
fn the_page_of_codes_is_what_the_table_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reason-codes.md");
    let page = page();
    if std::env::var_os("EMO_PREFLIGHT_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == page,
        "docs/reason-codes.md must be what the table of codes makes, found another text; write it \
         with: EMO_PREFLIGHT_WRITE_DOCS=1 cargo test --lib page_of_codes"
    );
}

/// A code that the pattern fits.
fn example(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Is(whole) => (*whole).to_owned(),
        Pattern::StartsWith(start) => format!("{start}Unheard"),
        Pattern::EndsWith(end) => format!("Unheard{end}"),
    }
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (code, meaning) in MEANINGS {
        let meaning: Vec<&str> = meaning.iter().map(|line| line.trim()).collect();
        let (meaning, advice) = (meaning.join(" "), code.advice().unwrap());
        writeln!(page, "| `{code}` | {meaning} | {advice} |").unwrap();
    }
    page.push_str(SERVICE_CODES);
    // Codes with one advice stand together, where the first of them stands.
    let mut seen = BTreeSet::new();
    for (_, advice) in SERVICE {
        if !seen.insert(advice) {
            continue;
        }
        let codes = SERVICE.iter().filter(|(_, other)| other == advice);
        let codes: Vec<String> = codes
            .map(|(pattern, _)| match pattern {
                Pattern::Is(whole) => format!("`{whole}`"),
                Pattern::StartsWith(start) => format!("`{start}…`"),
                Pattern::EndsWith(end) => format!("`…{end}`"),
            })
            .collect();
        writeln!(page, "| {} | {advice} |", codes.join(", ")).unwrap();
    }
    page
}

const INTRODUCTION: &str = "\
<!-- Made from the table of codes: EMO_PREFLIGHT_WRITE_DOCS=1 cargo test --lib page_of_codes -->
# Reason codes

Every result has `reasons`, each with a `code` for programs and a `message` for people: what must hold,
and what was found. Codes are added, never renamed. This page says what each means and what can be done
about it; the program says the same at the end of a run, and a library user gets it from
`ReasonCode::advice()`.

## Codes of emo-preflight

| code | means | what to do |
|---|---|---|
";

const SERVICE_CODES: &str = "
## Codes of the service

The service's own codes come through as they are. A code that is not here has no advice; its message is
the service's. The first row that fits counts.

| code | what to do |
|---|---|
";
