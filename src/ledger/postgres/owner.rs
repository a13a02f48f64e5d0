//! The owner's session.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

/// The session that holds the owner's lock, or the next one where it died.
pub(super) struct OwnerSession {
    pub(super) pool: PgPool,
    /// What the names of its owners begin with, and nobody else's.
    prefix: String,
}

impl OwnerSession {
    pub(super) fn with(options: PgConnectOptions, free_within: Duration) -> Self {
        let prefix = format!("{:08x}", fastrand::u32(..));
        let begins = prefix.clone();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(free_within)
            // A broken one shows itself, and costs no round trip until then.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |session, _| Box::pin(become_owner(session, begins.clone())))
            .connect_lazy_with(options);
        Self { pool, prefix }
    }

    /// Whether the next transaction is in the same session: a pooler may hand it to another server, where
    /// locks held for life would be held by nobody in particular. Each reservation looks again.
    pub(super) async fn is_kept(&self) -> Result<bool, sqlx::Error> {
        let mut session = self.pool.acquire().await?;
        let read = sqlx::query_scalar(READ_OWNER_NAME);
        let name: Option<String> = read.fetch_one(&mut *session).await?;
        Ok(self.is_name_ours(name.as_deref()))
    }

    /// Whether an owner is one of this ledger's: it is not where a pooler exchanged the session.
    pub(super) fn is_name_ours(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| name.starts_with(&self.prefix))
    }
}

/// Makes a session an owner's: it holds the lock of a name of its own for life, and knows the name.
async fn become_owner(session: &mut PgConnection, prefix: String) -> Result<(), sqlx::Error> {
    loop {
        let name = format!("{prefix}{:08x}", fastrand::u32(..));
        let Some(key) = lock_of(&name) else { continue };
        let query = sqlx::query_as(BECOME_OWNER).bind(key).bind(name);
        let (taken, _): (bool, String) = query.fetch_one(&mut *session).await?;
        if taken {
            return Ok(());
        }
    }
}

/// The key of an owner's lock; its name is the key in hexadecimal.
pub(super) fn lock_of(owner: &str) -> Option<i64> {
    u64::from_str_radix(owner, 16).ok().map(u64::cast_signed)
}

const BECOME_OWNER: &str =
    "SELECT pg_try_advisory_lock($1), set_config('emo_preflight.owner', $2, false)";
const READ_OWNER_NAME: &str = "SELECT current_setting('emo_preflight.owner', true)";
