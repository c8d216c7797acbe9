//! Takes the terminal over, and restores it however the program ends.

use std::io::{self, IsTerminal, Stdout, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};
use ratatui::{Frame, Terminal};

use crate::sys::{KeyWait, can_draw, is_foreground, suspend, wait_for_key};

/// How often a program in the background looks whether it is in the foreground again, where keys are pressed.
const BACKGROUND_PAUSE: Duration = Duration::from_millis(100);

/// Whether the terminal is taken over.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);
/// Messages of panics in other threads meanwhile.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The terminal, taken over until this is dropped.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

/// Starts a thread that reads keys. An error is the last thing that it sends.
pub fn spawn_key_reader() -> io::Result<Receiver<io::Result<Event>>> {
    let (sender, receiver) = mpsc::channel();
    // The thread is not joined: it may be blocked in a read.
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        if let Err(error) = read_keys(&sender) {
            // The receiver is gone when the console has ended.
            drop(sender.send(Err(error)));
        }
    })?;
    Ok(receiver)
}

/// Whether there is a terminal to draw on and to read keys from.
pub fn is_available() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && can_draw()
}

impl Screen {
    /// Takes the terminal over. A panic of this thread restores it.
    pub fn open() -> io::Result<Self> {
        install_panic_hook();
        let entered = take_terminal().and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        entered.map(|terminal| Self { terminal }).inspect_err(|_| restore_terminal())
    }

    /// Gives the terminal back to the shell and stops the program, until the shell continues it.
    pub fn suspend(&mut self) -> io::Result<()> {
        restore_terminal();
        suspend()
    }

    /// Notes that the program was stopped and continued: the terminal is as the shell left it.
    pub fn continued(&mut self) {
        IS_TAKEN.store(false, Ordering::SeqCst);
    }

    /// Whether there is a terminal to draw on. Takes it over again as soon as the shell has given it back.
    pub fn is_shown(&mut self) -> io::Result<bool> {
        if !IS_TAKEN.load(Ordering::SeqCst) {
            if !is_foreground() {
                return Ok(false);
            }
            // What is set already is not set again.
            drop(disable_raw_mode());
            take_terminal()?;
            self.terminal.clear()?;
        }
        Ok(true)
    }

    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    pub fn height(&self) -> u16 {
        self.terminal.size().map_or(0, |size| size.height)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore_terminal();
        for panic in PANICS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            crate::exit::print_error(panic);
        }
    }
}

fn take_terminal() -> io::Result<()> {
    enable_raw_mode()?;
    IS_TAKEN.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)
}

fn read_keys(sender: &Sender<io::Result<Event>>) -> io::Result<()> {
    loop {
        match wait_for_key()? {
            KeyWait::Pressed => {}
            KeyWait::InBackground => {
                thread::sleep(BACKGROUND_PAUSE);
                continue;
            }
            // crossterm would spin on it.
            KeyWait::Gone => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal is gone")),
        }
        while event::poll(Duration::ZERO)? {
            if sender.send(Ok(event::read()?)).is_err() {
                return Ok(());
            }
        }
    }
}

/// Restores the terminal before the message of a panic in this thread, which ends the console. A panic in another thread ends
/// a client, and its message must not be written over the screen.
fn install_panic_hook() {
    let (previous, owner) = (panic::take_hook(), thread::current().id());
    panic::set_hook(Box::new(move |panic| {
        if !IS_TAKEN.load(Ordering::SeqCst) {
            return previous(panic);
        }
        if thread::current().id() == owner {
            restore_terminal();
            return previous(panic);
        }
        let name = thread::current().name().unwrap_or("a thread").to_owned();
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name}: {panic}"));
        if !io::stderr().is_terminal() {
            previous(panic);
        }
    }));
}

fn restore_terminal() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let mut stdout = io::stdout();
        // A terminal that is gone cannot be restored.
        drop(execute!(stdout, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show));
        drop(disable_raw_mode());
        drop(stdout.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::{env, thread};

    use super::{Screen, is_available};

    /// A terminal of `script`'s (of the Debian package bsdutils) sees what this test leaves behind in a process of its own.
    const INSIDE: &str = "CORACLE_TEST_PANIC";

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if let Ok(thread_role) = env::var(INSIDE) {
            assert!(is_available(), "script makes no terminal");
            let mut screen = Screen::open().expect("a terminal");
            screen.draw(|frame| frame.render_widget("drawn", frame.area())).expect("drawn");
            if thread_role == "another" {
                let other = thread::Builder::new().name("client-7".to_owned()).spawn(|| panic!("a fault"));
                assert!(other.expect("a thread").join().is_err());
                screen.draw(|frame| frame.render_widget("onwards", frame.area())).expect("drawn");
                return;
            }
            panic!("it was meant to");
        }
        let own = inside("own");
        let (before, after) = own.rsplit_once("\x1b[?1049l").expect("it leaves the alternate screen");
        assert!(before.contains("\x1b[?1049h") && before.contains("drawn"), "{own:?}");
        assert!(after.contains("it was meant to") && after.contains("\x1b[?25h"), "{own:?}");
        assert!(after.contains(" icanon") && after.contains(" echo "), "{own:?}");

        let another = inside("another");
        let (before, after) = another.rsplit_once("\x1b[?1049l").expect("it leaves the alternate screen");
        assert!(before.contains("onwards") && !before.contains("fault"), "{another:?}");
        assert!(after.contains("coracle: client-7: ") && after.contains("a fault"), "{another:?}");
    }

    /// What a terminal is sent by this test when it runs on one, and by `stty` after it.
    fn inside(thread_role: &str) -> String {
        let program = env::current_exe().expect("a path");
        let test = "console::screen::tests::a_panic_gives_the_terminal_back";
        let script = format!("stty rows 24 cols 80; '{}' --exact {test} --nocapture; stty -a", program.display());
        let output = Command::new("script")
            .args(["-qec", &script, "/dev/null"])
            .env(INSIDE, thread_role)
            .env("TERM", "xterm-256color")
            .stdin(Stdio::null())
            .output()
            .expect("script runs (apt-get install bsdutils)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
