//! The service's verdicts, page by page.

use super::driver::values;
use super::rows::recall;
use super::{SqlLedger, statements as sql};
use crate::detect::{Answer, EMO_DETECT};
use crate::ledger::{KeptVerdict, LedgerError};

/// As `READ_VERDICTS` names them.
type Columns = (
    i64,
    String,
    Option<String>,
    String,
    String,
    Option<String>,
    Option<i64>,
    Option<String>,
    i64,
    Option<String>,
    Option<Vec<u8>>,
);

impl SqlLedger {
    /// The verdicts of attempts after this one, oldest first; none when there are no more.
    pub(in crate::ledger) async fn verdicts(
        &self,
        after: i64,
    ) -> Result<Vec<KeptVerdict>, LedgerError> {
        let rows: Vec<Columns> = self.all(sql::READ_VERDICTS, values![after, PAGE]).await?;
        Ok(rows.into_iter().map(kept).collect())
    }
}

fn kept(columns: Columns) -> KeptVerdict {
    let (
        attempt,
        source,
        image_id,
        ratio,
        model,
        verdict,
        status,
        request_id,
        images,
        certainty,
        answer,
    ) = columns;
    let answer = answer.and_then(|raw| Some((Answer::parse(&raw, &EMO_DETECT)?, raw)));
    KeptVerdict {
        attempt,
        source,
        image_id,
        ratio: ratio.parse().unwrap_or_default(),
        model,
        verdict: verdict.unwrap_or_default(),
        record: recall(status, request_id, images, certainty.as_deref(), answer),
    }
}

/// An answer may have a mebibyte.
const PAGE: i64 = 64;
