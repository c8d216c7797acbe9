//! Hashes a large upload in a thread of its own while it is received.
//!
//! The thread reads what was written to the file, from the page cache as a rule, so that nothing is copied for it and a second
//! processor shares the work of an upload.

use std::fs::File;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use coracle_core::{Digest, DigestKind, Hasher};

use crate::local::FileHandle;

/// Bytes that are read at a time.
const READ_LEN: usize = 256 * 1024;
/// The thread is woken for so many bytes, so that small arrivals cost no switch of threads each.
const WAKE_LEN: u64 = 1 << 20;
/// The most that is written and not hashed, so that the end of an upload is not far behind its last byte.
const MAX_BEHIND: u64 = 32 << 20;

/// A thread that hashes a file while it is written. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Hashing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<Digest>>>,
}

#[derive(Debug)]
struct Shared {
    size: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The end of what was written.
    written: u64,
    /// The end of what was hashed.
    hashed: u64,
    /// Nothing more is written, or nothing more is hashed.
    is_over: bool,
}

impl Hashing {
    /// Begins to hash `file`, which will have `size` bytes.
    ///
    /// # Errors
    ///
    /// There can be no thread.
    pub fn begin(file: &Arc<File>, size: u64, kind: DigestKind) -> io::Result<Self> {
        let hasher = Hasher::new(kind).ok_or(io::ErrorKind::Unsupported)?;
        let shared = Arc::new(Shared { size, state: Mutex::default(), changed: Condvar::new() });
        let (file, of_thread) = (Arc::clone(file), Arc::clone(&shared));
        let thread = Builder::new().name("hash".to_owned()).spawn(move || {
            let _over = Over(&of_thread);
            of_thread.hash(&file, hasher)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Says that all up to `end` is written. Waits where too much of it is not hashed.
    pub fn wrote(&self, end: u64) {
        let mut state = self.shared.lock();
        state.written = end;
        if self.shared.is_worth_waking(&state) {
            self.shared.changed.notify_one();
        }
        while end.saturating_sub(state.hashed) > MAX_BEHIND && !state.is_over {
            state = self.shared.wait(state);
        }
    }

    /// Digest of the whole file, all of which is written.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or not all of it is written.
    pub fn finish(mut self) -> io::Result<Digest> {
        if self.shared.lock().written != self.shared.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let thread = self.thread.take();
        let ended = thread.map(JoinHandle::join).and_then(Result::ok);
        ended.unwrap_or_else(|| Err(io::Error::other("the thread that hashes has panicked")))
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            // The digest is not needed.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Hashes `file` as far as it is written, until all of it is.
    fn hash(&self, file: &File, mut hasher: Hasher) -> io::Result<Digest> {
        let mut buf = vec![0; READ_LEN];
        let mut offset = 0;
        while offset < self.size {
            let end = self.next_end(offset)?;
            while offset < end {
                let room = usize::try_from(end - offset).unwrap_or(usize::MAX).min(READ_LEN);
                let len = match FileHandle::read_at(file, &mut buf[..room], offset) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read?,
                };
                hasher.update(&buf[..len]);
                offset += len as u64;
            }
        }
        Ok(hasher.finish())
    }

    /// Waits until enough behind `offset` is written to be worth hashing. Returns where the next piece of it ends.
    fn next_end(&self, offset: u64) -> io::Result<u64> {
        let mut state = self.lock();
        let was_behind = state.written.saturating_sub(mem::replace(&mut state.hashed, offset)) > MAX_BEHIND;
        if was_behind {
            self.changed.notify_one();
        }
        loop {
            if state.is_over {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.is_worth_waking(&state) {
                return Ok(state.written.min(offset + WAKE_LEN));
            }
            state = self.wait(state);
        }
    }

    fn is_worth_waking(&self, state: &State) -> bool {
        state.written == self.size || state.written.saturating_sub(state.hashed) >= WAKE_LEN
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of it is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the waits for a thread that has ended.
struct Over<'s>(&'s Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use coracle_core::{Digest, DigestKind, Hasher};

    use super::{Hashing, MAX_BEHIND, WAKE_LEN};
    use crate::local::FileHandle;

    const KIND: DigestKind = DigestKind::Sha256;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().expect("a file"))
    }

    fn digest(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(KIND).expect("built in");
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn what_is_written_in_pieces_is_hashed_whole() {
        let bytes: Vec<u8> = (0..WAKE_LEN * 3 + 5).map(|at| (at % 251) as u8).collect();
        let file = file();
        let hashing = Hashing::begin(&file, bytes.len() as u64, KIND).expect("begun");
        let mut end = 0;
        for piece in bytes.chunks(100_000) {
            FileHandle::write_at(&*file, piece, end).expect("written");
            end += piece.len() as u64;
            hashing.wrote(end);
        }
        assert_eq!(hashing.finish().expect("hashed"), digest(&bytes));
    }

    #[test]
    fn what_is_far_ahead_waits_and_is_hashed() {
        let size = 2 * MAX_BEHIND + 1;
        let file = file();
        file.set_len(size).expect("zeros");
        let hashing = Hashing::begin(&file, size, KIND).expect("begun");
        hashing.wrote(size - 1);
        assert!(size - 1 - hashing.shared.lock().hashed <= MAX_BEHIND);
        hashing.wrote(size);
        assert_eq!(hashing.finish().expect("hashed"), digest(&vec![0; usize::try_from(size).expect("short")]));
    }

    #[test]
    fn what_cannot_be_read_or_is_not_complete_has_no_digest() {
        let file = file();
        let hashing = Hashing::begin(&file, MAX_BEHIND + WAKE_LEN, KIND).expect("begun");
        // Nothing is there. The thread has ended, and no other one waits for it.
        hashing.wrote(MAX_BEHIND + 1);
        hashing.wrote(MAX_BEHIND + WAKE_LEN);
        assert!(hashing.finish().is_err());
        let hashing = Hashing::begin(&file, 1, KIND).expect("begun");
        assert!(hashing.finish().is_err());
    }
}
