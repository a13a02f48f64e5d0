//! The one place that knows two databases' types: statements with their values go down, rows come
//! up, and a failure says what it means for who asked.

#[cfg(feature = "postgres")]
use std::borrow::Cow;
#[cfg(feature = "postgres")]
use std::time::Duration;

use sqlx::FromRow;
use sqlx::pool::PoolConnection;
#[cfg(feature = "postgres")]
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::statements::{ReadEach, Write};
use crate::ledger::{LedgerAction, LedgerError};

/// A value of a statement.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) enum Value<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
}

macro_rules! value_from {
    ($($from:ty => $into:expr),* $(,)?) => { $(
        impl<'a> From<$from> for Value<'a> {
            fn from(value: $from) -> Self {
                $into(value)
            }
        }
    )* };
}
value_from! {
    i64 => |value| Self::Int(Some(value)),
    Option<i64> => Self::Int,
    &'a str => |value| Self::Text(Some(value)),
    &'a String => |value: &'a String| Self::Text(Some(value)),
    Option<&'a str> => Self::Text,
    Option<&'a [u8]> => Self::Bytes,
}

/// A list of values of whatever types.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::ledger::sql::driver::Value::from($value)),*] };
}
pub(in crate::ledger) use values;

/// What can be read from a row of either database.
#[cfg(feature = "postgres")]
pub(in crate::ledger) trait Readable:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}
#[cfg(feature = "postgres")]
impl<T> Readable for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

/// What can be read from a row.
#[cfg(not(feature = "postgres"))]
pub(in crate::ledger) trait Readable:
    for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{
}
#[cfg(not(feature = "postgres"))]
impl<T> Readable for T where T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

/// A connection that a statement can be run on.
pub(in crate::ledger) enum Connection<'a> {
    Sqlite(&'a mut SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(&'a mut PgConnection),
}

/// Binds the values to the statement, for whichever database.
macro_rules! bound {
    ($query:expr, $values:expr) => {
        bound!($query, $values, std::convert::identity)
    };
    ($query:expr, $values:expr, $text:path) => {{
        let mut query = $query;
        for value in $values {
            query = match *value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind($text(value)),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

/// PostgreSQL's texts hold any character but one.
#[cfg(feature = "postgres")]
fn without_nul(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(|text| match text.contains('\0') {
        true => text.replace('\0', "\u{FFFD}").into(),
        false => text.into(),
    })
}

impl Connection<'_> {
    /// Runs a statement and says how many rows it changed.
    pub(in crate::ledger) async fn execute(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, Fault> {
        let done = match self {
            Self::Sqlite(connection) => bound!(sqlx::query(statement), values)
                .execute(&mut **connection)
                .await
                .map(|done| done.rows_affected()),
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => in_time(
                ANSWER,
                bound!(sqlx::query(statement), values, without_nul).execute(&mut **connection),
            )
            .await
            .map(|done| done.rows_affected()),
        };
        done.map_err(Fault::writing)
    }

    /// Runs all parts of a write and says how many rows the last one changed.
    pub(in crate::ledger) async fn write(
        &mut self,
        write: &'static Write,
        values: &[Value<'_>],
    ) -> Result<u64, Fault> {
        match self {
            Self::Sqlite(_) => {
                let mut changed = 0;
                for part in write.parts() {
                    changed = self.execute(part, values).await?;
                }
                Ok(changed)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => self.execute(write.whole(), values).await,
        }
    }

    pub(in crate::ledger) fn text_of(&self, read: &'static ReadEach) -> &'static str {
        match self {
            Self::Sqlite(_) => read.sqlite,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => read.postgres,
        }
    }

    pub(in crate::ledger) async fn all<T: Readable>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, Fault> {
        let rows = match self {
            Self::Sqlite(connection) => {
                bound!(sqlx::query_as(statement), values).fetch_all(&mut **connection).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                in_time(
                    ANSWER,
                    bound!(sqlx::query_as(statement), values, without_nul)
                        .fetch_all(&mut **connection),
                )
                .await
            }
        };
        rows.map_err(Fault::reading)
    }

    pub(in crate::ledger) async fn optional<T: Readable>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<T>, Fault> {
        Ok(self.all(statement, values).await?.into_iter().next())
    }

    /// The one row that a statement always has.
    pub(in crate::ledger) async fn one<T: Readable>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<T, Fault> {
        let row = self.optional(statement, values).await?;
        row.ok_or_else(|| Fault::reading(sqlx::Error::RowNotFound))
    }
}

/// A server that is gone without a word is not waited for without end.
#[cfg(feature = "postgres")]
pub(in crate::ledger) async fn in_time<T>(
    span: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let done = tokio::time::timeout(span, work).await;
    done.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

/// Longer than one reservation that stands still holds the others up.
#[cfg(feature = "postgres")]
const ANSWER: Duration = Duration::from_secs(20);

/// A connection for reading, for as long as this is held.
pub(in crate::ledger) enum Session {
    Sqlite(PoolConnection<sqlx::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres {
        connection: PoolConnection<sqlx::Postgres>,
        _turn: Option<tokio::sync::OwnedSemaphorePermit>,
    },
}

impl Session {
    pub(in crate::ledger) fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection) => Connection::Sqlite(connection),
            #[cfg(feature = "postgres")]
            Self::Postgres { connection, .. } => Connection::Postgres(connection),
        }
    }
}

/// A transaction for writing. Dropped before its commit it changes nothing.
pub(in crate::ledger) enum Transaction {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl Transaction {
    pub(in crate::ledger) fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(transaction) => Connection::Sqlite(transaction),
            #[cfg(feature = "postgres")]
            Self::Postgres(transaction) => Connection::Postgres(transaction),
        }
    }

    pub(in crate::ledger) async fn commit(self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await.map_err(Fault::writing),
            #[cfg(feature = "postgres")]
            Self::Postgres(transaction) => {
                in_time(ANSWER, transaction.commit()).await.map_err(Fault::writing)
            }
        }
    }
}

/// Why a statement failed.
#[derive(Debug)]
pub(in crate::ledger) struct Fault {
    pub(in crate::ledger) error: LedgerError,
    /// It may pass: the server restarts, or has no connection free.
    pub(in crate::ledger) may_pass: bool,
}

impl Fault {
    pub(in crate::ledger) fn reading(error: sqlx::Error) -> Self {
        Self::of(LedgerAction::Read, &error)
    }

    pub(in crate::ledger) fn writing(error: sqlx::Error) -> Self {
        Self::of(LedgerAction::Write, &error)
    }

    fn of(action: LedgerAction, error: &sqlx::Error) -> Self {
        let may_pass = may_pass(error);
        Self { error: LedgerError::Failed { action, why: said(error) }, may_pass }
    }
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        Self { error, may_pass: false }
    }
}

/// An error's text with what caused it.
pub(in crate::ledger) fn said(error: &sqlx::Error) -> String {
    match error {
        // What a session has prepared is gone, or there already: it is another's.
        #[cfg(feature = "postgres")]
        sqlx::Error::Database(error)
            if error.code().is_some_and(|c| c == "26000" || c == "42P05") =>
        {
            POOLED.to_owned()
        }
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        other => other.to_string(),
    }
}

/// What is said of a pooler that hands a session's transactions to different servers: locks held for
/// life would be held by nobody in particular.
#[cfg(feature = "postgres")]
pub(in crate::ledger) const POOLED: &str =
    "its sessions must last, found a pooler that exchanges them: connect to the server itself";

#[cfg(not(feature = "postgres"))]
fn may_pass(_: &sqlx::Error) -> bool {
    false
}

/// Whether it is worth another try, of a database on another machine (PostgreSQL, appendix A). SQLite
/// has waited for its locks by itself.
#[cfg(feature = "postgres")]
pub(in crate::ledger) fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        // A certificate that does not hold will not hold later.
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
        sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => {
            let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() else {
                return false;
            };
            let code = error.code();
            // Connection exceptions, insufficient resources but a full disk, shutdown and start.
            code.starts_with("08")
                || (code.starts_with("53") && code != "53100")
                || ["57P01", "57P02", "57P03", "57P05", "25P03", "40001", "40P01", "25006", "55P03"]
                    .contains(&code)
        }
        _ => false,
    }
}
