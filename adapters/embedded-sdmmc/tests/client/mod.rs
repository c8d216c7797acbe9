//! What a server does for a client that writes.
#![allow(dead_code, reason = "each test uses a part")]

use coracle_core::{
    Begun, Committed, Digest, DigestKind, FileInfo, FileName, Hasher, Instant, Put, PutAttempt, Replace, WritableStore,
    WriteError,
};

const NOW: Instant = Instant::from_millis(0);

pub fn name(name: &str) -> FileName<'_> {
    FileName::new(name).expect("a name")
}

pub fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("CRC-32");
    hasher.update(bytes);
    hasher.finish()
}

/// Puts a file as a server does: written in pieces, read back, committed.
pub fn put<S: WritableStore>(store: &mut S, path: &str, bytes: &[u8]) -> Result<FileInfo, WriteError> {
    let put =
        Put::new(name(path), bytes.len() as u64, digest(bytes)).with_replace(Replace::Anything).with_parents(true);
    send(store, &put, bytes)
}

pub fn send<S: WritableStore>(store: &mut S, put: &Put<'_>, bytes: &[u8]) -> Result<FileInfo, WriteError> {
    let (mut upload, have) = begin(store, put)?;
    let result = send_rest(store, &mut upload, put, bytes, have as usize);
    if result.is_err() {
        store.keep(upload);
    }
    result
}

pub fn begin<S: WritableStore>(store: &mut S, put: &Put<'_>) -> Result<(S::Upload, u64), WriteError> {
    for _ in 0..10_000 {
        match store.begin(put, PutAttempt::new(NOW, false), NOW)? {
            Begun::Upload { upload, have } => return Ok((upload, have)),
            Begun::Wait => {}
            _ => panic!("an upload was asked for"),
        }
    }
    panic!("an upload that waits for ever");
}

pub fn send_rest<S: WritableStore>(
    store: &mut S,
    upload: &mut S::Upload,
    put: &Put<'_>,
    bytes: &[u8],
    mut done: usize,
) -> Result<FileInfo, WriteError> {
    let mut pieces = [1, 700, 512, 3_000, 11].into_iter().cycle();
    while done < bytes.len() {
        let end = bytes.len().min(done + pieces.next().expect("a cycle"));
        done += store.write(upload, done as u64, &bytes[done..end], NOW)?;
    }
    let mut read = 0;
    while read < bytes.len() {
        let mut buf = [0; 1_000];
        let len = store.read_back(upload, read as u64, &mut buf, NOW)?;
        assert!(len > 0 && buf[..len] == bytes[read..read + len], "other bytes were read back at {read}");
        read += len;
    }
    for _ in 0..10_000 {
        if let Committed::Done(info) = store.commit(upload, put, NOW)? {
            return Ok(info);
        }
    }
    panic!("a commit without end");
}
