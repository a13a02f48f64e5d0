//! What the ledger knows of questions.

use super::driver::{Connection, Fault, values};
#[cfg(feature = "postgres")]
use super::rows::Placed;
use super::rows::Row;
use super::statements as sql;
use crate::ledger::quota::micros;
use crate::ledger::{Content, Lookup, Question, Reuse};

/// A question, and what of the known may be told again.
#[derive(Clone, Copy)]
pub(in crate::ledger) struct Asked<'a> {
    pub(in crate::ledger) question: &'a Question,
    pub(in crate::ledger) reuse: &'a Reuse,
}

/// A content that is looked for, and from when on a verdict about it counts.
struct WantedContent<'a> {
    content: &'a Content,
    earliest: i64,
}

/// What is known of each, in their order.
pub(in crate::ledger) async fn look_up(
    ledger: &mut Connection<'_>,
    all: &[Asked<'_>],
    now: i64,
) -> Result<Vec<Lookup>, Fault> {
    let mut found = Vec::with_capacity(all.len());
    let mut standing = Vec::new();
    for (asked, row) in all.iter().zip(read_questions(ledger, all).await?) {
        let attempt = row.as_ref().and_then(Row::standing);
        let lookup = row.map_or(Lookup::Free, |row| row.judge(asked.question, asked.reuse, now));
        if let (Lookup::Known(_), Some(attempt)) = (&lookup, attempt) {
            standing.push((found.len(), attempt));
        }
        found.push(lookup);
    }
    let attempts: Vec<_> = standing.iter().map(|(_, attempt)| *attempt).collect();
    for ((place, _), row) in standing.into_iter().zip(read_attempts(ledger, &attempts).await?) {
        let (Some(asked), Some(lookup)) = (all.get(place), found.get_mut(place)) else { continue };
        // Before a call of unknown bill, the verdict that still stands.
        match row.map(|row| row.judge_verdict(asked.question)) {
            Some(Lookup::Known(known)) => *lookup = Lookup::Known(known.before_a_lost_call()),
            Some(Lookup::NeedsLastBytes) => *lookup = Lookup::NeedsLastBytes,
            _ => {}
        }
    }
    let (mut free, mut wanted) = (Vec::new(), Vec::new());
    for (asked, lookup) in all.iter().zip(&mut found) {
        if let (Lookup::Free, Some(content)) = (&lookup, asked.content(now)) {
            free.push((asked, lookup));
            wanted.push(content);
        }
    }
    for ((asked, lookup), row) in free.into_iter().zip(read_contents(ledger, &wanted).await?) {
        if let Some(row) = row {
            *lookup = row.judge_content(asked.question, asked.reuse, now);
        }
    }
    Ok(found)
}

impl<'a> Asked<'a> {
    /// What is known of it alone.
    pub(in crate::ledger) async fn look_up(
        self,
        ledger: &mut Connection<'_>,
        now: i64,
    ) -> Result<Lookup, Fault> {
        let found = look_up(ledger, &[self], now).await?;
        found.into_iter().next().ok_or_else(|| Fault::reading(sqlx::Error::RowNotFound))
    }

    fn content(self, now: i64) -> Option<WantedContent<'a>> {
        let content = self.question.content.as_ref().filter(|_| self.reuse.same_content)?;
        // Of nothing that is too old, for it must not stand before what is newer.
        let most = self.reuse.max_age;
        let earliest = most.map_or(i64::MIN, |most| now.saturating_sub(micros(most)));
        Some(WantedContent { content, earliest })
    }
}

async fn read_questions(
    ledger: &mut Connection<'_>,
    all: &[Asked<'_>],
) -> Result<Vec<Option<Row>>, Fault> {
    let identities: Vec<_> = all.iter().map(|asked| asked.question.identity.to_string()).collect();
    #[cfg(feature = "postgres")]
    if is_list_better(ledger, all) {
        let rows = ledger.all(sql::READ_QUESTIONS, values![&identities.join(",")]).await?;
        return Ok(Placed::in_their_places(rows, all.len()));
    }
    let mut rows = Vec::with_capacity(all.len());
    for identity in &identities {
        rows.push(ledger.optional(sql::READ_QUESTION, values![identity]).await?);
    }
    Ok(rows)
}

async fn read_attempts(
    ledger: &mut Connection<'_>,
    all: &[i64],
) -> Result<Vec<Option<Row>>, Fault> {
    #[cfg(feature = "postgres")]
    if is_list_better(ledger, all) {
        let attempts: Vec<_> = all.iter().map(i64::to_string).collect();
        let rows = ledger.all(sql::READ_ATTEMPTS, values![&attempts.join(",")]).await?;
        return Ok(Placed::in_their_places(rows, all.len()));
    }
    let mut rows = Vec::with_capacity(all.len());
    for attempt in all {
        rows.push(ledger.optional(sql::READ_ATTEMPT, values![*attempt]).await?);
    }
    Ok(rows)
}

async fn read_contents(
    ledger: &mut Connection<'_>,
    all: &[WantedContent<'_>],
) -> Result<Vec<Option<Row>>, Fault> {
    #[cfg(feature = "postgres")]
    if is_list_better(ledger, all) {
        let contents: Vec<_> = all.iter().map(|wanted| wanted.content.to_string()).collect();
        let earliest: Vec<_> = all.iter().map(|wanted| wanted.earliest.to_string()).collect();
        let (contents, earliest) = (contents.join(","), earliest.join(","));
        let rows = ledger.all(sql::READ_CONTENTS, values![&contents, &earliest]).await?;
        return Ok(Placed::in_their_places(rows, all.len()));
    }
    let mut rows = Vec::with_capacity(all.len());
    for WantedContent { content, earliest } in all {
        let values = values![Some(content.as_bytes()), *earliest];
        rows.push(ledger.optional(sql::READ_CONTENT, values).await?);
    }
    Ok(rows)
}

/// Whether one statement about all is better than one about each: of a database that is far away.
#[cfg(feature = "postgres")]
fn is_list_better<T>(ledger: &Connection<'_>, all: &[T]) -> bool {
    matches!(ledger, Connection::Postgres(_)) && all.len() > 1
}
