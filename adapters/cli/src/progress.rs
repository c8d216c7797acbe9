//! Progress on a terminal: a bar for each file that is under way, a line for all of a tree, and notes on what does not go as
//! usual.

use std::fmt::{Display, Write};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coracle::client::{Progress, ProgressEvent};
use coracle::local::Escaped;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::draw_target;
use crate::exit::print_error;
use crate::sys;

/// What stands behind a name, and how many columns it takes with the space in front of it: on a terminal of 80 columns 46
/// are left for the name.
const NUMBERS: &str = "{percent:>3}% {total_bytes:>10} {binary_bytes_per_sec:>12} {eta:>4}";
const NUMBERS_WIDTH: usize = 34;
/// A bar, where there is room for it.
const BAR_WIDTH: usize = 24;
const WIDE: usize = 110;

/// Draws bars on standard error, if that is a terminal, and prints notes there.
#[derive(Clone, Debug)]
pub struct ProgressDisplay {
    bars: MultiProgress,
    is_quiet: bool,
    tree: Option<Arc<Tree>>,
}

/// The line for all of a tree.
#[derive(Debug)]
struct Tree {
    line: ProgressBar,
    files: AtomicU64,
    done: AtomicU64,
}

/// The bar of one file.
#[derive(Debug)]
pub struct FileBar {
    bars: MultiProgress,
    /// Once the file has begun, where bars are drawn.
    bar: Option<ProgressBar>,
    tree: Option<Arc<Tree>>,
    /// How many bytes of this file the line of the tree counts.
    counted: u64,
    name: String,
    is_quiet: bool,
}

impl ProgressDisplay {
    /// Draws no bars where `to_stdout` and that is a terminal: the fetched file is shown there. Prints nothing at all where
    /// `is_quiet`.
    pub fn new(to_stdout: bool, is_quiet: bool) -> Self {
        let is_hidden = is_quiet || (to_stdout && std::io::stdout().is_terminal());
        let target = if is_hidden { ProgressDrawTarget::hidden() } else { draw_target::standard_error() };
        let bars = MultiProgress::with_draw_target(target);
        if !bars.is_hidden() {
            sys::end_line_on_signals();
        }
        Self { bars, is_quiet, tree: None }
    }

    /// A display that also counts the files and bytes of a tree.
    pub fn of_tree(is_quiet: bool) -> Self {
        let display = Self::new(false, is_quiet);
        let tree = (!display.bars.is_hidden()).then(|| {
            let line = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
            Arc::new(Tree { line, files: AtomicU64::new(0), done: AtomicU64::new(0) })
        });
        Self { tree, ..display }
    }

    /// A tree has so many more files and bytes, by a listing.
    pub fn expect(&self, files: u64, bytes: u64) {
        let Some(tree) = &self.tree else { return };
        let is_first = tree.files.fetch_add(files, Ordering::Relaxed) == 0 && files > 0;
        tree.line.inc_length(bytes);
        if is_first {
            let counts = Arc::downgrade(tree);
            let key = move |_: &ProgressState, out: &mut dyn Write| {
                let Some(tree) = counts.upgrade() else { return };
                let (done, files) = (tree.done.load(Ordering::Relaxed), tree.files.load(Ordering::Relaxed));
                // A string takes what it is given.
                let _ = out.write_str(&fitted(&format!("{done} of {files} files")));
            };
            show(&self.bars, &tree.line, key);
        }
    }

    /// A file of the tree is done with; so many of its bytes did not have to be fetched.
    pub fn file_done(&self, unfetched: u64) {
        if let Some(tree) = &self.tree {
            tree.done.fetch_add(1, Ordering::Relaxed);
            tree.line.inc(unfetched);
        }
    }

    /// A bar for `name`.
    pub fn bar(&self, name: &str) -> FileBar {
        FileBar {
            bars: self.bars.clone(),
            bar: None,
            tree: self.tree.clone(),
            counted: 0,
            name: Escaped(name).to_string(),
            is_quiet: self.is_quiet,
        }
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

    /// Removes the line of the tree.
    pub fn finish(&self) {
        if let Some(tree) = &self.tree {
            tree.line.finish_and_clear();
            self.bars.remove(&tree.line);
        }
    }
}

impl FileBar {
    /// Lets the line of the tree count `position` bytes of this file.
    fn count(&mut self, position: u64) {
        if let Some(tree) = &self.tree {
            match position.checked_sub(self.counted) {
                Some(more) => tree.line.inc(more),
                // The file starts over.
                None => tree.line.dec(self.counted - position),
            }
            self.counted = position;
        }
    }
}

impl Progress for FileBar {
    fn started(&mut self, size: u64, offset: u64) {
        if self.bar.is_none() && !self.bars.is_hidden() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            let name = self.name.clone();
            let key = move |_: &ProgressState, out: &mut dyn Write| {
                // As above.
                let _ = out.write_str(&fitted(&name));
            };
            match &self.tree {
                Some(tree) => show_before(&self.bars, &tree.line, &bar, key),
                None => show(&self.bars, &bar, key),
            }
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_length(size);
            bar.set_position(offset);
            // The bytes of an earlier run must not count for the speed of this one.
            bar.reset_eta();
        }
        self.count(offset);
    }

    fn advanced(&mut self, position: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
        self.count(position);
    }

    fn event(&mut self, event: &ProgressEvent<'_>) {
        let note = format!("{}: {event}", self.name);
        if !self.bars.is_hidden() {
            // There is no other place for it when standard error is closed.
            drop(self.bars.println(note));
        } else if !self.is_quiet {
            print_error(note);
        }
    }
}

impl Drop for FileBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.bars.remove(bar);
        }
    }
}

fn show(bars: &MultiProgress, bar: &ProgressBar, name: impl NameKey) {
    bar.set_style(style(name));
    bars.add(bar.clone());
    bar.enable_steady_tick(Duration::from_millis(200));
}

/// Without a tick of its own, which needs a thread: the line of the tree has one.
fn show_before(bars: &MultiProgress, line: &ProgressBar, bar: &ProgressBar, name: impl NameKey) {
    bar.set_style(style(name));
    bars.insert_before(line, bar.clone());
}

/// Writes what stands at the place of the name.
trait NameKey: Fn(&ProgressState, &mut dyn Write) + Send + Sync + Clone + 'static {}

impl<F: Fn(&ProgressState, &mut dyn Write) + Send + Sync + Clone + 'static> NameKey for F {}

fn style(name: impl NameKey) -> ProgressStyle {
    let bar = if columns() < WIDE { String::new() } else { format!("{{bar:{BAR_WIDTH}}} ") };
    let style = ProgressStyle::with_template(&format!("{{name}} {bar}{NUMBERS}"));
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("name", name).progress_chars("=> ")
}

/// `name` in exactly the columns that this terminal has for it.
fn fitted(name: &str) -> String {
    let columns = columns();
    let others = NUMBERS_WIDTH + if columns < WIDE { 0 } else { BAR_WIDTH + 1 };
    let width = columns.saturating_sub(others).max(8);
    let name = elided(name, width);
    let padding = width.saturating_sub(name.width());
    name + &" ".repeat(padding)
}

/// The width of the terminal.
pub fn columns() -> usize {
    sys::size_of_terminal().map_or(80, |(columns, _)| if columns == 0 { 80 } else { usize::from(columns) })
}

/// `name` in at most `width` columns: of a longer one the middle is left out, since its end tells most, and then its
/// beginning.
pub fn elided(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let taken = |letters: &mut dyn Iterator<Item = char>, width: usize| {
        let mut left = width;
        let fits = |letter: &char| {
            let columns = letter.width().unwrap_or(0);
            left = left.checked_sub(columns).unwrap_or(usize::MAX);
            left != usize::MAX
        };
        letters.take_while(fits).collect::<Vec<char>>()
    };
    let room = width.saturating_sub(1);
    let begin = taken(&mut name.chars(), room / 2);
    let mut end = taken(&mut name.chars().rev(), room - room / 2);
    end.reverse();
    begin.into_iter().chain(['\u{2026}']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::elided;

    #[test]
    fn long_names_lose_their_middle() {
        for (name, width, shown) in [
            ("short", 10, "short"),
            ("0123456789", 10, "0123456789"),
            ("0123456789a", 10, "0123\u{2026}6789a".trim()),
            ("logs/2026/a-very-long-name.log", 16, "logs/20\u{2026}name.log"),
            ("abc", 1, "\u{2026}"),
            ("収収収収収収", 8, "収\u{2026}収収"),
        ] {
            assert_eq!(elided(name, width), shown, "{name} in {width}");
            assert!(elided(name, width).width() <= width);
        }
    }
}
