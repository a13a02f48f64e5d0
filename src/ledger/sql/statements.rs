//! The ledger's SQL: one set of texts in the subset that SQLite and PostgreSQL share. The schema is
//! in `schema.rs`.
//!
//! Times are microseconds since 1970.

#[cfg(feature = "postgres")]
use std::sync::OnceLock;

/// Writes that take the same values: SQLite runs them one after the other, PostgreSQL as one statement
/// with common table expressions, which is one round trip.
pub(in crate::ledger) struct Write {
    parts: &'static [&'static str],
    #[cfg(feature = "postgres")]
    whole: OnceLock<String>,
}

impl Write {
    const fn new(parts: &'static [&'static str]) -> Self {
        Self {
            parts,
            #[cfg(feature = "postgres")]
            whole: OnceLock::new(),
        }
    }

    pub(in crate::ledger) fn parts(&self) -> &'static [&'static str] {
        self.parts
    }

    #[cfg(feature = "postgres")]
    pub(in crate::ledger) fn whole(&'static self) -> &'static str {
        self.whole.get_or_init(|| {
            let Some((last, others)) = self.parts.split_last() else { return String::new() };
            let others: Vec<_> =
                others.iter().enumerate().map(|(n, part)| format!("part{n} AS ({part})")).collect();
            match others.is_empty() {
                true => (*last).to_owned(),
                false => format!("WITH {} {last}", others.join(", ")),
            }
        })
    }
}

/// A read of a list of keys, which is a JSON array; each row has its key's place in it, from 1 on.
pub(in crate::ledger) struct ReadEach {
    pub(in crate::ledger) sqlite: &'static str,
    #[cfg(feature = "postgres")]
    pub(in crate::ledger) postgres: &'static str,
}

macro_rules! read_each {
    ($columns:expr, $from:literal) => {
        ReadEach {
            sqlite: concat!(
                "SELECT asked.key + 1 AS place, ",
                $columns,
                " FROM json_each($1) AS asked JOIN ",
                $from
            ),
            #[cfg(feature = "postgres")]
            postgres: concat!(
                "SELECT asked.place, ",
                $columns,
                " FROM json_array_elements_text(CAST($1 AS JSON))
                  WITH ORDINALITY AS asked (value, place) JOIN ",
                $from
            ),
        }
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

pub(in crate::ledger) const READ_SCHEMA_VERSION: &str = "SELECT version FROM ledger_schema";
pub(in crate::ledger) const WRITE_SCHEMA_VERSION: &str =
    "INSERT INTO ledger_schema (version) VALUES ($1)";
pub(in crate::ledger) const READ_LEDGER_ID: &str = "SELECT id FROM ledger_schema";
pub(in crate::ledger) const WRITE_LEDGER_ID: &str = "UPDATE ledger_schema SET id = $1";

/// Questions with the attempt that decides: the one in flight, or given up while it was, else the
/// last that came to something. No row for one that is free. `standing` is the attempt whose verdict
/// still stands where a later one is unknown.
pub(in crate::ledger) static READ_QUESTIONS: ReadEach = read_each!(
    concat!(
        "
           CASE WHEN q.asking IS NULL THEN q.state
                WHEN a.state IN ('booked', 'sending') THEN a.state ELSE 'unknown' END AS state,
           CASE WHEN q.asking IS NOT NULL AND q.state = 'settled' THEN q.attempt
                ELSE q.standing END AS standing,",
        attempt_columns!()
    ),
    "question q ON q.identity = asked.value JOIN attempt a ON a.id = COALESCE(q.asking, q.attempt)"
);

/// Attempts, as each would decide its question.
pub(in crate::ledger) static READ_ATTEMPTS: ReadEach = read_each!(
    concat!("a.state, CAST(NULL AS BIGINT) AS standing,", attempt_columns!()),
    "attempt a ON a.id = CAST(asked.value AS BIGINT)"
);

pub(in crate::ledger) static READ_SIGHTINGS: ReadEach =
    read_each!("s.content", "sighting s ON s.key = asked.value");

/// Of a run's attempts: all that count for its cap, and how many of them count for good: those that
/// were or may have been billed, and those that were to leave before $2 and still have no answer.
pub(in crate::ledger) const READ_CAP: &str = "
    SELECT COUNT(*),
           COALESCE(SUM(CASE WHEN state = 'booked' OR (state = 'sending' AND slot_us >= $2)
                             THEN 0 ELSE 1 END), 0)
    FROM attempt
    WHERE run = $1 AND (state IN ('booked', 'sending') OR images > 0 OR certainty = 'unknown')";

pub(in crate::ledger) const READ_PACE: &str =
    "SELECT next_us, booked_us FROM pace WHERE account = $1";
pub(in crate::ledger) const READ_LAST_ATTEMPT: &str = "SELECT COALESCE(MAX(id), 0) FROM attempt";

/// Books an attempt: $1 to $12 are the attempt's, $13 and $14 the pace's, $15 where the image was met.
pub(in crate::ledger) static BOOK: Write = Write::new(&[
    "
    INSERT INTO attempt (id, identity, account, run, owner, source, ratio, model, state, slot_us,
                         service, content, image_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'booked', $9, $10, $11, $12)",
    // An attempt that was given up and is now asked over is what the question came to last.
    "
    INSERT INTO question (identity, state, asking) VALUES ($2, 'free', $1)
    ON CONFLICT (identity) DO UPDATE SET
        standing = CASE WHEN question.asking IS NOT NULL AND question.state = 'settled'
                        THEN question.attempt ELSE question.standing END,
        state = CASE WHEN question.asking IS NULL THEN question.state ELSE 'unknown' END,
        attempt = COALESCE(question.asking, question.attempt),
        asking = excluded.asking",
    "
    INSERT INTO sighting (key, content) SELECT $15, $11 WHERE $15 IS NOT NULL
    ON CONFLICT (key) DO UPDATE SET content = excluded.content",
    // A pace only goes forward, whichever process read it last, unless the clock went back.
    "
    INSERT INTO pace (account, next_us, booked_us) VALUES ($3, $13, $14)
    ON CONFLICT (account) DO UPDATE SET booked_us = excluded.booked_us, next_us =
        CASE WHEN excluded.next_us > pace.next_us OR excluded.booked_us < pace.booked_us
             THEN excluded.next_us ELSE pace.next_us END",
]);

/// The last write before a request leaves. It changes nothing where the attempt was taken away, nor
/// where its slot is over by the ledger's clock, whose time a machine that was suspended has missed.
pub(in crate::ledger) static MARK_SENDING: Write = Write::new(&["
    UPDATE attempt SET state = 'sending' WHERE id = $1 AND state = 'booked' AND slot_us >= $2"]);
#[cfg(feature = "postgres")]
pub(in crate::ledger) static MARK_SENDING_BY_SERVER: Write = Write::new(&["
    UPDATE attempt SET state = 'sending' WHERE id = $1 AND state = 'booked' AND slot_us >=
        CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) - CAST($2 AS BIGINT)"]);

/// An attempt's own holder always knows best how it ended, however late it says so.
const END_ATTEMPT: &str = "
    UPDATE attempt SET state = $2, ended_us = $3, verdict = $4, http_status = $5,
        request_id = $6, images = $7, certainty = $8, answer = $9
    WHERE id = $1";

/// As [`Pace::push_back`](crate::ledger::quota::Pace::push_back), of the account $10 at $3 by $11, where
/// there is a $11.
const PUSH_BACK: &str = "
    UPDATE pace SET next_us = $11 + CASE WHEN booked_us > $3 THEN booked_us ELSE $3 END
    WHERE account = $10 AND next_us < $11 + CASE WHEN booked_us > $3 THEN booked_us ELSE $3 END";

/// Which question the attempt $1 may still change: its own, in flight with it, or given up as unknown
/// and not yet settled by another.
macro_rules! its_question {
    () => {
        "
    WHERE identity = (SELECT identity FROM attempt WHERE id = $1)
        AND (asking = $1 OR (attempt = $1 AND state = 'unknown'))"
    };
}

/// An attempt that came to nothing leaves its question as it was before, given up meanwhile or not.
pub(in crate::ledger) const RELEASE_QUESTION: &str = concat!(
    "
    UPDATE question SET
        state = CASE WHEN asking = $1 THEN state
                     WHEN standing IS NULL THEN 'free' ELSE 'settled' END,
        attempt = CASE WHEN asking = $1 THEN attempt ELSE standing END,
        standing = CASE WHEN asking = $1 THEN standing ELSE NULL END,
        asking = CASE WHEN asking = $1 THEN NULL ELSE asking END",
    its_question!()
);

pub(in crate::ledger) static END_AND_RELEASE: Write =
    Write::new(&[END_ATTEMPT, PUSH_BACK, RELEASE_QUESTION]);

/// An attempt that came to something decides its question. An unknown one leaves the verdict before it
/// standing.
pub(in crate::ledger) static END_AND_DECIDE: Write = Write::new(&[
    END_ATTEMPT,
    PUSH_BACK,
    concat!(
        "
    UPDATE question SET
        standing = CASE WHEN $2 = 'settled' THEN NULL
                        WHEN asking = $1 AND state = 'settled' THEN attempt ELSE standing END,
        state = $2, attempt = $1, asking = CASE WHEN asking = $1 THEN NULL ELSE asking END",
        its_question!()
    ),
]);

/// Gives up an attempt whose owner is gone and that may have left. Its question says so by itself,
/// and keeps what it came to before: the attempt's holder may yet come back and say that it came to
/// nothing.
pub(in crate::ledger) static ABANDON_SENDING: Write = Write::new(&["
    UPDATE attempt SET state = 'unknown', verdict = 'unknown', certainty = 'unknown', ended_us = $2
    WHERE id = $1 AND state = 'sending'"]);
/// Takes away an attempt that cannot have left: its holder must turn it from booked to sending first,
/// and now cannot.
pub(in crate::ledger) const ABANDON_BOOKED: &str = "
    UPDATE attempt SET state = 'not_sent', verdict = 'not_sent', certainty = 'none', ended_us = $2
    WHERE id = $1 AND state = 'booked'";
pub(in crate::ledger) const READ_IN_FLIGHT: &str =
    "SELECT id, owner, state, slot_us FROM attempt WHERE state IN ('booked', 'sending')";
pub(in crate::ledger) const READ_OWNER: &str = "SELECT owner FROM attempt WHERE id = $1";
pub(in crate::ledger) const READ_STATE: &str = "SELECT state, slot_us FROM attempt WHERE id = $1";

/// Sums from $1 until before $2 by Beijing day (UTC+8) and by what came of an attempt. What was not sent
/// cost nothing and is left out.
pub(in crate::ledger) const READ_SPEND: &str = "
    SELECT (slot_us + 28800000000) / 86400000000 AS day, COALESCE(verdict, state) AS what,
           COALESCE(certainty, 'unknown') AS certain, COUNT(*), CAST(SUM(images) AS BIGINT),
           SUM(CASE WHEN images > 0 THEN 1 ELSE 0 END)
    FROM attempt
    WHERE slot_us >= $1 AND slot_us < $2 AND state NOT IN ('booked', 'not_sent')
    GROUP BY 1, 2, 3 ORDER BY 1";
/// A page of what the service has judged.
pub(in crate::ledger) const READ_VERDICTS: &str = concat!(
    "SELECT a.state, CAST(NULL AS BIGINT) AS standing, a.image_id, a.ratio, a.model, a.verdict,",
    attempt_columns!(),
    " FROM attempt a WHERE a.id > $1 AND a.state = 'settled' ORDER BY a.id LIMIT $2"
);
pub(in crate::ledger) const READ_UNKNOWN: &str = "
    SELECT slot_us, request_id, source, state FROM attempt
    WHERE certainty = 'unknown' OR state = 'sending' ORDER BY id";
