//! Clients that write to a board's flash.

mod net;
#[path = "../../flash/tests/nor/mod.rs"]
mod nor;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use coracle_core::exec::ReadWrite;
use coracle_core::{
    ActionWords, Digest, DigestKind, FileName, RequestKind, ServerConfig, StaticFile, StaticStore, Store, StoreError,
};
use coracle_flash::{FlashStore, ImageSlots, SharedFlash, Slot, SlotLayout, SmallFiles, UploadTarget};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use net::{Link, World, content, digest_of};
use nor::{Nor, Torn};
use smoltcp::iface::SocketHandle;
use smoltcp::time::Duration;

type Chip = Nor<4, 1, 1_024>;
type Flash = SharedFlash<'static, Slow>;
type Files = FlashStore<StaticStore<'static>, Flash, Flash, ()>;
type Board = World<Files, 2, ReadWrite, 640>;

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("welcome.txt", "v1", b"hello")];
const SECTORS: u32 = 64;

/// A flash that takes time to erase.
struct Slow {
    chip: Chip,
    /// How long it takes for a sector, in milliseconds.
    erase_ms: u64,
    /// How long it has taken.
    took_ms: Rc<Cell<u64>>,
}

impl ErrorType for Slow {
    type Error = <Chip as ErrorType>::Error;
}

impl ReadNorFlash for Slow {
    const READ_SIZE: usize = Chip::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.chip.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.chip.capacity()
    }
}

impl NorFlash for Slow {
    const WRITE_SIZE: usize = Chip::WRITE_SIZE;
    const ERASE_SIZE: usize = Chip::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        let sectors = u64::from(to - from) / Self::ERASE_SIZE as u64;
        self.took_ms.set(self.took_ms.get() + sectors * self.erase_ms);
        self.chip.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.chip.write(offset, bytes)
    }
}

/// A board with a confirmed image of 100 bytes in A.
fn board(link: Link) -> Board {
    board_with(link, 0, Rc::default())
}

/// The same with a flash that takes `erase_ms` for a sector.
fn board_with(link: Link, erase_ms: u64, took_ms: Rc<Cell<u64>>) -> Board {
    let chip = Nor::new(SECTORS as usize, Torn::Stable, 1);
    let chip = &*Box::leak(Box::new(RefCell::new(Slow { chip, erase_ms, took_ms })));
    let flash = SharedFlash::new(chip);
    let files_start = (SECTORS - 2) * 1_024;
    let layout = SlotLayout::new::<Flash>(0..files_start).expect("it fits");
    let mut slots = ImageSlots::new(flash, layout);
    let image = content(100);
    slots.begin(None, &UploadTarget::new(100, sha256(&image))).expect("begun");
    assert_eq!(slots.write(&image), Ok(100));
    slots.commit(&sha256(&image)).expect("committed");
    slots.confirm(Slot::A).expect("confirmed");
    let small = SmallFiles::open(flash, files_start..SECTORS * 1_024).expect("it fits");
    let store = FlashStore::new(StaticStore::new(&FILES), slots, Slot::A, small, ());
    let config = ServerConfig::new()
        .with_actions(ActionWords::new("confirm calibrate").expect("words"))
        .with_offered(RequestKind::Put)
        .with_offered(RequestKind::Delete)
        .with_offered(RequestKind::Space);
    assert!(config.min_buf_len() <= 640);
    World::with_access(store, link, config)
}

fn sha256(bytes: &[u8]) -> Digest {
    digest_of(DigestKind::Sha256, bytes)
}

fn request(name: &str, contents: &[u8]) -> String {
    let (size, digest) = (contents.len(), sha256(contents));
    format!(
        "{{\"type\":\"put\",\"fileName\":\"{name}\",\"fileSize\":{size},\"sha256\":\"{digest}\",\"version\":\"*\"}}\n"
    )
}

/// Sends a request, and returns the line that answers it.
fn ask(board: &mut Board, client: SocketHandle, request: &str) -> String {
    board.send(client, request.as_bytes());
    line(board, client)
}

/// The next line, without the spaces of a server that is busy.
fn line(board: &mut Board, client: SocketHandle) -> String {
    let mut line = Vec::new();
    board.run_until(60_000, |board| {
        let socket = board.client(client);
        while socket.can_recv() && !line.ends_with(b"\n") {
            let read = socket.recv(|bytes| {
                let len = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 1);
                line.extend_from_slice(&bytes[..len]);
                (len, ())
            });
            read.expect("it can be read");
        }
        line.ends_with(b"\n")
    });
    String::from_utf8(line).expect("a line").trim_start_matches(' ').to_owned()
}

fn offset(ready: &str) -> usize {
    let digits = ready.split("\"offset\":").nth(1).unwrap_or_else(|| panic!("{ready}"));
    digits.split(',').next().and_then(|digits| digits.parse().ok()).expect("a number")
}

fn send_body(board: &mut Board, client: SocketHandle, body: &[u8]) {
    let mut rest = body;
    let is_sent = board.run_until(60_000, |board| {
        let socket = board.client(client);
        if socket.can_send() {
            rest = &rest[socket.send_slice(rest).expect("it can send")..];
        }
        rest.is_empty()
    });
    assert!(is_sent, "the server takes the body");
}

fn put(board: &mut Board, name: &str, contents: &[u8]) -> String {
    let client = board.connect_and_send(b"");
    let mut answer = ask(board, client, &request(name, contents));
    if answer.contains("\"ready\"") {
        send_body(board, client, &contents[offset(&answer)..]);
        answer = line(board, client);
    }
    board.client(client).close();
    board.run_ms(100);
    answer
}

fn stored(board: &mut Board, name: &'static str) -> Result<Vec<u8>, StoreError> {
    let mut file = board.store.open(FileName::from_static(name))?;
    let mut contents = vec![0; board.store.info(&file)?.size as usize];
    assert_eq!(board.store.read(&mut file, 0, &mut contents), Ok(contents.len()));
    Ok(contents)
}

#[test]
fn files_and_images_are_put() {
    let mut board = board(Link::default());
    let image = content(20_000);
    for (name, contents) in [("config.json", &b"{}"[..]), ("empty", b""), ("image", &image)] {
        let end = put(&mut board, name, contents);
        assert!(end.starts_with("{\"type\":\"end\""), "{end}");
        assert!(end.contains(&format!("\"fileName\":\"{name}\"")), "{end}");
    }
    assert_eq!(stored(&mut board, "config.json"), Ok(b"{}".to_vec()));
    assert_eq!(stored(&mut board, "empty"), Ok(vec![]));
    assert_eq!(stored(&mut board, "image"), Ok(image.clone()));
    assert_eq!(board.get("image", DigestKind::Sha256), image);
    assert_eq!(board.seen.body_len, 2 + 20_000 + 20_000, "two bodies up, and one down");
    // What is there ends at once.
    assert!(put(&mut board, "image", &image).starts_with("{\"type\":\"end\""));
    assert!(put(&mut board, "image", &content(100)).starts_with("{\"type\":\"end\""), "it runs");
    assert!(put(&mut board, "welcome.txt", b"x").contains("\"denied\""));
}

#[test]
fn a_body_comes_through_bad_links_and_small_buffers() {
    for (drop_percent, mtu, server_receive) in [(0, 68, 1), (0, 1_500, 64), (15, 1_500, 512), (15, 600, 2_048)] {
        let mut board = board(Link { drop_percent, mtu, server_receive, ..Link::default() });
        let image = content(2_000);
        let end = put(&mut board, "image", &image);
        assert!(end.starts_with("{\"type\":\"end\""), "{drop_percent} % {mtu} {server_receive}: {end}");
        assert_eq!(stored(&mut board, "image"), Ok(image));
    }
}

#[test]
fn an_upload_goes_on_after_a_reset() {
    let mut board = board(Link::default());
    let image = content(20_000);
    let client = board.connect_and_send(b"");
    let ready = ask(&mut board, client, &request("image", &image));
    assert_eq!(offset(&ready), 0);
    send_body(&mut board, client, &image[..9_000]);
    board.run_ms(100);
    board.client(client).abort();
    board.run_ms(100);
    assert_eq!(stored(&mut board, "image"), Err(StoreError::NotFound));
    let client = board.connect_and_send(b"");
    let ready = ask(&mut board, client, &request("image", &image));
    assert_eq!(offset(&ready), 9_000);
    send_body(&mut board, client, &image[9_000..]);
    assert!(line(&mut board, client).starts_with("{\"type\":\"end\""));
    assert_eq!(stored(&mut board, "image"), Ok(image));
    // The next request may follow.
    let deleted = ask(&mut board, client, "{\"type\":\"delete\",\"fileName\":\"image\"}");
    assert_eq!(deleted, "{\"type\":\"end\"}\n");
    assert_eq!(stored(&mut board, "image"), Err(StoreError::NotFound));
}

#[test]
fn what_is_damaged_on_its_way_is_refused() {
    let mut board = board(Link::default());
    let contents = content(300);
    let client = board.connect_and_send(b"");
    let ready = ask(&mut board, client, &request("a", &contents));
    assert_eq!(offset(&ready), 0);
    send_body(&mut board, client, &content(301)[1..]);
    assert!(line(&mut board, client).contains("\"corrupt\""));
    assert_eq!(stored(&mut board, "a"), Err(StoreError::NotFound));
}

#[test]
fn a_client_that_vanished_is_displaced_by_the_same_file() {
    let mut board = board(Link::default());
    let image = content(20_000);
    let first = board.connect_and_send(b"");
    assert_eq!(offset(&ask(&mut board, first, &request("image", &image))), 0);
    send_body(&mut board, first, &image[..5_000]);
    board.run_ms(100);
    let second = board.connect_and_send(b"");
    let ready = ask(&mut board, second, &request("image", &image));
    assert_eq!(offset(&ready), 5_000, "after two seconds of silence");
    send_body(&mut board, second, &image[5_000..]);
    assert!(line(&mut board, second).starts_with("{\"type\":\"end\""));
}

/// Erasing takes 40 s in all: the client hears a heartbeat every 10 s, and other clients are served meanwhile.
#[test]
fn o7_a_slow_flash_keeps_its_clients() {
    const ERASE_MS: u64 = 2_000;
    let took_ms = Rc::<Cell<u64>>::default();
    let mut board = board_with(Link::default(), ERASE_MS, took_ms.clone());
    let image = content(20_000);
    let client = board.connect_and_send(b"");
    let other = board.connect_and_send(b"");
    assert_eq!(offset(&ask(&mut board, client, &request("image", &image))), 0);
    took_ms.set(0);
    let (mut rest, mut heard, mut answers) = (&image[..], Vec::new(), 0);
    let (mut heard_at, mut longest) = (board.now, Duration::ZERO);
    while !heard.ends_with(b"\n") {
        board.step();
        // The time that the board was busy for.
        board.now += Duration::from_millis(took_ms.take());
        let socket = board.client(client);
        rest = &rest[socket.send_slice(rest).expect("it can send")..];
        let before = heard.len();
        let read = socket.recv(|bytes| {
            heard.extend_from_slice(bytes);
            (bytes.len(), ())
        });
        read.expect("it can be read");
        if heard.len() > before {
            longest = longest.max(board.now - heard_at);
            heard_at = board.now;
        }
        let socket = board.client(other);
        if answers == 0 || socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), ())).expect("it can be read");
            socket.send_slice(b"{\"type\":\"stat\",\"fileName\":\"welcome.txt\"}").expect("it can send");
            answers += 1;
        }
        assert!(longest < Duration::from_secs(13), "the client heard nothing for {longest}");
    }
    let heard = String::from_utf8(heard).expect("text");
    let end = heard.trim_start_matches(' ');
    assert!(end.starts_with("{\"type\":\"end\""), "{end}");
    assert!(heard.len() - end.len() >= 3, "heartbeats in 40 s: {}", heard.len() - end.len());
    assert!(answers > 20, "the other client had {answers} answers");
    assert_eq!(stored(&mut board, "image"), Ok(image));
}

#[test]
fn actions_are_done_by_the_owner() {
    let mut board = board(Link::default());
    let client = board.connect_and_send(b"");
    let hello = ask(&mut board, client, "{\"type\":\"hello\"}");
    assert!(hello.contains("\"actions\"") && hello.contains("\"put\""), "{hello}");
    assert_eq!(ask(&mut board, client, "{\"type\":\"do\",\"action\":\"confirm\"}"), "{\"type\":\"end\"}\n");
    assert!(ask(&mut board, client, "{\"type\":\"do\",\"action\":\"calibrate\"}").contains("\"io\""));
    assert!(ask(&mut board, client, "{\"type\":\"do\",\"action\":\"explode\"}").contains("\"notFound\""));
    assert_eq!(board.seen.performed, ["confirm", "calibrate"]);
    let space = ask(&mut board, client, "{\"type\":\"space\"}");
    assert!(space.contains("\"maxFile\""), "{space}");
}
