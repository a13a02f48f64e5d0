//! Ledger on disk: what is known is given again, what may be billed is not repeated, and the quota
//! and the cap hold, over gates that share one file as processes do.

/// What the tests are about here; those of `ledger_postgres` are the same.
const ENGINE: scene::Engine = scene::Engine::Sqlite;

mod content;
mod file;
mod location;
mod once;
mod quota;
mod reuse;
mod scene;
mod texts;
mod trouble;
