//! The gate against the emulator, over real sockets: what each answer leads to, and what is paid.

mod endings;
mod fates;
mod questions;
mod scene;
mod service;
mod settings;
