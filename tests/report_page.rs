//! The report in a browser: headless Chromium through its driver. Where there is none the tests say that
//! they did not run.

#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "report_page/boxes.rs"]
mod boxes;
#[path = "report_page/browser.rs"]
mod browser;
#[path = "rig/turned.rs"]
mod turned;
#[path = "report_page/view.rs"]
mod view;
