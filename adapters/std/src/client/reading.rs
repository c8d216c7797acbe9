//! Reads a file from its beginning to its end: a large one in a thread of its own, so that what is done with its bytes takes place
//! while the next ones are read.

use std::fs::File;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use crate::local::FileHandle;

/// Bytes that are read at a time.
pub(super) const READ_LEN: usize = 256 * 1024;
/// A file of more bytes is read in a thread of its own.
const LARGE: u64 = 4 << 20;
/// The most pieces of a file that are read and not used.
const PIECES: usize = 4;

/// A piece of a file, in the first so many bytes of a buffer.
type Piece = io::Result<(Vec<u8>, usize)>;

/// Calls `each` with the bytes of `file`, which has `size` bytes, piece by piece. Stops where it turns out to have more. Returns how
/// many bytes were read.
///
/// # Errors
///
/// The file cannot be read.
pub(super) fn read_whole(file: &File, size: u64, buf: &mut [u8], mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    if size > LARGE
        && let Some(read) = read_ahead(file, size, &mut each)
    {
        return read;
    }
    let mut offset = 0;
    while offset <= size {
        let len = read_at(file, buf, offset)?;
        if len == 0 {
            break;
        }
        each(&buf[..len]);
        offset += len as u64;
    }
    Ok(offset)
}

/// The same with a thread that reads; `None` where there can be none, and nothing was read.
fn read_ahead(file: &File, size: u64, each: &mut impl FnMut(&[u8])) -> Option<io::Result<u64>> {
    thread::scope(|scope| {
        let (sender, pieces) = mpsc::sync_channel::<Piece>(PIECES);
        let (used, unused) = mpsc::channel();
        for _ in 0..PIECES {
            used.send(vec![0; READ_LEN]).ok()?;
        }
        let reader = thread::Builder::new().name("read".to_owned());
        reader.spawn_scoped(scope, move || send_pieces(file, size, &unused, &sender)).ok()?;
        Some(use_pieces(&pieces, &used, each))
    })
}

/// Reads into `unused` buffers until the file ends.
fn send_pieces(file: &File, size: u64, unused: &Receiver<Vec<u8>>, sender: &SyncSender<Piece>) {
    let mut offset = 0;
    while offset <= size
        && let Ok(mut buf) = unused.recv()
    {
        let read = read_at(file, &mut buf, offset);
        let len = *read.as_ref().unwrap_or(&0);
        offset += len as u64;
        if sender.send(read.map(|len| (buf, len))).is_err() || len == 0 {
            return;
        }
    }
}

fn use_pieces(pieces: &Receiver<Piece>, used: &Sender<Vec<u8>>, each: &mut impl FnMut(&[u8])) -> io::Result<u64> {
    let mut len_read = 0;
    for piece in pieces {
        let (buf, len) = piece?;
        each(&buf[..len]);
        len_read += len as u64;
        // The reader may have ended.
        drop(used.send(buf));
    }
    Ok(len_read)
}

/// Reads bytes at `offset` to `buf`. Returns how many; 0 at the end of the file.
///
/// # Errors
///
/// The file cannot be read.
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match FileHandle::read_at(file, buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::{LARGE, READ_LEN, read_whole};

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    fn bytes(len: u64) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn a_file_of_any_length_is_read_in_order() {
        for len in [0, 1, READ_LEN as u64, LARGE, LARGE + 1, 2 * LARGE] {
            let (expected, mut read) = (bytes(len), Vec::new());
            let outcome = read_whole(&file(&expected), len, &mut [0; 4096], |piece| read.extend_from_slice(piece));
            assert_eq!(outcome.expect("read"), len);
            assert!(read == expected, "{len} bytes");
        }
    }

    /// One that shrinks ends sooner, and one that grows for ever is not read for ever.
    #[test]
    fn a_file_of_another_length_than_expected_tells_it() {
        let len = 2 * LARGE;
        let file = file(&bytes(len));
        let read = |size| read_whole(&file, size, &mut [0; 4096], |_| {}).expect("read");
        assert_eq!(read(len + LARGE), len);
        for less in [LARGE - 1, LARGE + 1] {
            let read = read(less);
            assert!(read > less && read <= less + READ_LEN as u64, "{read} bytes of {less}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = File::options().write(true).create(true).truncate(true).open(directory.path().join("f"));
        let file = file.expect("a file");
        for size in [1, LARGE + 1] {
            assert!(read_whole(&file, size, &mut [0; 4096], |_| {}).is_err(), "it is open for writing only");
        }
    }
}
