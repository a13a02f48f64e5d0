//! Headers of local files.

use std::fs::File;
use std::io;
#[cfg(feature = "faces")]
use std::io::Read as _;

use super::LocalRejection;
use crate::header::{self, Header, ReadError};
use crate::report::{Reason, ReasonCode};

/// Reads the header of the file at `path`.
pub(super) async fn header_of(path: String) -> Result<Header, LocalRejection> {
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    read.unwrap_or_else(|error| Err(unreadable(&error.to_string())))
}

/// Reads the file at `path`, which must have at most `most` bytes.
#[cfg(feature = "faces")]
pub(super) async fn whole(path: String, most: usize) -> Result<Vec<u8>, LocalRejection> {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        match read.map_err(|error| unreadable(&error.to_string()))? {
            length if length > most => Err(unreadable("it is too long")),
            _ => Ok(bytes),
        }
    });
    read.await.unwrap_or_else(|error| Err(unreadable(&error.to_string())))
}

fn read(path: &str) -> Result<Header, LocalRejection> {
    let refuse = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => LocalRejection::rejected(Reason::new(
            ReasonCode::NotFound,
            format!("source must be an http or https URL or an existing file: {e}"),
        )),
        _ => unreadable(&e.to_string()),
    };
    // Asked before it is opened: opening a named pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(refuse)?;
    if !metadata.is_file() {
        return Err(unreadable("it is no regular file"));
    }
    let file = File::open(path).map_err(refuse)?;
    header::from_file(file, metadata.len()).map_err(|error| match error {
        ReadError::Header(error) => LocalRejection::of_header(&error),
        ReadError::Io(error) => unreadable(&error.to_string()),
    })
}

fn unreadable(why: &str) -> LocalRejection {
    LocalRejection::undetermined(Reason::new(
        ReasonCode::UnreadableFile,
        format!("source must be a readable file: {why}"),
    ))
}
