//! `coracle serve --console`: the server's state on a terminal, and keys that steer it.
//!
//! It knows the server by its events and steers it by its handle, as any program can that embeds the library.

mod desk;
mod field;
mod picker;
mod place;
mod screen;
#[cfg(test)]
mod screens;
mod state;
mod text;
mod view;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use coracle::server::{Event, Log, LogFormat, LogLevel, Server, ServerHandle, Summary};
use coracle::store::{DirectoryStore, SwitchedStore};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::raise;

use super::serve::{signals_to_catch, stop_on_signals};
use super::{Exit, complain};
use desk::{Command, Desk};
pub use place::Place;
use screen::Screen;
pub use screen::is_possible;
use state::{Stage, State};
use view::{Facts, draw, page};

/// How old what is shown may be.
const REFRESH: Duration = Duration::from_millis(200);

/// What the console has to know of the arguments.
#[derive(Debug)]
pub struct Setup {
    /// What the store serves.
    pub folder: PathBuf,
    /// Whether names that begin with a dot are served.
    pub hidden: bool,
    /// Where to listen at first.
    pub place: Place,
    /// As in `hello`.
    pub name: String,
    /// For the title.
    pub max_clients: usize,
    /// For the title, too.
    pub max_clients_per_address: Option<usize>,
    /// How much the log tells.
    pub level: LogLevel,
    /// How the log's lines look on a standard error that is no terminal.
    pub format: LogFormat,
}

/// Runs `server`, which serves `store`, until it is ended by a key or a signal.
pub fn run(server: Server<'_, SwitchedStore>, store: &SwitchedStore, setup: Setup) -> Exit {
    let shared = Shared::new();
    let Setup { folder, hidden, place, name, max_clients, max_clients_per_address, level, format } = setup;
    let mut server = server.observer(shared.observer());
    // What is seen is for people; what is kept looks as it was asked for.
    let mut logs = vec![Log::new(Lines(shared.clone()), LogFormat::Text, level)];
    if !io::stderr().is_terminal() {
        logs.push(Log::new(io::stderr(), format, level));
    }
    for log in logs {
        match log {
            Ok(log) => server = server.observer(log),
            Err(error) => return fail(&format!("cannot begin a log: {error}")),
        }
    }
    let server = server.bind_later();
    let mut wanted = signals_to_catch();
    wanted.push(SIGQUIT);
    let mut signals = match Signals::new(wanted) {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot catch signals: {error}")),
    };
    let handle = server.handle();
    let mut console = Console {
        desk: Desk::new(folder, place, hidden),
        facts: Facts { name, max_clients, max_clients_per_address },
        shared,
        handle: handle.clone(),
        store: store.clone(),
    };
    let last_signal = AtomicU8::new(0);
    let ended = thread::scope(|scope| {
        let end = End { handle: &handle, signals: signals.handle() };
        scope.spawn(|| stop_on_signals(&mut signals, &handle, &last_signal));
        let running = thread::Builder::new().name("server".to_owned()).spawn_scoped(scope, || server.run())?;
        console.listen();
        let looked = Screen::open().and_then(|mut screen| console.watch(&mut screen, &running));
        if looked.is_err() {
            // Nobody can see or steer it any more.
            end.handle.stop();
        }
        let outcome = running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        drop(end);
        looked.and(outcome)
    });
    match (ended, last_signal.load(Ordering::Relaxed)) {
        (Err(error), _) => fail(&format!("the console has ended: {error}")),
        (Ok(_), 0) => Exit::Done,
        (Ok(_), signal) => Exit::Signal(signal),
    }
}

fn fail(message: &str) -> Exit {
    complain(message);
    Exit::LocalFile
}

/// Ends the server and the wait for signals, so that no panic waits for their threads for ever.
struct End<'h> {
    handle: &'h ServerHandle,
    signals: Handle,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.handle.stop_now();
        self.signals.close();
    }
}

/// The state, which events change and the screen shows.
#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State::new(Instant::now()))))
    }

    fn observer(&self) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let shared = self.clone();
        move |event: &Event<'_>| shared.state().note(event)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the log's lines.
struct Lines(Shared);

impl Write for Lines {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // The log gives whole lines.
        let mut state = self.0.state();
        String::from_utf8_lossy(buf).lines().for_each(|line| state.line(line));
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Console {
    desk: Desk,
    facts: Facts,
    shared: Shared,
    handle: ServerHandle,
    store: SwitchedStore,
}

impl Console {
    /// Shows the state and does what keys say, until the server has ended.
    fn watch(&mut self, screen: &mut Screen, running: &ScopedJoinHandle<'_, io::Result<Summary>>) -> io::Result<()> {
        let keys = screen::keys()?;
        while !running.is_finished() {
            let now = Instant::now();
            {
                let mut state = self.shared.state();
                state.tick(now);
                screen.draw(|frame| draw(frame, &self.facts, &mut self.desk, &state, now))?;
            }
            match keys.recv_timeout(REFRESH) {
                Ok(event) => {
                    let command = self.desk.event(&event?, page(screen.height()));
                    self.perform(command)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("nobody reads the keys")),
            }
        }
        Ok(())
    }

    fn perform(&mut self, command: Command) -> io::Result<()> {
        let is_serving = self.shared.state().stage == Stage::Serving;
        match command {
            Command::Interrupt => raise(SIGINT)?,
            Command::Quit if is_serving => raise(SIGTERM)?,
            Command::Toggle if is_serving => {
                if self.handle.addresses().is_empty() {
                    self.listen();
                } else {
                    self.handle.unlisten();
                    self.desk.say("not listening any more; who is connected stays", false);
                }
            }
            Command::Serve(folder) if is_serving => match DirectoryStore::open(&folder) {
                Ok(store) => {
                    self.store.switch(store.hidden(self.desk.hidden));
                    self.desk.say(&format!("serving {} from now on", folder.display()), false);
                    self.desk.folder = folder;
                }
                Err(error) => self.desk.say(&error.to_string(), true),
            },
            Command::Move(place) if is_serving => {
                if self.handle.addresses().is_empty() {
                    self.desk.place = place;
                } else {
                    let before = std::mem::replace(&mut self.desk.place, place);
                    if !self.listen() {
                        self.desk.place = before;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Listens where the fields say, and there only; says what comes of it.
    fn listen(&mut self) -> bool {
        let bound = self.desk.place.resolve().and_then(|addresses| {
            let bound = self.handle.listen_only_on(&addresses).map_err(|error| error.to_string())?;
            Ok(bound.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        });
        match &bound {
            Ok(addresses) => self.desk.say(&format!("listening on {addresses}"), false),
            Err(error) => self.desk.say(error, true),
        }
        bound.is_ok()
    }
}
