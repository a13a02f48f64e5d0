//! The face screen: from bytes in memory, and on its way before the paid call.
//!
//! The faces are the emulator's drawings. `EMO_PREFLIGHT_FACES` names a folder of labelled images to
//! look at too; without it that test says that it did not run.

mod bounds;
mod draw;
mod fetch;
mod gate;
mod inspect;
mod labelled;
