//! What the ledger knows of questions.

use super::driver::{Connection, Fault, Readable, values};
use super::rows::{Placed, Row, Sighted};
use super::statements::{self as sql, ReadEach};
use crate::ledger::identity::hex;
use crate::ledger::{Found, ImageKey, Lookup, Query};

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
                sightings.push(hex(sighting.0));
            }
        }
    }
    for (place, row) in
        sighted.into_iter().zip(read_each(ledger, &sql::READ_SIGHTINGS, sightings).await?)
    {
        if let (Some(found), Some(Sighted(Some(content)))) = (found.get_mut(place), row) {
            *found = Some(Found::free(content));
        }
    }
    let known =
        all.iter().zip(&mut found).filter_map(|(query, found)| Some((*query, found.as_mut()?)));
    let mut known: Vec<_> = known.collect();
    let identities =
        known.iter().map(|(query, found)| query.ask.identity(&found.content).to_string()).collect();
    let mut standing = Vec::new();
    let rows: Vec<Option<Row>> = read_each(ledger, &sql::READ_QUESTIONS, identities).await?;
    for (place, row) in rows.into_iter().enumerate() {
        let (Some((query, found)), Some(row)) = (known.get_mut(place), row) else { continue };
        let attempt = row.standing();
        found.lookup = row.judge(*query, now);
        if let (Lookup::Known(_), Some(attempt)) = (&found.lookup, attempt) {
            standing.push((place, attempt));
        }
    }
    let attempts = standing.iter().map(|(_, attempt)| attempt.to_string()).collect();
    let rows: Vec<Option<Row>> = read_each(ledger, &sql::READ_ATTEMPTS, attempts).await?;
    for ((place, _), row) in standing.into_iter().zip(rows) {
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

/// The row of each key that has one.
async fn read_each<T>(
    ledger: &mut Connection<'_>,
    read: &'static ReadEach,
    keys: Vec<String>,
) -> Result<Vec<Option<T>>, Fault>
where
    Placed<T>: Readable,
{
    let mut rows: Vec<_> = keys.iter().map(|_| None).collect();
    if keys.is_empty() {
        return Ok(rows);
    }
    let keys = serde_json::Value::from(keys).to_string();
    for Placed { place, row } in ledger.all(ledger.text_of(read), values![&keys]).await? {
        let place = usize::try_from(place - 1).ok();
        if let Some(found) = place.and_then(|place| rows.get_mut(place)) {
            *found = Some(row);
        }
    }
    Ok(rows)
}
