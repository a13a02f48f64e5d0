//! The report in a browser: headless Chromium through its driver. Where there is none the tests say that
//! they did not run.

mod boxes;
mod browser;
mod view;
