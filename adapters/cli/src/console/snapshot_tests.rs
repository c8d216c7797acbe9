//! Compares the drawn screens with the files in `snapshots/`. `CORACLE_BLESS=1 cargo test` writes them: review them before
//! they are committed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent};
use ratatui::style::{Color, Modifier};

use super::format::display_width;
use super::model::{ConsoleModel, Mode};
use super::server_state::{ServerState, Stage};
use super::view::{ServerInfo, draw};
use crate::listen_address::ListenAddress;

struct Scene {
    model: ConsoleModel,
    state: ServerState,
    now: Instant,
    max_clients_per_address: Option<usize>,
}

impl Scene {
    /// A server that listens and has no clients.
    fn new() -> Self {
        let listen = ListenAddress { host: "127.0.0.1".to_owned(), port: "8888".to_owned() };
        let now = Instant::now();
        let mut state = ServerState::new(now);
        state.listening.push(address("127.0.0.1:8888"));
        Self {
            model: ConsoleModel::new(PathBuf::from("/srv/images"), listen, false),
            state,
            now,
            max_clients_per_address: None,
        }
    }

    /// Three clients, one of which is far away.
    fn busy() -> Self {
        let mut scene = Self::new();
        let clients = [
            ("127.0.0.1:54774", "get", "firmware-2.4.0-with-a-long-name.bin", 1000 << 20),
            ("192.168.100.200:54784", "get", "日志/收到客户端信息.txt", 3 << 20),
            ("[2001:db8:1234:5678:9abc:def0:1234:5678]:65535", "get", "a\u{202e}b", 1 << 40),
        ];
        for (id, (peer, kind, name, file_size)) in (1..).zip(clients) {
            scene.state.connected(id, address(peer), &format!("client-{id}"));
            scene.state.requested(id, kind, name);
            scene.state.opened(id, file_size);
        }
        scene.state.connected(4, address("127.0.0.1:1"), "client-4");
        scene.state.connected(5, address("127.0.0.1:2"), "client-5");
        scene.state.requested(5, "list", "");
        scene.state.finished(5, "list", "", true);
        for second in 0..70 {
            let share = (second % 7 + 1) << 20;
            scene.state.sent(1, share);
            scene.state.sent(3, 12_345);
            scene.passes(1);
        }
        scene.state.sent(2, 3 << 20);
        scene.passes(1);
        for line in ["127.0.0.1:2 client-5 list / 0 B 0.4 ms ok", "trouble accepting a client Too many open files"] {
            scene.state.push_log_line(&format!("2026-01-31T12:34:56.789Z {line}"));
        }
        scene
    }

    fn passes(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.state.tick(self.now);
    }

    fn press(&mut self, keys: &[KeyCode]) {
        for key in keys {
            self.model.on_event(&Event::Key(KeyEvent::from(*key)), 5);
        }
    }

    /// Draws it and compares it with the snapshot `name`.
    fn matches_snapshot(&mut self, name: &str, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        let info = ServerInfo {
            name: "bench-7".to_owned(),
            max_clients: 256,
            max_clients_per_address: self.max_clients_per_address,
        };
        terminal.draw(|frame| draw(frame, &info, &mut self.model, &self.state, self.now)).expect("drawn");
        let buffer = terminal.backend().buffer().clone();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/snapshots").join(name);
        let screen = lines(&buffer).join("\n") + "\n";
        if std::env::var_os("CORACLE_BLESS").is_some() {
            fs::write(&path, &screen).expect("written");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(screen == expected, "{name} is drawn as\n{screen}\ninstead of\n{expected}");
        buffer
    }
}

#[test]
fn nobody_is_there() {
    Scene::new().matches_snapshot("empty-80x24.txt", 80, 24);
}

#[test]
fn x3_the_share_of_an_address_is_shown() {
    let mut scene = Scene::new();
    scene.max_clients_per_address = Some(8);
    scene.matches_snapshot("share-80x24.txt", 80, 24);
}

#[test]
fn clients_are_shown_in_each_size() {
    for (width, height) in [(72, 20), (80, 24), (140, 44)] {
        Scene::busy().matches_snapshot(&format!("busy-{width}x{height}.txt"), width, height);
    }
}

#[test]
fn clients_can_be_scrolled() {
    let mut scene = Scene::busy();
    for id in 6..40 {
        scene.state.connected(id, address("127.0.0.1:3"), &format!("client-{id}"));
    }
    scene.state.waiting = 3;
    scene.press(&[KeyCode::Down, KeyCode::Down]);
    scene.matches_snapshot("scrolled-80x24.txt", 80, 24);
    scene.press(&[KeyCode::PageDown; 20]);
    scene.matches_snapshot("scrolled-to-the-end-80x24.txt", 80, 24);
}

#[test]
fn a_tiny_terminal_is_refused_politely() {
    for (width, height) in [(71, 24), (80, 19), (20, 5), (1, 1)] {
        Scene::busy().matches_snapshot(&format!("tiny-{width}x{height}.txt"), width, height);
    }
}

#[test]
fn a_failed_start_says_so() {
    let mut scene = Scene::new();
    scene.state.listening.clear();
    scene.model.notify("cannot listen on 127.0.0.1:8888: another program\x1b[2J listens there already", true);
    let buffer = scene.matches_snapshot("failed-80x24.txt", 80, 24);
    assert_eq!(buffer[(1, 3)].fg, Color::Red);
}

#[test]
fn a_field_is_edited_where_it_stands() {
    let mut scene = Scene::busy();
    scene.press(&[KeyCode::Char('f'), KeyCode::Char('文'), KeyCode::Char('x')]);
    let buffer = scene.matches_snapshot("edited-80x24.txt", 80, 24);
    assert!(
        buffer[(40, 1)].modifier.contains(Modifier::REVERSED) && !buffer[(40, 2)].modifier.contains(Modifier::REVERSED)
    );
}

#[test]
fn stopping_is_told() {
    let mut scene = Scene::busy();
    (scene.state.stage, scene.state.listening) = (Stage::Stopping, Vec::new());
    scene.matches_snapshot("stopping-80x24.txt", 80, 24);
}

#[test]
fn a_folder_is_picked() {
    let folder = tempfile::tempdir().expect("a directory");
    for name in ["old", "新しい", "a\u{1b}[31mb"] {
        fs::create_dir(folder.path().join(name)).expect("made");
    }
    let mut scene = Scene::busy();
    scene.model.folder = folder.path().to_owned();
    scene.press(&[KeyCode::Char('b'), KeyCode::Down, KeyCode::Down]);
    // Where it lies differs from run to run.
    if let Mode::Pick(picker) = &mut scene.model.mode {
        picker.directory = PathBuf::from("/srv/images");
    }
    scene.model.folder = PathBuf::from("/srv/images");
    scene.matches_snapshot("picking-80x24.txt", 80, 24);
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The screen's text. The second half of a wide character is no character of its own.
fn lines(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let line = |y| {
        let mut text = String::new();
        let mut x = 0;
        while x < area.width {
            let symbol = buffer[(x, y)].symbol();
            text.push_str(symbol);
            x += u16::try_from(display_width(symbol)).unwrap_or(1).max(1);
        }
        text.trim_end().to_owned()
    };
    (0..area.height).map(line).collect()
}
