//! The ledger's tables, and how those of an older version become them. In the subset that SQLite
//! and PostgreSQL share, but for the type BLOB, which is BYTEA there, and the triggers' language.

/// The schema's version that this program writes.
pub(in crate::ledger) const VERSION: i64 = 2;

/// Makes the schema of this [`VERSION`], statement by statement.
pub(in crate::ledger) const TABLES: [&str; 5] =
    ["CREATE TABLE ledger_schema (version BIGINT NOT NULL)", QUESTION, ATTEMPT, PACE, DAY_SUM];

/// Comes after the tables.
pub(in crate::ledger) const INDEXES: [&str; 4] = [
    // What a run's cap counts.
    "CREATE INDEX attempt_of_run ON attempt (run, state)
        WHERE state IN ('booked', 'sending') OR images > 0 OR certainty = 'unknown'",
    // What a new process has to look through.
    "CREATE INDEX attempt_in_flight ON attempt (state) WHERE state IN ('booked', 'sending')",
    "CREATE INDEX attempt_unknown ON attempt (id)
        WHERE certainty = 'unknown' OR state = 'sending'",
    "CREATE INDEX attempt_of_content ON attempt (content) WHERE content IS NOT NULL",
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

/// Turns version 1 into version 2, before [`INDEXES`].
///
/// Version 1 wrote `sending` when it booked: such an attempt may have left. It kept what was asked
/// about beside the question, and digests in hexadecimal.
pub(in crate::ledger) const FROM_1: [&str; 9] = [
    "ALTER TABLE question RENAME TO question_1",
    "ALTER TABLE attempt RENAME TO attempt_1",
    QUESTION,
    ATTEMPT,
    DAY_SUM,
    "INSERT INTO question (identity, state, attempt, asking)
        SELECT identity, state, attempt, asking FROM question_1",
    "INSERT INTO attempt (id, identity, account, run, owner, source, ratio, model, state, slot_us,
                          ended_us, verdict, http_status, request_id, images, certainty, answer,
                          image_length, image_start, image_etag)
        SELECT a.id, a.identity, a.account, a.run, a.owner, a.source, a.ratio, a.model, a.state,
               a.slot_us, a.ended_us, a.verdict, a.http_status, a.request_id, a.images,
               a.certainty, a.answer,
               CASE a.id WHEN q.asking THEN q.asked_length WHEN q.attempt THEN q.picture_length END,
               unhex(CASE a.id WHEN q.asking THEN q.asked_start
                               WHEN q.attempt THEN q.picture_start END),
               CASE a.id WHEN q.asking THEN q.asked_etag WHEN q.attempt THEN q.picture_etag END
        FROM attempt_1 a LEFT JOIN question_1 q ON q.identity = a.identity
        ORDER BY a.id",
    "INSERT INTO day_sum (day, verdict, certainty, calls, images, billed)
        SELECT (slot_us + 28800000000) / 86400000000, COALESCE(verdict, state),
               COALESCE(certainty, 'unknown'), COUNT(*), SUM(images), SUM(images > 0)
        FROM attempt WHERE state NOT IN ('booked', 'sending', 'not_sent') GROUP BY 1, 2, 3",
    "UPDATE ledger_schema SET version = 2",
];

/// Drops what [`FROM_1`] has read, its indexes with it.
pub(in crate::ledger) const DROP_1: [&str; 2] = ["DROP TABLE question_1", "DROP TABLE attempt_1"];

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

// `image_*` is the version of the image that was asked about: its length, the SHA-256 of its first
// and last bytes, its strong ETag. `content` is its fingerprint, the same under every URL.
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
    image_length BIGINT,
    image_start BLOB,
    image_end BLOB,
    image_etag TEXT,
    content BLOB
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
