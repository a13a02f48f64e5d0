//! The ledger's tables. In the subset that SQLite and PostgreSQL share, but for the type BLOB, which is
//! BYTEA there.

use std::fmt;

use crate::ledger::LedgerError;

/// The schema's version that this program reads and writes.
pub(in crate::ledger) const VERSION: i64 = 3;

/// Makes the schema of this [`VERSION`], statement by statement.
pub(in crate::ledger) const TABLES: [&str; 5] = [
    // The id tells which folder beside an SQLite file is its own.
    "CREATE TABLE ledger_schema (version BIGINT NOT NULL, id TEXT)",
    QUESTION,
    ATTEMPT,
    PACE,
    SIGHTING,
];

/// Comes after the tables.
pub(in crate::ledger) const INDEXES: [&str; 4] = [
    // What a run's cap counts.
    "CREATE INDEX attempt_of_run ON attempt (run, state, slot_us)
        WHERE state IN ('booked', 'sending') OR images > 0 OR certainty = 'unknown'",
    // What a new process has to look through.
    "CREATE INDEX attempt_in_flight ON attempt (state) WHERE state IN ('booked', 'sending')",
    "CREATE INDEX attempt_unknown ON attempt (id)
        WHERE certainty = 'unknown' OR state = 'sending'",
    // What is summed up, without the answers.
    "CREATE INDEX attempt_sums ON attempt (slot_us, verdict, certainty, state, images)",
];

/// Whether this program knows the version of a ledger.
pub(in crate::ledger) fn check_version(
    found: i64,
    ledger: impl fmt::Display,
) -> Result<(), LedgerError> {
    match found {
        VERSION => Ok(()),
        _ => Err(LedgerError::Version { path: ledger.to_string(), found, known: VERSION }),
    }
}

// `state` and `attempt` are what the question came to last. `asking` is the attempt in flight, if
// there is one: one that comes to nothing leaves what was known before. `standing` is the attempt
// of the last verdict, where a later one is unknown.
const QUESTION: &str = "CREATE TABLE question (
    identity TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('free', 'settled', 'unknown')),
    attempt BIGINT,
    standing BIGINT,
    asking BIGINT
)";

// A question's `identity` is made of service, model, ratio and `content`, which is the image's. `image_id` is
// the caller's label.
const ATTEMPT: &str = "CREATE TABLE attempt (
    id BIGINT NOT NULL PRIMARY KEY,
    identity TEXT NOT NULL,
    account TEXT NOT NULL,
    run TEXT NOT NULL,
    owner TEXT NOT NULL,
    source TEXT NOT NULL,
    ratio TEXT NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('booked', 'sending', 'not_sent', 'refused', 'settled', 'unknown')),
    slot_us BIGINT NOT NULL,
    ended_us BIGINT,
    verdict TEXT,
    http_status BIGINT,
    request_id TEXT,
    images BIGINT NOT NULL DEFAULT 0,
    certainty TEXT,
    answer BLOB,
    service TEXT NOT NULL,
    content TEXT NOT NULL,
    image_id TEXT
)";

// What content was met at a URL with its strong ETag, its length and its first bytes: `key` is a digest
// of all four.
const SIGHTING: &str = "CREATE TABLE sighting (
    key TEXT NOT NULL PRIMARY KEY,
    content TEXT NOT NULL
)";

// When the account's next slot is free, and when its last one was booked.
const PACE: &str = "CREATE TABLE pace (
    account TEXT NOT NULL PRIMARY KEY,
    next_us BIGINT NOT NULL,
    booked_us BIGINT NOT NULL
)";
