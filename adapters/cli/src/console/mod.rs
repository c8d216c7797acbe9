//! `coracle serve --console`: shows the state of the server on the terminal, and controls it by keys.
//!
//! The state comes from the library's events, and control goes through its handle, as in any program that embeds it.

mod field;
mod format;
mod model;
mod picker;
mod screen;
mod server_state;
#[cfg(test)]
mod snapshot_tests;
mod view;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use coracle::client::AddressFamily;
use coracle::server::{Event, Log, LogFormat, LogLevel, ReadOnly, Server, ServerHandle, Summary};
use coracle::store::{DirectoryStore, SwappableStore};

use crate::append::AppendArgs;
use crate::exit::{Exit, print_error};
use crate::listen_address::ListenAddress;
use crate::signals::stop_on_signals;
use crate::sys::{Continued, SignalsHandle, StopSignals, raise_interrupt, raise_termination};
use crate::versions::VersionArgs;
use model::{Command, ConsoleModel};
use screen::Screen;
pub use screen::is_available;
use server_state::{ServerState, Stage};
use view::{ServerInfo, draw, page_len};

/// The time between two drawings, where no key is pressed.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// The arguments that the console needs.
#[derive(Debug)]
pub struct ConsoleConfig {
    /// The directory that the store serves.
    pub folder: PathBuf,
    /// Whether names that begin with a dot are served.
    pub hidden: bool,
    /// Which files are only appended to.
    pub append: AppendArgs,
    /// What versions are made of.
    pub versions: VersionArgs,
    /// Where to listen at first.
    pub listen: ListenAddress,
    /// The only kind of addresses to listen on, if not both.
    pub family: Option<AddressFamily>,
    /// The server's name, as in `hello`.
    pub name: String,
    /// For the title.
    pub max_clients: usize,
    /// For the title.
    pub max_clients_per_address: Option<usize>,
    /// Which events are logged.
    pub level: LogLevel,
    /// The format of the log on a standard error that is no terminal.
    pub format: LogFormat,
}

/// Runs `server`, which serves `store`, until it is ended by a key or a signal.
pub fn run(server: Server<'_, ReadOnly<SwappableStore>>, store: &SwappableStore, config: ConsoleConfig) -> Exit {
    let shared = SharedState::new();
    let ConsoleConfig {
        folder,
        hidden,
        append,
        versions,
        listen,
        family,
        name,
        max_clients,
        max_clients_per_address,
        level,
        format,
    } = config;
    let mut server = server.with_observer(shared.observer());
    // The console shows text; a log file has the format of the arguments.
    let mut logs = vec![Log::new(LogWriter(shared.clone()), LogFormat::Text, level)];
    if !io::stderr().is_terminal() {
        logs.push(Log::new(io::stderr(), format, level));
    }
    for log in logs {
        match log {
            Ok(log) => server = server.with_observer(log),
            Err(error) => return fail(&format!("cannot begin a log: {error}")),
        }
    }
    let server = server.bind_later();
    let mut signals = match StopSignals::catch_for_console() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot catch signals: {error}")),
    };
    let handle = server.handle();
    let mut console = Console {
        model: ConsoleModel::new(folder, listen, hidden),
        family,
        info: ServerInfo { name, max_clients, max_clients_per_address },
        shared,
        handle: handle.clone(),
        store: store.clone(),
        append,
        versions,
    };
    let last_signal = AtomicU8::new(0);
    let ended = thread::scope(|scope| {
        let stop = StopOnDrop { handle: &handle, signals: signals.handle() };
        scope.spawn(|| stop_on_signals(&mut signals, &handle, &last_signal));
        let running = thread::Builder::new().name("server".to_owned()).spawn_scoped(scope, || server.run())?;
        console.listen();
        let shown = Screen::open().and_then(|mut screen| console.run(&mut screen, &running));
        if shown.is_err() {
            // Without a terminal the server cannot be controlled any more.
            stop.handle.stop();
        }
        let outcome = running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        drop(stop);
        shown.and(outcome)
    });
    match (ended, last_signal.load(Ordering::Relaxed)) {
        (Err(error), _) => fail(&format!("the console has ended: {error}")),
        (Ok(_), 0) => Exit::Done,
        (Ok(_), signal) => Exit::Signal(signal),
    }
}

fn fail(message: &str) -> Exit {
    print_error(message);
    Exit::LocalFile
}

/// Stops the server and the wait for signals when dropped, so that a panic does not wait for their threads for ever.
struct StopOnDrop<'h> {
    handle: &'h ServerHandle,
    signals: SignalsHandle,
}

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.handle.stop_now();
        self.signals.close();
    }
}

/// The state, shared by the observer of events and the screen.
#[derive(Clone, Debug)]
struct SharedState(Arc<Mutex<ServerState>>);

impl SharedState {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(ServerState::new(Instant::now()))))
    }

    fn observer(&self) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let shared = self.clone();
        move |event: &Event<'_>| shared.lock().on_event(event)
    }

    fn lock(&self) -> MutexGuard<'_, ServerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the lines of the log to the state.
struct LogWriter(SharedState);

impl Write for LogWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // The log writes whole lines.
        let mut state = self.0.lock();
        String::from_utf8_lossy(buf).lines().for_each(|line| state.push_log_line(line));
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Console {
    model: ConsoleModel,
    family: Option<AddressFamily>,
    info: ServerInfo,
    shared: SharedState,
    handle: ServerHandle,
    store: SwappableStore,
    append: AppendArgs,
    versions: VersionArgs,
}

impl Console {
    /// Draws the state and handles keys until the server has ended.
    fn run(&mut self, screen: &mut Screen, running: &ScopedJoinHandle<'_, io::Result<Summary>>) -> io::Result<()> {
        let keys = screen::spawn_key_reader()?;
        let continued = Continued::watch()?;
        while !running.is_finished() {
            let now = Instant::now();
            if continued.take() {
                screen.continued();
            }
            {
                let mut state = self.shared.lock();
                state.tick(now);
                if screen.is_shown()? {
                    screen.draw(|frame| draw(frame, &self.info, &mut self.model, &state, now))?;
                }
            }
            match keys.recv_timeout(REFRESH_INTERVAL) {
                Ok(event) => match self.model.on_event(&event?, page_len(screen.height())) {
                    Command::Suspend => screen.suspend()?,
                    command => self.execute(command)?,
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the thread that reads the keys has ended"));
                }
            }
        }
        Ok(())
    }

    fn execute(&mut self, command: Command) -> io::Result<()> {
        let is_serving = self.shared.lock().stage == Stage::Serving;
        match command {
            Command::Interrupt => raise_interrupt()?,
            Command::Quit if is_serving => raise_termination()?,
            Command::ToggleListening if is_serving => {
                if self.handle.addresses().is_empty() {
                    self.listen();
                } else {
                    self.handle.stop_listening();
                    self.model.notify("not listening any more; connected clients stay", false);
                }
            }
            Command::Serve(folder) if is_serving => {
                let opened = DirectoryStore::open(&folder).map_err(|error| error.to_string());
                match opened.and_then(|store| self.versions.apply(self.append.apply(store), &folder)) {
                    Ok(store) => {
                        self.store.swap(store.with_hidden(self.model.hidden));
                        self.model.notify(&format!("serving {} from now on", folder.display()), false);
                        self.model.folder = folder;
                    }
                    Err(why) => self.model.notify(&why, true),
                }
            }
            Command::Listen(listen) if is_serving => {
                if self.handle.addresses().is_empty() {
                    self.model.listen = listen;
                } else {
                    let before = std::mem::replace(&mut self.model.listen, listen);
                    if !self.listen() {
                        self.model.listen = before;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Listens on the address of the fields and on no other. Notifies of the outcome, and returns whether it listens.
    fn listen(&mut self) -> bool {
        let bound = self.model.listen.resolve(self.family).and_then(|addresses| {
            let bound = self.handle.listen_only_on(&addresses).map_err(|error| error.to_string())?;
            Ok(bound.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        });
        match &bound {
            Ok(addresses) => self.model.notify(&format!("listening on {addresses}"), false),
            Err(error) => self.model.notify(error, true),
        }
        bound.is_ok()
    }
}
