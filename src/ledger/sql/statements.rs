//! The ledger's SQL: one set of texts in the subset that SQLite and PostgreSQL share. The schema is
//! in `schema.rs`.
//!
//! Times are microseconds since 1970.

// The writes, as texts that can stand alone or in one statement with others.

/// A pace only goes forward, whichever process read it last, unless the clock went back.
macro_rules! write_pace {
    ($account:literal, $next:literal, $booked:literal) => {
        concat!(
            "
    INSERT INTO pace (account, next_us, booked_us) VALUES (",
            $account,
            ", ",
            $next,
            ", ",
            $booked,
            ")
    ON CONFLICT (account) DO UPDATE SET booked_us = excluded.booked_us, next_us =
        CASE WHEN excluded.next_us > pace.next_us OR excluded.booked_us < pace.booked_us
             THEN excluded.next_us ELSE pace.next_us END"
        )
    };
}

macro_rules! write_attempt {
    () => {
        "
    INSERT INTO attempt (id, identity, account, run, owner, source, ratio, model, state, slot_us,
                         service, content, image_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'booked', $9, $10, $11, $12)"
    };
}

/// An image that is met where it was met before is known by what is remembered here.
macro_rules! write_sighting {
    ($key:literal, $content:literal) => {
        concat!(
            "
    INSERT INTO sighting (key, content) VALUES (",
            $key,
            ", ",
            $content,
            ")
    ON CONFLICT (key) DO UPDATE SET content = excluded.content"
        )
    };
}

/// An attempt that was given up and is now asked over is what the question came to last.
macro_rules! write_question {
    ($identity:literal, $id:literal) => {
        concat!(
            "
    INSERT INTO question (identity, state, asking) VALUES (",
            $identity,
            ", 'free', ",
            $id,
            ")
    ON CONFLICT (identity) DO UPDATE SET
        standing = CASE WHEN question.asking IS NOT NULL AND question.state = 'settled'
                        THEN question.attempt ELSE question.standing END,
        state = CASE WHEN question.asking IS NULL THEN question.state ELSE 'unknown' END,
        attempt = COALESCE(question.asking, question.attempt),
        asking = excluded.asking"
        )
    };
}

macro_rules! mark_sending {
    ($earliest:literal) => {
        concat!(
            "
    UPDATE attempt SET state = 'sending'
    WHERE id = $1 AND state = 'booked' AND slot_us >= ",
            $earliest
        )
    };
}

/// An attempt's own holder always knows best how it ended, however late it says so.
macro_rules! end_attempt {
    () => {
        "
    UPDATE attempt SET state = $2, ended_us = $3, verdict = $4, http_status = $5,
        request_id = $6, images = $7, certainty = $8, answer = $9
    WHERE id = $1"
    };
}

/// Which question an attempt may still change: its own, in flight with it, or given up as unknown and
/// not yet settled by another.
macro_rules! its_question {
    ($identity:literal, $id:literal) => {
        concat!(
            "
    WHERE identity = ",
            $identity,
            " AND (asking = ",
            $id,
            " OR (attempt = ",
            $id,
            " AND state = 'unknown'))"
        )
    };
}

/// An attempt that came to something decides its question. An unknown one leaves the verdict before it
/// standing.
macro_rules! decide_question {
    ($identity:literal, $id:literal, $state:literal) => {
        concat!(
            "
    UPDATE question SET
        standing = CASE WHEN ",
            $state,
            " = 'settled' THEN NULL WHEN asking = ",
            $id,
            " AND state = 'settled' THEN attempt ELSE standing END,
        state = ",
            $state,
            ", attempt = ",
            $id,
            ", asking = CASE WHEN asking = ",
            $id,
            " THEN NULL ELSE asking END",
            its_question!($identity, $id)
        )
    };
}

/// One that came to nothing leaves its question as it was before, given up meanwhile or not.
macro_rules! release_question {
    ($identity:literal, $id:literal) => {
        concat!(
            "
    UPDATE question SET
        state = CASE WHEN asking = ",
            $id,
            " THEN state WHEN standing IS NULL THEN 'free' ELSE 'settled' END,
        attempt = CASE WHEN asking = ",
            $id,
            " THEN attempt ELSE standing END,
        standing = CASE WHEN asking = ",
            $id,
            " THEN standing ELSE NULL END,
        asking = CASE WHEN asking = ",
            $id,
            " THEN NULL ELSE asking END",
            its_question!($identity, $id)
        )
    };
}

// What is read of an attempt, by the names that `Row` knows.

macro_rules! attempt_columns {
    () => {
        "
           a.id AS attempt, a.source, a.owner, a.slot_us, a.ended_us, a.http_status, a.request_id,
           a.images, a.certainty, a.answer"
    };
}

macro_rules! attempt {
    () => {
        concat!(" a.state, CAST(NULL AS BIGINT) AS standing,", attempt_columns!())
    };
}

macro_rules! question {
    () => {
        concat!(
            "
           CASE WHEN q.asking IS NULL THEN q.state
                WHEN a.state IN ('booked', 'sending') THEN a.state ELSE 'unknown' END AS state,
           CASE WHEN q.asking IS NOT NULL AND q.state = 'settled' THEN q.attempt
                ELSE q.standing END AS standing,",
            attempt_columns!(),
            "
    FROM question q JOIN attempt a ON a.id = COALESCE(q.asking, q.attempt)"
        )
    };
}

pub(in crate::ledger) const READ_SCHEMA_VERSION: &str = "SELECT version FROM ledger_schema";
pub(in crate::ledger) const WRITE_SCHEMA_VERSION: &str =
    "INSERT INTO ledger_schema (version) VALUES ($1)";
pub(in crate::ledger) const READ_LEDGER_ID: &str = "SELECT id FROM ledger_schema";
pub(in crate::ledger) const WRITE_LEDGER_ID: &str = "UPDATE ledger_schema SET id = $1";

/// A question with the attempt that decides: the one in flight, or given up while it was, else the
/// last that came to something. No row for one that is free. `standing` is the attempt whose verdict
/// still stands where a later one is unknown.
pub(in crate::ledger) const READ_QUESTION: &str =
    concat!("SELECT", question!(), " WHERE q.identity = $1");
/// As [`READ_QUESTION`], of a list of identities, with each one's place in it.
#[cfg(feature = "postgres")]
pub(in crate::ledger) const READ_QUESTIONS: &str = concat!(
    "SELECT asked.place,",
    question!(),
    " JOIN UNNEST(STRING_TO_ARRAY($1, ',')) WITH ORDINALITY AS asked (identity, place)
      ON q.identity = asked.identity"
);

/// One attempt, as it would decide its question.
pub(in crate::ledger) const READ_ATTEMPT: &str =
    concat!("SELECT", attempt!(), " FROM attempt a WHERE a.id = $1");

/// As [`READ_ATTEMPT`], of a list of attempts, with each one's place in it.
#[cfg(feature = "postgres")]
pub(in crate::ledger) const READ_ATTEMPTS: &str = concat!(
    "SELECT asked.place,",
    attempt!(),
    " FROM attempt a JOIN UNNEST(STRING_TO_ARRAY($1, ',')) WITH ORDINALITY AS asked (id, place)
      ON a.id = CAST(asked.id AS BIGINT)"
);

pub(in crate::ledger) const READ_SIGHTING: &str = "SELECT content FROM sighting WHERE key = $1";
/// As [`READ_SIGHTING`], of a list of keys, with each one's place in it.
#[cfg(feature = "postgres")]
pub(in crate::ledger) const READ_SIGHTINGS: &str = "
    SELECT asked.place, s.content
    FROM sighting s JOIN UNNEST(STRING_TO_ARRAY($1, ',')) WITH ORDINALITY AS asked (key, place)
      ON s.key = asked.key";

/// Of a run's attempts: all that take a place under its cap, and how many of them take it for good:
/// those that were or may have been billed, and those that were to leave before $2 and still have no
/// answer.
pub(in crate::ledger) const READ_CAP: &str = "
    SELECT COUNT(*),
           COALESCE(SUM(CASE WHEN state = 'booked' OR (state = 'sending' AND slot_us >= $2)
                             THEN 0 ELSE 1 END), 0)
    FROM attempt
    WHERE run = $1 AND (state IN ('booked', 'sending') OR images > 0 OR certainty = 'unknown')";

pub(in crate::ledger) const COUNT_SINCE: &str = "SELECT COUNT(*) FROM attempt WHERE id > $1";

pub(in crate::ledger) const READ_PACE: &str =
    "SELECT next_us, booked_us FROM pace WHERE account = $1";
pub(in crate::ledger) const WRITE_PACE: &str = write_pace!("$1", "$2", "$3");
/// As [`Pace::push_back`](crate::ledger::quota::Pace::push_back), at $2 by $3.
pub(in crate::ledger) const PUSH_BACK: &str = "
    UPDATE pace SET next_us = $3 + CASE WHEN booked_us > $2 THEN booked_us ELSE $2 END
    WHERE account = $1 AND next_us < $3 + CASE WHEN booked_us > $2 THEN booked_us ELSE $2 END";

pub(in crate::ledger) const READ_LAST_ATTEMPT: &str = "SELECT COALESCE(MAX(id), 0) FROM attempt";
pub(in crate::ledger) const WRITE_ATTEMPT: &str = write_attempt!();
pub(in crate::ledger) const WRITE_QUESTION: &str = write_question!("$1", "$2");
pub(in crate::ledger) const WRITE_SIGHTING: &str = write_sighting!("$1", "$2");
/// All but the last in one round trip, by the values of [`WRITE_ATTEMPT`] and the pace.
#[cfg(feature = "postgres")]
pub(in crate::ledger) const WRITE_RESERVATION: &str = concat!(
    "WITH booked AS (",
    write_attempt!(),
    "), asked AS (",
    write_question!("$2", "$1"),
    ")",
    write_pace!("$3", "$13", "$14")
);
/// All of them.
#[cfg(feature = "postgres")]
pub(in crate::ledger) const WRITE_RESERVATION_AND_SIGHTING: &str = concat!(
    "WITH booked AS (",
    write_attempt!(),
    "), asked AS (",
    write_question!("$2", "$1"),
    "), seen AS (",
    write_sighting!("$15", "$11"),
    ")",
    write_pace!("$3", "$13", "$14")
);

/// The last write before a request leaves. It changes nothing where the attempt was taken away, nor
/// where its slot is over by the ledger's clock, whose time a machine that was suspended has missed.
pub(in crate::ledger) const MARK_SENDING: &str = mark_sending!("$2");
#[cfg(feature = "postgres")]
pub(in crate::ledger) const MARK_SENDING_BY_SERVER: &str = mark_sending!(
    "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) - CAST($2 AS BIGINT)"
);

pub(in crate::ledger) const END_ATTEMPT: &str = end_attempt!();
pub(in crate::ledger) const DECIDE_QUESTION: &str = decide_question!("$1", "$2", "$3");
pub(in crate::ledger) const RELEASE_QUESTION: &str = release_question!("$1", "$2");
/// [`END_ATTEMPT`] and what it comes to for the question in one round trip, by its values and the
/// question's identity.
#[cfg(feature = "postgres")]
pub(in crate::ledger) const END_AND_DECIDE: &str =
    concat!("WITH ended AS (", end_attempt!(), ")", decide_question!("$10", "$1", "$2"));
#[cfg(feature = "postgres")]
pub(in crate::ledger) const END_AND_RELEASE: &str =
    concat!("WITH ended AS (", end_attempt!(), ")", release_question!("$10", "$1"));

/// Gives up an attempt whose owner is gone and that may have left. Its question says so by itself,
/// and keeps what it came to before: the attempt's holder may yet come back and say that it came to
/// nothing.
pub(in crate::ledger) const ABANDON_SENDING: &str = "
    UPDATE attempt SET state = 'unknown', verdict = 'unknown', certainty = 'unknown', ended_us = $2
    WHERE id = $1 AND state = 'sending'";
/// Takes away an attempt that cannot have left: its holder must turn it from booked to sending first,
/// and now cannot.
pub(in crate::ledger) const ABANDON_BOOKED: &str = "
    UPDATE attempt SET state = 'not_sent', verdict = 'not_sent', certainty = 'none', ended_us = $2
    WHERE id = $1 AND state = 'booked'";
pub(in crate::ledger) const READ_IN_FLIGHT: &str =
    "SELECT id, owner, state, slot_us FROM attempt WHERE state IN ('booked', 'sending')";
pub(in crate::ledger) const READ_OWNER: &str = "SELECT owner FROM attempt WHERE id = $1";
pub(in crate::ledger) const READ_STATE: &str = "SELECT state, slot_us FROM attempt WHERE id = $1";
pub(in crate::ledger) const READ_IDENTITY: &str = "SELECT identity FROM attempt WHERE id = $1";

/// Sums by Beijing day (UTC+8) and by what came of an attempt. What has ended is summed up as it
/// ends; to it comes what may have left and has not ended. What was not sent cost nothing and is
/// left out.
pub(in crate::ledger) const READ_SPEND: &str = "
    SELECT day, verdict, certainty, calls, images, billed FROM day_sum
    WHERE day >= $1 AND day <= $2 AND calls > 0
    UNION ALL
    SELECT (slot_us + 28800000000) / 86400000000, 'sending', 'unknown', 1, 0, 0 FROM attempt
    WHERE state IN ('booked', 'sending') AND state = 'sending'
        AND (slot_us + 28800000000) / 86400000000 BETWEEN $1 AND $2
    ORDER BY 1";
/// A page of what the service has judged.
pub(in crate::ledger) const READ_VERDICTS: &str = "
    SELECT id, source, image_id, ratio, model, verdict, http_status, request_id, images, certainty,
           answer
    FROM attempt WHERE id > $1 AND state = 'settled' ORDER BY id LIMIT $2";
pub(in crate::ledger) const READ_UNKNOWN: &str = "
    SELECT slot_us, request_id, source, state FROM attempt
    WHERE certainty = 'unknown' OR state = 'sending' ORDER BY id";
