//! The books' SQL: one set of texts in the subset that SQLite and PostgreSQL share, but for the
//! type BLOB, which is BYTEA there.
//!
//! Times are microseconds since 1970.

/// Makes version 1 of the schema, statement by statement.
pub(super) const SCHEMA_1: [&str; 6] = [
    "CREATE TABLE ledger_schema (version BIGINT NOT NULL)",
    // `state`, `attempt` and the picture are what the question came to last; `asking` is the attempt
    // that is being sent, if one is, and the asked picture its own. So an attempt that comes to
    // nothing leaves what was known before.
    "CREATE TABLE question (
        identity TEXT NOT NULL PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('free', 'settled', 'unknown')),
        attempt BIGINT,
        picture_length BIGINT,
        picture_start TEXT,
        picture_etag TEXT,
        asking BIGINT,
        asked_length BIGINT,
        asked_start TEXT,
        asked_etag TEXT
    )",
    "CREATE TABLE attempt (
        id BIGINT NOT NULL PRIMARY KEY,
        identity TEXT NOT NULL,
        account TEXT NOT NULL,
        run TEXT NOT NULL,
        owner TEXT NOT NULL,
        source TEXT NOT NULL,
        ratio TEXT NOT NULL,
        model TEXT NOT NULL,
        state TEXT NOT NULL
            CHECK (state IN ('sending', 'not_sent', 'refused', 'settled', 'unknown')),
        slot_us BIGINT NOT NULL,
        ended_us BIGINT,
        verdict TEXT,
        http_status BIGINT,
        request_id TEXT,
        images BIGINT NOT NULL DEFAULT 0,
        certainty TEXT,
        answer BLOB
    )",
    "CREATE TABLE pace (account TEXT NOT NULL PRIMARY KEY, next_us BIGINT NOT NULL)",
    // What a run's cap counts, and what a new process has to look through.
    "CREATE INDEX attempt_of_run ON attempt (run, state)
        WHERE state = 'sending' OR images > 0 OR certainty = 'unknown'",
    "CREATE INDEX attempt_sending ON attempt (owner) WHERE state = 'sending'",
];

pub(super) const READ_SCHEMA_VERSION: &str = "SELECT version FROM ledger_schema";
pub(super) const WRITE_SCHEMA_VERSION: &str = "INSERT INTO ledger_schema (version) VALUES ($1)";

/// A question with the attempt that decides: the one being sent, or given up while it was, else
/// the last that came to something. No row for one that is free.
pub(super) const READ_QUESTION: &str = "
    SELECT CASE WHEN q.asking IS NULL THEN q.state
                WHEN a.state = 'sending' THEN 'sending' ELSE 'unknown' END AS state,
           a.id AS attempt, q.picture_length, q.picture_start, q.picture_etag,
           a.owner, a.slot_us, a.ended_us, a.http_status, a.request_id, a.images, a.certainty, a.answer
    FROM question q JOIN attempt a ON a.id = COALESCE(q.asking, q.attempt)
    WHERE q.identity = $1";

/// Of a run's attempts: how many may yet turn out unbilled, and how many were or may have been
/// billed, whatever came of them.
pub(super) const READ_CAP: &str = "
    SELECT COALESCE(SUM(CASE WHEN state = 'sending' THEN 1 ELSE 0 END), 0),
           COALESCE(SUM(CASE WHEN state = 'sending' THEN 0 ELSE 1 END), 0)
    FROM attempt
    WHERE run = $1 AND (state = 'sending' OR images > 0 OR certainty = 'unknown')";

pub(super) const COUNT_SINCE: &str = "SELECT COUNT(*) FROM attempt WHERE id > $1";

pub(super) const READ_PACE: &str = "SELECT next_us FROM pace WHERE account = $1";
pub(super) const WRITE_PACE: &str = "
    INSERT INTO pace (account, next_us) VALUES ($1, $2)
    ON CONFLICT (account) DO UPDATE SET next_us = excluded.next_us";

pub(super) const READ_LAST_ATTEMPT: &str = "SELECT COALESCE(MAX(id), 0) FROM attempt";
pub(super) const WRITE_ATTEMPT: &str = "
    INSERT INTO attempt (id, identity, account, run, owner, source, ratio, model, state, slot_us)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'sending', $9)";
/// An attempt that was given up and is now asked over is what the question came to last.
pub(super) const WRITE_QUESTION: &str = "
    INSERT INTO question (identity, state, asking, asked_length, asked_start, asked_etag)
    VALUES ($1, 'free', $2, $3, $4, $5)
    ON CONFLICT (identity) DO UPDATE SET
        state = CASE WHEN question.asking IS NULL THEN question.state ELSE 'unknown' END,
        attempt = COALESCE(question.asking, question.attempt),
        asking = excluded.asking, asked_length = excluded.asked_length,
        asked_start = excluded.asked_start, asked_etag = excluded.asked_etag";

/// An attempt's own holder always knows best how it ended, however late it says so.
pub(super) const END_ATTEMPT: &str = "
    UPDATE attempt SET state = $2, ended_us = $3, verdict = $4, http_status = $5,
        request_id = $6, images = $7, certainty = $8, answer = $9
    WHERE id = $1";
/// An attempt that came to something decides its question, if that is still its own: being sent by
/// it, or given up as unknown and not yet settled by another.
pub(super) const DECIDE_QUESTION: &str = "
    UPDATE question SET state = $3, attempt = $2,
        picture_length = CASE WHEN asking = $2 THEN asked_length ELSE picture_length END,
        picture_start = CASE WHEN asking = $2 THEN asked_start ELSE picture_start END,
        picture_etag = CASE WHEN asking = $2 THEN asked_etag ELSE picture_etag END,
        asking = CASE WHEN asking = $2 THEN NULL ELSE asking END
    WHERE identity = $1 AND (asking = $2 OR (attempt = $2 AND state = 'unknown'))";
/// One that came to nothing leaves its question as it was before, given up meanwhile or not.
pub(super) const RELEASE_QUESTION: &str = "
    UPDATE question SET
        state = CASE WHEN asking = $2 THEN state ELSE 'free' END,
        attempt = CASE WHEN asking = $2 THEN attempt ELSE NULL END,
        asking = CASE WHEN asking = $2 THEN NULL ELSE asking END
    WHERE identity = $1 AND (asking = $2 OR (attempt = $2 AND state = 'unknown'))";

/// Gives up an attempt whose owner is gone. Its question says so by itself, and keeps what it came
/// to before: the attempt's holder may yet come back and say that it came to nothing.
pub(super) const ABANDON_ATTEMPT: &str = "
    UPDATE attempt SET state = 'unknown', verdict = 'unknown', certainty = 'unknown', ended_us = $2
    WHERE id = $1 AND state = 'sending'";
pub(super) const READ_SENDING: &str = "SELECT id, owner FROM attempt WHERE state = 'sending'";

/// Sums by Beijing day (UTC+8) and by what came of an attempt; `not_sent` cost nothing and is left
/// out.
pub(super) const READ_SPEND: &str = "
    SELECT (slot_us + 28800000000) / 86400000000 AS day, COALESCE(verdict, state), certainty,
           COUNT(*), CAST(COALESCE(SUM(images), 0) AS BIGINT),
           SUM(CASE WHEN images > 0 THEN 1 ELSE 0 END)
    FROM attempt
    WHERE state <> 'not_sent' AND slot_us >= $1 AND slot_us < $2
    GROUP BY 1, 2, 3 ORDER BY 1";
pub(super) const READ_UNKNOWN: &str = "
    SELECT slot_us, request_id, source, state FROM attempt
    WHERE certainty = 'unknown' OR state = 'sending' ORDER BY id";
