//! What `ledger` shows of an SQLite file, of PostgreSQL: the same tests.

const ENGINE: scene::Engine = scene::Engine::Postgres;

#[path = "../ledger/address.rs"]
mod address;
mod away;
#[path = "../ledger/content.rs"]
mod content;
#[path = "../ledger/cut.rs"]
mod cut;
#[path = "../ledger/quota.rs"]
mod quota;
#[path = "../ledger/reuse.rs"]
mod reuse;
#[path = "../ledger/scene.rs"]
mod scene;
#[path = "../ledger/texts.rs"]
mod texts;
#[path = "../ledger/trouble.rs"]
mod trouble;
