//! The service's verdicts, page by page.

use sqlx::{ColumnIndex, Decode, FromRow, Type};

use super::driver::values;
use super::rows::Row;
use super::{SqlLedger, statements as sql};
use crate::detect::EMO_DETECT;
use crate::ledger::{KeptVerdict, LedgerError};

impl SqlLedger {
    /// The verdicts of attempts after this one, oldest first; none when there are no more.
    pub(in crate::ledger) async fn verdicts(
        &self,
        after: i64,
    ) -> Result<Vec<KeptVerdict>, LedgerError> {
        self.all(sql::READ_VERDICTS, values![after, PAGE]).await
    }
}

impl<'r, R: sqlx::Row> FromRow<'r, R> for KeptVerdict
where
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        let attempt = Row::from_row(row)?;
        Ok(Self {
            attempt: row.try_get("attempt")?,
            source: row.try_get("source")?,
            image_id: row.try_get("image_id")?,
            ratio: row.try_get::<String, _>("ratio")?.parse().unwrap_or_default(),
            model: row.try_get("model")?,
            verdict: row.try_get::<Option<_>, _>("verdict")?.unwrap_or_default(),
            record: attempt.recall(&EMO_DETECT),
        })
    }
}

/// An answer may have a mebibyte.
const PAGE: i64 = 64;
