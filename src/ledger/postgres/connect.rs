//! How the database is reached, and its schema made.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use tokio::time::Instant;
use url::Url;

use super::owner::OwnerSession;
use crate::ledger::sql::driver::{Fault, POOLED, in_time, may_pass, said};
use crate::ledger::sql::retry::RetryDeadline;
use crate::ledger::sql::{schema, statements as sql};
use crate::ledger::{LedgerError, LedgerTiming};

/// A database, by its URL.
pub(super) struct Target {
    options: PgConnectOptions,
    /// The URL without what is secret.
    place: String,
    timing: LedgerTiming,
}

impl Target {
    pub(super) fn of(url: &str, timing: LedgerTiming) -> Result<Self, LedgerError> {
        let place = place_of(url);
        let refuse = |why: &str| LedgerError::Open { path: place.clone(), why: why.to_owned() };
        check_parameters(url).map_err(|why| refuse(&why))?;
        // The parser's own words may repeat the password.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| refuse(MALFORMED))?
            .application_name("emo-preflight");
        let options = match parsed(url).and_then(|url| search_path_of(&url)) {
            Some(_) => options,
            None => options.options([("search_path", SCHEMA)]),
        };
        let stalled = format!("{}ms", timing.stalled.as_millis());
        let options =
            options.options(SESSION).options([("idle_in_transaction_session_timeout", stalled)]);
        Ok(Self { options, place, timing })
    }

    /// The owner's session, and a connection for all else.
    pub(super) async fn connect(self) -> Result<(OwnerSession, PgPool), LedgerError> {
        let other = self.pool().await?;
        self.check_server(&other).await?;
        self.make_schema(&other).await?;
        let owner = OwnerSession::with(self.options.clone(), self.timing.free_within());
        match self.within(async || owner.is_kept().await).await? {
            true => Ok((owner, other)),
            false => Err(self.cannot(POOLED.to_owned())),
        }
    }

    pub(super) async fn connect_read_only(self) -> Result<Option<PgPool>, LedgerError> {
        let other = self.pool().await?;
        self.check_server(&other).await?;
        let found = self.within(async || find_version(&other).await).await?;
        match found {
            None => Ok(None),
            Some(found) => schema::check_version(found, &self.place).map(|()| Some(other)),
        }
    }

    async fn pool(&self) -> Result<PgPool, LedgerError> {
        self.within(async || {
            // A pool would wait for a server that refuses, and say only that it waited.
            PgConnection::connect_with(&self.options).await?.close().await?;
            PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(self.timing.free_within())
                .test_before_acquire(false)
                .max_lifetime(None)
                .connect_with(self.options.clone())
                .await
        })
        .await
    }

    /// Makes the schema where it is not there, once, whoever else is about to.
    async fn make_schema(&self, pool: &PgPool) -> Result<(), LedgerError> {
        let found = self
            .within(async || {
                if let Some(found) = find_version(pool).await? {
                    return Ok(found);
                }
                let mut transaction = pool.begin().await?;
                sqlx::query(TAKE_TURNS_TO_MAKE_IT).execute(&mut *transaction).await?;
                let (create,): (String,) =
                    sqlx::query_as(CREATE_SCHEMA).fetch_one(&mut *transaction).await?;
                sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut *transaction).await?;
                if find_version_on(&mut transaction).await?.is_none() {
                    sqlx::raw_sql(sqlx::AssertSqlSafe(tables())).execute(&mut *transaction).await?;
                    sqlx::query(sql::WRITE_SCHEMA_VERSION)
                        .bind(schema::VERSION)
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await?;
                Ok(schema::VERSION)
            })
            .await?;
        schema::check_version(found, &self.place)
    }

    /// What an administrator's settings mean for the ledger.
    async fn check_server(&self, pool: &PgPool) -> Result<(), LedgerError> {
        let read = async || sqlx::query_as(READ_SETTINGS).fetch_one(pool).await;
        let (encoding, fsync, pages): (String, String, String) = self.within(read).await?;
        if !["UTF8", "SQL_ASCII"].contains(&&*encoding) {
            return Err(self.cannot(format!(
                "the database's encoding must be UTF8, found {encoding}: make another with CREATE \
                 DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )));
        }
        for (setting, value) in [("fsync", fsync), ("full_page_writes", pages)] {
            if value == "off" {
                tracing::warn!(
                    ledger = self.place,
                    "the server has {setting} = off: a crash of its machine may lose calls that were \
                     paid for, which are then paid for again"
                );
            }
        }
        Ok(())
    }

    /// Does `work`, again where what failed may pass.
    async fn within<T>(
        &self,
        mut work: impl AsyncFnMut() -> Result<T, sqlx::Error>,
    ) -> Result<T, LedgerError> {
        let until = Instant::now() + self.timing.answer_within();
        let mut deadline = RetryDeadline::new(self.timing.wait);
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(CONNECT_LEAST);
            match in_time(left, work()).await {
                Ok(done) => return Ok(done),
                Err(error) => {
                    let fault =
                        Fault { may_pass: may_pass(&error), error: self.cannot(said(&error)) };
                    deadline.after(fault).await?;
                }
            }
        }
    }

    fn cannot(&self, why: String) -> LedgerError {
        LedgerError::Open { path: self.place.clone(), why }
    }
}

async fn find_version(pool: &PgPool) -> Result<Option<i64>, sqlx::Error> {
    find_version_on(&mut *pool.acquire().await?).await
}

async fn find_version_on(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    let (is_there,): (bool,) = sqlx::query_as(FIND_TABLE).fetch_one(&mut *connection).await?;
    match is_there {
        false => Ok(None),
        true => {
            let found = sqlx::query_as(sql::READ_SCHEMA_VERSION).fetch_one(connection).await?;
            let (found,): (i64,) = found;
            Ok(Some(found))
        }
    }
}

/// The tables and their indexes, as PostgreSQL wants them.
fn tables() -> String {
    let tables = schema::TABLES.iter().chain(&schema::INDEXES);
    tables.map(|table| table.replace("BLOB", "BYTEA") + ";\n").collect()
}

/// All that a database administrator has to run before the first use, to leave USAGE and DML to the
/// program.
pub(in crate::ledger) fn ddl() -> String {
    let version = schema::VERSION;
    format!(
        "CREATE SCHEMA IF NOT EXISTS {SCHEMA};\nSET search_path = {SCHEMA};\n{}\
         INSERT INTO ledger_schema (version) VALUES ({version});\n",
        tables()
    )
}

/// What the driver would pass over, or say in words that help nobody. A mistyped `sslmode` that is
/// passed over would mean less than was asked for.
fn check_parameters(url: &str) -> Result<(), String> {
    let Some(url) = parsed(url) else { return Err(MALFORMED.to_owned()) };
    for (name, value) in url.query_pairs() {
        let is_file = FILES.iter().any(|(parameter, _)| *parameter == name);
        if !is_file && !PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
            let known = [PARAMETERS, &FILES.map(|(parameter, _)| parameter)].concat().join(", ");
            return Err(format!("its parameters must be among {known}; found {name:?}"));
        }
        if name == "sslmode" && !SSL_MODES.contains(&&*value) {
            return Err(format!("sslmode must be one of {}", SSL_MODES.join(", ")));
        }
        if is_file {
            check_file(&name, std::ffi::OsStr::new(&*value))?;
        }
    }
    for (_, variable) in FILES {
        if let Some(path) = std::env::var_os(variable) {
            check_file(variable, &path)?;
        }
    }
    Ok(())
}

fn check_file(name: &str, path: &std::ffi::OsStr) -> Result<(), String> {
    let opened = std::fs::File::open(path);
    let path = std::path::Path::new(path).display();
    opened
        .map(drop)
        .map_err(|error| format!("{name} must be a file, found none at {path}: {error}"))
}

/// The URL, unless a part of its password has ended up in another part of it.
fn parsed(url: &str) -> Option<Url> {
    let whole = Url::parse(url).ok()?;
    let parts = [Some(whole.path()), whole.query(), whole.fragment()];
    let is_misplaced = parts.into_iter().flatten().any(|part| part.contains('@'));
    (!is_misplaced).then_some(whole)
}

/// What of a URL may be printed: its host and its database.
pub(in crate::ledger) fn place_of(url: &str) -> String {
    match parsed(url) {
        Some(url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let schema = search_path_of(&url).unwrap_or_else(|| SCHEMA.to_owned());
            format!(
                "postgres://{}{port}{} (schema {})",
                url.host_str().unwrap_or_default(),
                url.path(),
                schema.escape_debug()
            )
        }
        None => "postgres://…".to_owned(),
    }
}

/// Where the URL's options say that the tables are; the last word counts.
fn search_path_of(url: &Url) -> Option<String> {
    let said = url.query_pairs().filter_map(|(name, value)| match &*name {
        "options[search_path]" => Some(value.into_owned()),
        // As in `-c search_path=a,b`; a backslash keeps what comes after it from ending the value.
        "options" => {
            let (_, rest) = value.rsplit_once("search_path=")?;
            let mut is_escaped = false;
            let end = rest.find(|c: char| {
                let ends = c.is_whitespace() && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                ends
            });
            Some(rest.get(..end.unwrap_or(rest.len()))?.to_owned())
        }
        _ => None,
    });
    said.last().filter(|schema| !schema.is_empty())
}

const MALFORMED: &str = "it must be a URL as postgres://user@host:5432/database; what is not a letter, \
                         a digit or one of -._~ in a password must be percent-encoded";

const PARAMETERS: &[&str] = &[
    "sslmode",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
/// And the variables that stand for them.
const FILES: [(&str, &str); 3] =
    [("sslrootcert", "PGSSLROOTCERT"), ("sslcert", "PGSSLCERT"), ("sslkey", "PGSSLKEY")];

const SCHEMA: &str = "emo_preflight";

/// What must hold of a session, whatever the server's or the role's defaults.
const SESSION: [(&str, &str); 9] = [
    // A commit that returned survives the server's crash.
    ("synchronous_commit", "on"),
    ("default_transaction_isolation", "read committed"),
    // Of a machine that is gone or frozen the server finds out within half a minute, and ends its
    // session: its lock goes, and nobody waits behind its transaction.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30s"),
    ("idle_session_timeout", "0"),
    // How long is waited is this program's to say.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
];

/// A last try to connect is a try.
const CONNECT_LEAST: Duration = Duration::from_secs(1);

const READ_SETTINGS: &str = "
    SELECT current_setting('server_encoding'), current_setting('fsync'),
           current_setting('full_page_writes')";

const FIND_TABLE: &str = "SELECT to_regclass('ledger_schema') IS NOT NULL";
const TAKE_TURNS_TO_MAKE_IT: &str = "SELECT pg_advisory_xact_lock(7210, 0)";
const CREATE_SCHEMA: &str = "
    SELECT format('CREATE SCHEMA IF NOT EXISTS %I',
                  trim(both ' \"' from split_part(current_setting('search_path'), ',', 1)))";
