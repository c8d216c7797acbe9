//! How a fetch gets on, for a person: on a terminal only.

use std::io::IsTerminal;
use std::time::Duration;

use coracle::client::{Note, Progress};
use coracle::local::Escaped;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

const BAR: &str = "{wide_msg} {bar:24} {bytes:>10}/{total_bytes:10} {binary_bytes_per_sec:>12} {eta:>4}";

/// Where bars are drawn: standard error, if that is a terminal.
#[derive(Debug)]
pub struct Screen {
    bars: MultiProgress,
}

/// The bar of one file.
#[derive(Debug)]
pub struct Bar {
    bars: MultiProgress,
    bar: ProgressBar,
    name: String,
    is_drawn: bool,
}

impl Screen {
    /// A screen. Where what is fetched goes to a terminal itself, nothing is drawn over it.
    pub fn new(to_stdout: bool) -> Self {
        let is_quiet = to_stdout && std::io::stdout().is_terminal();
        let target = if is_quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { bars: MultiProgress::with_draw_target(target) }
    }

    /// A bar for `name`.
    pub fn bar(&self, name: &str) -> Bar {
        let name = Escaped(name).to_string();
        // It is drawn once there is something to show.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name.clone());
        Bar { bars: self.bars.clone(), bar, name, is_drawn: false }
    }

    /// Says something above the bars; nothing where none are drawn.
    pub fn say(&self, line: &str) {
        // Nobody is left to tell when standard error is gone.
        drop(self.bars.println(line));
    }

    /// Lets `write` use standard error or output while no bar is drawn.
    pub fn suspend<A>(&self, write: impl FnOnce() -> A) -> A {
        self.bars.suspend(write)
    }
}

impl Progress for Bar {
    fn begin(&mut self, size: u64, offset: u64) {
        if !self.is_drawn {
            self.bar = self.bars.add(self.bar.clone());
            self.is_drawn = true;
        }
        self.bar.set_length(size);
        self.bar.set_position(offset);
        // What was there before took no time now.
        self.bar.reset_eta();
        // The tick takes a thread.
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    fn reached(&mut self, position: u64) {
        self.bar.set_position(position);
    }

    fn note(&mut self, note: &Note<'_>) {
        // As above.
        drop(self.bars.println(format!("{}: {note}", self.name)));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
    }
}
