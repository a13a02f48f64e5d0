//! What people see and answer: colours, progress, tables, words, questions.

pub(super) mod ask;
pub(super) mod colour;
pub(super) mod next_steps;
pub(super) mod progress;
pub(super) mod screen;
pub(super) mod summary;
pub(super) mod table;
pub(super) mod text;
