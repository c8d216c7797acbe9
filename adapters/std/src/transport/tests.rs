use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use coracle_core::StaticStore;
use coracle_core::blocking::{SendFile, SendFileError, Transport};
use embedded_io::{Error as _, ErrorKind, Read as _};
use socket2::Socket;

use super::{KernelFile, MAX_SENDFILE, MIN_LARGE, TcpTransport, needs_change, next_sendfile_len};

struct Disk(std::fs::File);

impl KernelFile for Disk {
    fn kernel_file(&self) -> Option<&std::fs::File> {
        Some(&self.0)
    }
}

/// Only its type of file counts.
struct DiskStore;

impl coracle_core::Store for DiskStore {
    type File = Disk;
    type Listing = ();

    fn open(&mut self, _: coracle_core::FileName<'_>) -> Result<Disk, coracle_core::StoreError> {
        Err(coracle_core::StoreError::NotFound)
    }
    fn info(&mut self, _: &Disk) -> Result<coracle_core::FileInfo, coracle_core::StoreError> {
        Err(coracle_core::StoreError::Io)
    }
    fn read(&mut self, _: &mut Disk, _: u64, _: &mut [u8]) -> Result<usize, coracle_core::StoreError> {
        Err(coracle_core::StoreError::Io)
    }
    fn list(&mut self, _: Option<coracle_core::FileName<'_>>) -> Result<(), coracle_core::StoreError> {
        Err(coracle_core::StoreError::NotFound)
    }
    fn next<'a>(&mut self, _: &'a mut ()) -> Result<coracle_core::Listed<'a>, coracle_core::StoreError> {
        Err(coracle_core::StoreError::Io)
    }
}

fn connection() -> (TcpTransport<Socket>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let peer = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
    let (socket, _) = listener.accept().expect("accepted");
    (TcpTransport::new(socket.into()), peer)
}

#[test]
fn k5_an_expired_wait_is_timed_out() {
    let (mut transport, _peer) = connection();
    transport.limit_wait(Some(40)).expect("a limit");
    let started = Instant::now();
    let error = transport.read(&mut [0; 8]).expect_err("nothing was sent");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(started.elapsed() >= Duration::from_millis(35), "{:?}", started.elapsed());
    assert!(transport.last_error().is_none());

    let block = vec![0; 1 << 20];
    let error = loop {
        match transport.write_part(&block, true) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn the_end_of_input_is_no_error_and_a_reset_is() {
    let (mut transport, peer) = connection();
    drop(peer);
    assert_eq!(transport.read(&mut [0; 8]), Ok(0));

    let (mut transport, peer) = connection();
    Socket::from(peer).set_linger(Some(Duration::ZERO)).expect("an option");
    let error = transport.read(&mut [0; 8]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(transport.last_error().is_some());
}

#[test]
fn sends_files_from_any_offset_and_tells_file_errors_from_transport_errors() {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"0123456789").expect("written");
    let mut file = Disk(file);
    let (mut transport, mut peer) = connection();
    if !cfg!(all(target_os = "linux", feature = "kernel-send")) {
        // It is the driver's to read the file.
        assert_eq!(transport.send_file(&mut DiskStore, &mut file, 4, 3, false), None);
        return;
    }
    assert_eq!(transport.send_file(&mut DiskStore, &mut file, 4, 3, false), Some(Ok(3)));
    assert_eq!(transport.send_file(&mut DiskStore, &mut file, 9, 64, false), Some(Ok(1)));
    assert_eq!(transport.send_file(&mut DiskStore, &mut file, 10, 64, false), Some(Ok(0)));
    let mut directory = Disk(std::fs::File::open("/").expect("the root"));
    let refused = transport.send_file(&mut DiskStore, &mut directory, 0, 1, false);
    assert!(matches!(refused, None | Some(Err(SendFileError::File))), "{refused:?}");
    drop(transport);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).expect("read");
    assert_eq!(got, b"4569");

    let mut slice = &coracle_core::StaticFile::new("a", "1", b"a");
    let (mut transport, _peer) = connection();
    assert_eq!(transport.send_file(&mut StaticStore::new(&[]), &mut slice, 0, 1, false), None);
}

/// The end of a large body, and what is written after it, leave at once.
#[test]
#[cfg(all(target_os = "linux", feature = "kernel-send"))]
fn large_bodies_leave_in_whole_segments() {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&vec![7; MIN_LARGE + 1]).expect("written");
    let mut file = Disk(file);
    for (len, more, corked) in [(MIN_LARGE - 1, true, false), (MIN_LARGE, true, true), (MIN_LARGE, false, false)] {
        let (mut transport, mut peer) = connection();
        let is_corked = |transport: &TcpTransport<Socket>| transport.socket().tcp_cork().expect("an option");
        let reader = std::thread::spawn(move || {
            peer.set_nodelay(true).expect("an option");
            peer.read_exact(&mut vec![0; len]).expect("all of it");
            peer
        });
        let mut rest = len;
        while rest > 0 {
            let sent = transport.send_file(&mut DiskStore, &mut file, (len - rest) as u64, rest, more);
            rest -= sent.expect("possible").expect("sent");
            assert!(rest > 0 || is_corked(&transport) == corked);
        }
        let end = b"the end";
        if corked {
            assert_eq!(transport.write_part(&end[..3], true), Ok(3));
            assert!(is_corked(&transport));
            assert_eq!(transport.write_part(&end[3..], false), Ok(4));
            assert!(!is_corked(&transport));
        }
        let mut peer = reader.join().expect("no panic");
        if corked {
            let mut got = [0; 7];
            peer.read_exact(&mut got).expect("the rest");
            assert_eq!(&got, end);
        }
        // A driver that reads has nothing more to send, even after a body that it left open.
        transport.cork(true);
        drop(peer);
        assert_eq!(transport.read(&mut [0; 8]), Ok(0));
        assert!(!is_corked(&transport));
    }
}

#[test]
fn slow_peers_are_sent_less_at_a_time() {
    let millis = Duration::from_millis;
    assert_eq!(next_sendfile_len(MIN_LARGE, millis(50)), 2 * MIN_LARGE);
    assert_eq!(next_sendfile_len(MAX_SENDFILE, millis(0)), MAX_SENDFILE);
    assert_eq!(next_sendfile_len(MAX_SENDFILE, millis(51)), MAX_SENDFILE);
    assert_eq!(next_sendfile_len(MAX_SENDFILE, millis(251)), MAX_SENDFILE / 2);
    assert_eq!(next_sendfile_len(MIN_LARGE, millis(100_000)), MIN_LARGE);
}

#[test]
fn a_time_out_that_is_near_enough_stays() {
    assert!(!needs_change(Some(60_000), Some(59_999)));
    assert!(!needs_change(Some(55_000), Some(60_000)));
    assert!(needs_change(Some(60_000), Some(10_000)));
    assert!(needs_change(Some(10_000), Some(60_000)));
    assert!(needs_change(Some(2), Some(1)));
    assert!(needs_change(None, Some(1)) && needs_change(Some(1), None) && !needs_change(None, None));
}
