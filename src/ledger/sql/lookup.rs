//! What the ledger knows of questions.

use super::driver::{Connection, Fault, values};
#[cfg(feature = "postgres")]
use super::rows::Placed;
use super::rows::{Row, Sighted};
use super::statements as sql;
use crate::ledger::identity::hex;
use crate::ledger::{Found, ImageKey, Lookup, Query};
use crate::probe::Sighting;

/// What is known of each, in their order; of one whose image was not met before nothing.
pub(in crate::ledger) async fn look_up(
    ledger: &mut Connection<'_>,
    all: &[Query<'_>],
    now: i64,
) -> Result<Vec<Option<Found>>, Fault> {
    let mut found: Vec<Option<Found>> = Vec::with_capacity(all.len());
    let (mut sighted, mut sightings) = (Vec::new(), Vec::new());
    for (place, query) in all.iter().enumerate() {
        match query.image {
            ImageKey::Content(content) => found.push(Some(Found::free(content))),
            ImageKey::Sighting(sighting) => {
                found.push(None);
                sighted.push(place);
                sightings.push(sighting);
            }
        }
    }
    for (place, row) in sighted.into_iter().zip(read_sightings(ledger, &sightings).await?) {
        if let (Some(found), Some(Sighted(Some(content)))) = (found.get_mut(place), row) {
            *found = Some(Found::free(content));
        }
    }
    let known =
        all.iter().zip(&mut found).filter_map(|(query, found)| Some((*query, found.as_mut()?)));
    let mut known: Vec<_> = known.collect();
    let identities: Vec<_> =
        known.iter().map(|(query, found)| query.ask.identity(&found.content).to_string()).collect();
    let mut standing = Vec::new();
    for (place, row) in read_questions(ledger, &identities).await?.into_iter().enumerate() {
        let (Some((query, found)), Some(row)) = (known.get_mut(place), row) else { continue };
        let attempt = row.standing();
        found.lookup = row.judge(*query, now);
        if let (Lookup::Known(_), Some(attempt)) = (&found.lookup, attempt) {
            standing.push((place, attempt));
        }
    }
    let attempts: Vec<_> = standing.iter().map(|(_, attempt)| *attempt).collect();
    for ((place, _), row) in standing.into_iter().zip(read_attempts(ledger, &attempts).await?) {
        if let (Some((query, found)), Some(row)) = (known.get_mut(place), row) {
            // Before a call of unknown bill, the verdict that still stands.
            found.lookup = Lookup::Known(row.recall(query.ask.detector).before_a_lost_call());
        }
    }
    Ok(found)
}

/// What is known of one.
pub(in crate::ledger) async fn look_up_one(
    ledger: &mut Connection<'_>,
    query: Query<'_>,
    now: i64,
) -> Result<Option<Found>, Fault> {
    Ok(look_up(ledger, &[query], now).await?.into_iter().next().flatten())
}

async fn read_sightings(
    ledger: &mut Connection<'_>,
    all: &[Sighting],
) -> Result<Vec<Option<Sighted>>, Fault> {
    let keys: Vec<_> = all.iter().map(|sighting| hex(sighting.0)).collect();
    #[cfg(feature = "postgres")]
    if is_list_better(ledger, all) {
        let rows = ledger.all(sql::READ_SIGHTINGS, values![&keys.join(",")]).await?;
        return Ok(Placed::in_their_places(rows, all.len()));
    }
    let mut rows = Vec::with_capacity(all.len());
    for key in &keys {
        rows.push(ledger.optional(sql::READ_SIGHTING, values![key]).await?);
    }
    Ok(rows)
}

async fn read_questions(
    ledger: &mut Connection<'_>,
    identities: &[String],
) -> Result<Vec<Option<Row>>, Fault> {
    #[cfg(feature = "postgres")]
    if is_list_better(ledger, identities) {
        let rows = ledger.all(sql::READ_QUESTIONS, values![&identities.join(",")]).await?;
        return Ok(Placed::in_their_places(rows, identities.len()));
    }
    let mut rows = Vec::with_capacity(identities.len());
    for identity in identities {
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

/// Whether one statement about all is better than one about each: of a database that is far away.
#[cfg(feature = "postgres")]
fn is_list_better<T>(ledger: &Connection<'_>, all: &[T]) -> bool {
    matches!(ledger, Connection::Postgres(_)) && all.len() > 1
}
