//! Bounds that all images of one screen share: bytes of files, bytes of decoders, cores.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::decode::{MOST_BYTES, MOST_MEMORY};

/// What the images of one screen may take together.
pub(super) struct Budget {
    /// Files that are being fetched or wait to be decoded, in KiB.
    files: Arc<Semaphore>,
    /// Images that are being looked at.
    cores: Arc<Semaphore>,
    decoding: Decoding,
}

impl Budget {
    pub(super) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self {
            files: Arc::new(Semaphore::new(FILES / KIB)),
            cores: Arc::new(Semaphore::new(cores)),
            decoding: Decoding::default(),
        }
    }

    /// Waits for room for a file of this length, or of any that is looked at.
    pub(super) async fn room_for(&self, length: Option<u64>) -> FileRoom {
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(MOST_BYTES);
        let kib = u32::try_from(length.min(MOST_BYTES).div_ceil(KIB)).unwrap_or(1);
        // The semaphores are never closed.
        FileRoom { _permit: Arc::clone(&self.files).acquire_many_owned(kib).await.ok() }
    }

    /// Waits for a core.
    pub(super) async fn core(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.cores).acquire_owned().await.ok()
    }

    /// Waits, on a thread that may block, for the memory that decoding takes.
    pub(super) fn memory(&self, bytes: u64) -> MemoryInUse<'_> {
        self.decoding.take(bytes.min(MOST_MEMORY))
    }
}

/// Room for a file, until this is dropped.
pub(crate) struct FileRoom {
    _permit: Option<OwnedSemaphorePermit>,
}

impl FileRoom {
    /// The file that it was meant for.
    pub(crate) fn hold(self, bytes: Vec<u8>) -> HeldFile {
        HeldFile { bytes, _room: self }
    }
}

/// A file, and the room it takes.
pub(crate) struct HeldFile {
    pub(super) bytes: Vec<u8>,
    _room: FileRoom,
}

/// Bytes that decoders take.
#[derive(Default)]
struct Decoding {
    /// Held by the one that waits for memory: who wants much would else never have its turn among those
    /// that want little.
    turn: Mutex<()>,
    in_use: Mutex<u64>,
    given_back: Condvar,
}

impl Decoding {
    fn take(&self, bytes: u64) -> MemoryInUse<'_> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |in_use: &mut u64| in_use.saturating_add(bytes) > MOST_MEMORY;
        let waited = self.given_back.wait_while(self.in_use(), fits);
        let mut in_use = waited.unwrap_or_else(PoisonError::into_inner);
        *in_use = in_use.saturating_add(bytes);
        MemoryInUse { decoding: self, bytes }
    }

    fn in_use(&self) -> MutexGuard<'_, u64> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory that a decoder takes, until this is dropped.
pub(super) struct MemoryInUse<'a> {
    decoding: &'a Decoding,
    bytes: u64,
}

impl Drop for MemoryInUse<'_> {
    fn drop(&mut self) {
        let mut in_use = self.decoding.in_use();
        *in_use = in_use.saturating_sub(self.bytes);
        drop(in_use);
        self.decoding.given_back.notify_all();
    }
}

/// Bytes of files. With [`MOST_MEMORY`] 512 MiB.
const FILES: usize = 128 * 1_024 * KIB;
const KIB: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn much_and_little_have_their_turn_within_the_bound() {
        let budget = Budget::new();
        let (in_use, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let take = |bytes: u64| {
            let _held = budget.memory(bytes);
            let now = in_use.fetch_add(bytes, Ordering::SeqCst) + bytes;
            assert!(now <= MOST_MEMORY, "{now}");
            thread::yield_now();
            in_use.fetch_sub(bytes, Ordering::SeqCst);
            done.fetch_add(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            for worker in 0..8 {
                scope.spawn(move || {
                    for round in 0..100 {
                        take(if (worker + round) % 7 == 0 { MOST_MEMORY } else { MOST_MEMORY / 5 });
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 800);
    }

    #[tokio::test]
    async fn files_wait_for_room() {
        let budget = Budget::new();
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(budget.room_for(None).await.hold(vec![0; 9]));
        }
        let small = budget.room_for(Some(1_024 * 1_024)).await;
        let mut seventh = Box::pin(budget.room_for(Some(u64::MAX)));
        assert!(futures_util::poll!(seventh.as_mut()).is_pending(), "8 MiB are left at most");
        held.pop();
        seventh.await;
        drop(small);
    }
}
