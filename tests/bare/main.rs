//! What the library does without any feature: headers, limits, boxes, reports.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bbox;
mod corpus;
mod emo;
mod header;
mod header_chain;
mod header_proptest;
mod limits;
mod report;
mod surface;
