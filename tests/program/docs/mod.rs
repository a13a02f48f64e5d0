//! The documents hold: the results' schema describes real results, and commands do what is said.

mod commands;
mod schema;
