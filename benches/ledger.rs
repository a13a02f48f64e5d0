//! What a ledger costs as it grows: a sum of one day, of all days, a call, and its reservation.
//!
//! `cargo bench --features cli --bench ledger -- 5000000` makes a ledger of so many attempts in a
//! temporary folder (about 700 bytes each) and prints the medians, of SQLite and, where there is a
//! server, of PostgreSQL.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, Picture};
use emo_preflight::{AddressPolicy, ApiKey, Ledger, Preflight, ProbeOptions, RunOptions, Source};
use futures_util::stream::{self, StreamExt as _};
use sqlx::Connection as _;

#[path = "../tests/pg/mod.rs"]
mod pg;

/// Where a ledger is.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(&'static pg::Server, String),
}

impl Place {
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Sqlite(tempfile::tempdir().unwrap())];
        all.extend(pg::server().map(|server| Self::Postgres(server, server.database())));
        all
    }

    fn path(folder: &tempfile::TempDir) -> std::path::PathBuf {
        folder.path().join("ledger.db")
    }

    async fn open(&self) -> Ledger {
        match self {
            Self::Sqlite(folder) => Ledger::open(Self::path(folder)).await.unwrap(),
            Self::Postgres(_, url) => Ledger::connect(url).await.unwrap(),
        }
    }

    /// The same one, a round trip of 80 ms away.
    async fn open_from_afar(&self) -> Option<Ledger> {
        let Self::Postgres(server, url) = self else { return None };
        let proxy = pg::proxy::Proxy::delaying(server.port(), Duration::from_millis(40));
        let url = url.replace(&server.port().to_string(), &proxy.port().to_string());
        Some(Ledger::connect(&url).await.unwrap())
    }

    async fn fill(&self, attempts: u32) {
        match self {
            Self::Sqlite(folder) => fill(&Self::path(folder), attempts).await,
            Self::Postgres(server, url) => {
                let database = url.rsplit('/').next().unwrap();
                server.run(database, &FILL_POSTGRES.replace("$1", &attempts.to_string()));
                // What such a filling leaves to be tidied up is not there in a ledger that grew.
                server.run(database, "VACUUM ANALYZE");
                server.run(database, "CHECKPOINT");
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(..) => "PostgreSQL",
        }
    }
}

/// As [`fill`] does it.
const FILL_POSTGRES: &str = r#"
    SET search_path = emo_preflight;
    INSERT INTO attempt (id, identity, account, run, owner, source, ratio, model, state, slot_us,
                         ended_us, verdict, http_status, request_id, images, certainty, answer,
                         service, content)
    SELECT 1700000000000000 + n * 207000, encode(sha256(n::TEXT::BYTEA), 'hex'), 'account', 'run',
           'owner', 'https://portraits.example/' || n || '.jpg', '1:1', 'emo-detect-v1',
           CASE WHEN n % 10000 = 0 THEN 'unknown' ELSE 'settled' END,
           1700000000000000 + n * 207000, 1700000000000000 + n * 207000 + 900000,
           CASE WHEN n % 10000 = 0 THEN 'unknown' WHEN n % 7 = 0 THEN 'rejected_remote'
                ELSE 'accepted' END,
           200, 'c56f62df', (n % 10000 <> 0)::INT,
           CASE WHEN n % 10000 = 0 THEN 'unknown' ELSE 'certain' END,
           '{"output":{"check_pass":true,"face_bbox":[302,286,610,593],"ext_bbox":[71,9,840,778]},"usage":{"image_count":1},"request_id":"c56f62df-724e-9c19-96bd-000000000000"}',
           'service', encode(sha256(n::TEXT::BYTEA), 'hex')
    FROM generate_series(1::BIGINT, $1) AS up (n);
    INSERT INTO question (identity, state, attempt) SELECT identity, state, id FROM attempt"#;

#[tokio::main]
async fn main() {
    let wanted: Vec<u32> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    let wanted = if wanted.is_empty() { vec![50_000] } else { wanted };
    println!(
        "                       a day's sum   all days' sum   unknown calls   a call   of four gates   a reservation   of four gates   a known image   from 80 ms away"
    );
    for attempts in wanted {
        for place in Place::all() {
            measure(&place, attempts).await;
        }
    }
}

async fn measure(place: &Place, attempts: u32) {
    drop(place.open().await);
    place.fill(attempts).await;
    let ledger = place.open().await;
    let days = ledger.spend(None, None).await.unwrap().days;
    let day = days[days.len() / 2].day;
    let one = median(async || drop(ledger.spend(Some(day), Some(day)).await.unwrap())).await;
    let all = median(async || drop(ledger.spend(None, None).await.unwrap())).await;
    let unknown = median(async || drop(ledger.unknown_calls().await.unwrap())).await;
    let again = [Some(place.open().await), place.open_from_afar().await];
    let (call, reservation, known) = calls(vec![ledger], again).await;
    let [near, far] = known.map(|time| time.map_or("".to_owned(), |time| format!("{time:.1?}")));
    let mut four = Vec::new();
    for _ in 0..4 {
        four.push(place.open().await);
    }
    let (call_of_four, reservation_of_four, _) = calls(four, [None, None]).await;
    let name = place.name();
    println!(
        "{name:>10} {attempts:>9}   {one:>11.1?}   {all:>13.1?}   {unknown:>13.1?}   {call:>6.1?}   {call_of_four:>13.1?}   {reservation:>13.1?}   {reservation_of_four:>13.1?}   {near:>13}   {far:>15}"
    );
}

/// Attempts of some days at five a second, as they come: most accepted, some unknown.
async fn fill(path: &std::path::Path, attempts: u32) {
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let answer = r#"{"output":{"check_pass":true,"face_bbox":[302,286,610,593],"ext_bbox":[71,9,840,778]},"usage":{"image_count":1},"request_id":"c56f62df-724e-9c19-96bd-000000000000"}"#;
    let fill = "
        INSERT INTO attempt (id, identity, account, run, owner, source, ratio, model, state,
                             slot_us, ended_us, verdict, http_status, request_id, images,
                             certainty, answer, service, content)
        WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < $1)
        SELECT 1700000000000000 + n * 207000, lower(hex(randomblob(32))), 'account', 'run',
               'owner', 'https://portraits.example/' || n || '.jpg', '1:1', 'emo-detect-v1',
               CASE WHEN n % 10000 = 0 THEN 'unknown' ELSE 'settled' END,
               1700000000000000 + n * 207000, 1700000000000000 + n * 207000 + 900000,
               CASE WHEN n % 10000 = 0 THEN 'unknown' WHEN n % 7 = 0 THEN 'rejected_remote'
                    ELSE 'accepted' END,
               200, 'c56f62df', n % 10000 <> 0,
               CASE WHEN n % 10000 = 0 THEN 'unknown' ELSE 'certain' END, $2, 'service',
               lower(hex(randomblob(32)))
        FROM up";
    sqlx::query(fill)
        .bind(attempts)
        .bind(answer.as_bytes())
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO question (identity, state, attempt) SELECT identity, state, id FROM attempt",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
}

/// How much time a call takes of all, 1,000 of them as fast as they go: of one gate, or of several, each
/// with connections and an owner's lock of its own, as processes have them. How long its reservation took.
/// And how much time an image takes that is asked about again, by a process that finds it in the ledger.
async fn calls(
    ledgers: Vec<Ledger>,
    again: [Option<Ledger>; 2],
) -> (Duration, Duration, [Option<Duration>; 2]) {
    const CALLS: u32 = 1_000;
    let service = Emulator::builder().rps(None).start().await.unwrap();
    let image = Picture::png(400, 400);
    let gate = async |ledger| {
        let mut probe = ProbeOptions::default();
        probe.addresses = AddressPolicy::Any;
        let gate = Preflight::builder(ApiKey::new("sk-any").unwrap())
            .base_url(service.base_url())
            .ledger(ledger)
            .calls_per_second(1_000.0)
            // Of a run that has a cap, and all the calls there are.
            .run_id("run")
            .max_calls(u64::MAX)
            .probe(probe);
        gate.build().await.unwrap()
    };
    let mut gates = Vec::new();
    for ledger in ledgers {
        gates.push(gate(ledger).await);
    }
    let served = (0..CALLS).map(|n| service.serve(&format!("/{n}.png"), image.clone()));
    let sources: Vec<Source> = served.map(|served| Source::url(served.url())).collect();
    let share = sources.len() / gates.len();
    let begun = Instant::now();
    let runs = gates.iter().zip(sources.chunks(share)).map(|(gate, sources)| {
        gate.run(stream::iter(sources.to_vec()), RunOptions::default()).count()
    });
    let done: usize = futures_util::future::join_all(runs).await.into_iter().sum();
    assert_eq!(done, CALLS as usize);
    let elapsed = begun.elapsed();
    let activities = gates.iter().map(Preflight::activity);
    let (count, time) = activities.fold((0, Duration::ZERO), |(count, time), activity| {
        (count + activity.reservations, time + activity.reserving)
    });
    let mut known = [None; 2];
    for (ledger, known) in again.into_iter().zip(&mut known) {
        let Some(ledger) = ledger else { continue };
        let gate = gate(ledger).await;
        let begun = Instant::now();
        let run = gate.run(stream::iter(sources.clone()), RunOptions::default());
        let found = run.filter(|report| std::future::ready(report.from_ledger)).count().await;
        assert_eq!(found, CALLS as usize);
        *known = Some(begun.elapsed() / CALLS);
    }
    (elapsed / CALLS, time / u32::try_from(count).unwrap(), known)
}

async fn median(mut measured: impl AsyncFnMut()) -> Duration {
    let mut times = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        measured().await;
        times.push(begun.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}
