//! Progress bars on a terminal, and notes on what does not go as usual.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use coracle::client::{Progress, ProgressEvent};
use coracle::local::Escaped;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::print_error;

const BAR: &str = "{wide_msg} {bar:24} {bytes:>10}/{total_bytes:10} {binary_bytes_per_sec:>12} {eta:>4}";

/// Draws bars on standard error, if that is a terminal, and prints notes there.
#[derive(Clone, Debug)]
pub struct ProgressDisplay {
    bars: MultiProgress,
    is_quiet: bool,
}

/// The bar of one file.
#[derive(Debug)]
pub struct FileBar {
    bars: MultiProgress,
    bar: ProgressBar,
    name: String,
    is_drawn: bool,
    is_quiet: bool,
}

impl ProgressDisplay {
    /// Draws no bars where `to_stdout` and that is a terminal: the fetched file is shown there. Prints nothing at all where
    /// `is_quiet`.
    pub fn new(to_stdout: bool, is_quiet: bool) -> Self {
        let is_hidden = is_quiet || (to_stdout && std::io::stdout().is_terminal());
        let target = if is_hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { bars: MultiProgress::with_draw_target(target), is_quiet }
    }

    /// A bar for `name`.
    pub fn bar(&self, name: &str) -> FileBar {
        let name = Escaped(name).to_string();
        // Hidden until the file begins.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name.clone());
        FileBar { bars: self.bars.clone(), bar, name, is_drawn: false, is_quiet: self.is_quiet }
    }

    /// Prints a line above the bars; nothing where none are drawn.
    pub fn println(&self, line: &str) {
        // There is no other place for it when standard error is closed.
        drop(self.bars.println(line));
    }

    /// Prints what does not go as usual and is no error.
    pub fn note(&self, note: impl Display) {
        if !self.is_quiet {
            self.suspend(|| print_error(note));
        }
    }

    /// Hides the bars while `write` uses standard error or output.
    pub fn suspend<A>(&self, write: impl FnOnce() -> A) -> A {
        self.bars.suspend(write)
    }
}

impl Progress for FileBar {
    fn started(&mut self, size: u64, offset: u64) {
        if !self.is_drawn {
            self.bar = self.bars.add(self.bar.clone());
            self.is_drawn = true;
        }
        self.bar.set_length(size);
        self.bar.set_position(offset);
        // The bytes of an earlier run must not count for the speed of this one.
        self.bar.reset_eta();
        // A steady tick needs a thread.
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    fn advanced(&mut self, position: u64) {
        self.bar.set_position(position);
    }

    fn event(&mut self, event: &ProgressEvent<'_>) {
        let note = format!("{}: {event}", self.name);
        if !self.bars.is_hidden() {
            // As above.
            drop(self.bars.println(note));
        } else if !self.is_quiet {
            print_error(note);
        }
    }
}

impl Drop for FileBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
    }
}
