//! The ledger's tables. In the subset that SQLite and PostgreSQL share, but for the type BLOB, which is
//! BYTEA there, and the triggers' language.

use std::cmp::Ordering;
use std::fmt;

use crate::ledger::LedgerError;

/// The schema's version that this program reads and writes.
pub(in crate::ledger) const VERSION: i64 = 3;

/// Makes the schema of this [`VERSION`], statement by statement.
pub(in crate::ledger) const TABLES: [&str; 6] = [
    // The id tells which folder beside an SQLite file is its own.
    "CREATE TABLE ledger_schema (version BIGINT NOT NULL, id TEXT)",
    QUESTION,
    ATTEMPT,
    PACE,
    DAY_SUM,
    SIGHTING,
];

/// Comes after the tables.
pub(in crate::ledger) const INDEXES: [&str; 3] = [
    // What a run's cap counts.
    "CREATE INDEX attempt_of_run ON attempt (run, state)
        WHERE state IN ('booked', 'sending') OR images > 0 OR certainty = 'unknown'",
    // What a new process has to look through.
    "CREATE INDEX attempt_in_flight ON attempt (state) WHERE state IN ('booked', 'sending')",
    "CREATE INDEX attempt_unknown ON attempt (id)
        WHERE certainty = 'unknown' OR state = 'sending'",
];

macro_rules! add_to_sum {
    ($trigger:literal) => {
        concat!(
            $trigger,
            "
        WHEN NEW.state NOT IN ('booked', 'sending', 'not_sent')
    BEGIN
        INSERT INTO day_sum (day, verdict, certainty, calls, images, billed)
        VALUES ((NEW.slot_us + 28800000000) / 86400000000, COALESCE(NEW.verdict, NEW.state),
                COALESCE(NEW.certainty, 'unknown'), 1, NEW.images, NEW.images > 0)
        ON CONFLICT (day, verdict, certainty) DO UPDATE SET
            calls = calls + 1, images = images + excluded.images,
            billed = billed + excluded.billed;
    END"
        )
    };
}

/// SQLite's triggers, after the indexes.
pub(in crate::ledger) const TRIGGERS: [&str; 3] = [
    // A sum is right whatever writes an attempt, and costs a call no statement of its own.
    add_to_sum!("CREATE TRIGGER attempt_summed_when_written AFTER INSERT ON attempt"),
    add_to_sum!("CREATE TRIGGER attempt_summed_when_ended AFTER UPDATE ON attempt"),
    // An attempt that had ended and ends otherwise: an answer that came late.
    "CREATE TRIGGER attempt_taken_off_the_sum AFTER UPDATE ON attempt
        WHEN OLD.state NOT IN ('booked', 'sending', 'not_sent')
    BEGIN
        UPDATE day_sum SET calls = calls - 1, images = images - OLD.images,
            billed = billed - (OLD.images > 0)
        WHERE day = (OLD.slot_us + 28800000000) / 86400000000
            AND verdict = COALESCE(OLD.verdict, OLD.state)
            AND certainty = COALESCE(OLD.certainty, 'unknown');
    END",
];

/// Whether this program knows the version of a ledger.
pub(in crate::ledger) fn check_version(
    found: i64,
    ledger: impl fmt::Display,
) -> Result<(), LedgerError> {
    let (path, known) = (ledger.to_string(), VERSION);
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(LedgerError::Older { path, found, known }),
        Ordering::Greater => Err(LedgerError::Newer { path, found, known }),
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

// Attempts that have ended, by Beijing day (UTC+8) and by what came of them.
const DAY_SUM: &str = "CREATE TABLE day_sum (
    day BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    certainty TEXT NOT NULL,
    calls BIGINT NOT NULL,
    images BIGINT NOT NULL,
    billed BIGINT NOT NULL,
    PRIMARY KEY (day, verdict, certainty)
)";
