//! What is seen of a run on a terminal: counts, and the hosts that are being talked to. It takes a few lines, however many hosts
//! there are.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coracle::client::{Progress, ProgressEvent};
use coracle::local::Escaped;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::state::State;
use crate::draw_target;
use crate::exit::print_error;
use crate::progress::{columns, elided};
use crate::sys;

/// As many hosts are shown at most.
const MAX_ROWS: usize = 12;
/// Lines of the terminal that are left to what stood there before.
const OTHER_LINES: usize = 6;

/// The table. Clones show the same.
#[derive(Clone, Debug)]
pub struct Table {
    board: Arc<Mutex<Board>>,
    bars: MultiProgress,
    lines: Arc<Vec<ProgressBar>>,
    is_quiet: bool,
}

/// What the table shows.
#[derive(Debug, Default)]
pub struct Board {
    /// What is done.
    pub title: String,
    /// How many hosts ended in each state.
    pub counts: [(usize, &'static str); 5],
    /// The wave, from 1, and the hosts that are tried by its end; none where there is one alone.
    pub wave: Option<(usize, usize, usize)>,
    /// How many hosts are left alone for a while, and until when the first of them is.
    pub baking: Option<(usize, Instant)>,
    rows: Vec<Option<Talk>>,
}

/// A host that is being talked to.
#[derive(Debug)]
struct Talk {
    name: String,
    step: String,
    size: u64,
    position: u64,
}

/// A host's row, which is there until it is closed.
#[derive(Clone, Debug)]
pub struct Row {
    table: Table,
    at: usize,
}

impl Table {
    /// A table that is drawn on standard error, if that is a terminal and not `is_quiet`.
    pub fn new(title: &str, is_quiet: bool) -> Self {
        let target = if is_quiet { ProgressDrawTarget::hidden() } else { draw_target::standard_error() };
        let bars = MultiProgress::with_draw_target(target);
        let height = sys::size_of_terminal().map_or(24, |(_, rows)| usize::from(rows));
        let count = if bars.is_hidden() { 0 } else { height.saturating_sub(OTHER_LINES).clamp(1, MAX_ROWS) + 2 };
        let line = |_| {
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            bars.add(ProgressBar::new_spinner().with_style(style))
        };
        let lines = Arc::new((0..count).map(line).collect());
        let board = Board { title: Escaped(title).to_string(), ..Board::default() };
        Self { board: Arc::new(Mutex::new(board)), bars, lines, is_quiet }
    }

    /// Whether it is drawn, so that [`Table::draw`] is to be called now and then.
    pub fn is_drawn(&self) -> bool {
        !self.lines.is_empty()
    }

    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row for a host.
    pub fn row(&self, name: &str) -> Row {
        let talk = Talk { name: Escaped(name).to_string(), step: "asking".to_owned(), size: 0, position: 0 };
        let mut board = self.board();
        let at = board.rows.iter().position(Option::is_none).unwrap_or(board.rows.len());
        if at == board.rows.len() {
            board.rows.push(None);
        }
        board.rows[at] = Some(talk);
        drop(board);
        Row { table: self.clone(), at }
    }

    pub fn draw(&self) {
        let texts = self.board().texts(self.lines.len(), Instant::now());
        for (at, line) in self.lines.iter().enumerate() {
            let text = texts.get(at).map_or("", String::as_str);
            line.set_message(elided(text, columns().saturating_sub(1)));
        }
    }

    /// Prints an error above the table.
    pub fn error(&self, message: impl Display) {
        self.bars.suspend(|| print_error(message));
    }

    /// The same of what is no error.
    pub fn note(&self, message: impl Display) {
        if !self.is_quiet {
            self.error(message);
        }
    }

    /// Removes it.
    pub fn finish(&self) {
        for line in &*self.lines {
            line.finish_and_clear();
        }
        // It is gone from the terminal in any case.
        drop(self.bars.clear());
    }
}

impl Board {
    /// The lines, at most so many.
    fn texts(&self, lines: usize, now: Instant) -> Vec<String> {
        let mut head = self.title.clone();
        if let Some((wave, waves, end)) = self.wave {
            head.push_str(&format!("  wave {wave} of {waves}, to host {end}"));
        }
        let counts: Vec<String> = self.counts.iter().map(|(count, word)| format!("{count} {word}")).collect();
        head.push_str(&format!("  {}", counts.join(", ")));
        if let Some((count, until)) = self.baking {
            let left = Duration::from_secs(until.saturating_duration_since(now).as_secs());
            head.push_str(&format!("  {count} baking, {} left", humantime::format_duration(left)));
        }
        let mut texts = vec![head];
        let talks: Vec<&Talk> = self.rows.iter().flatten().collect();
        let room = lines.saturating_sub(2);
        let width = talks.iter().take(room).map(|talk| talk.name.chars().count()).max().unwrap_or(0).min(40);
        for talk in talks.iter().take(room) {
            let percent = match talk.size {
                0 => String::new(),
                size => format!(" {:>3}%", u128::from(talk.position) * 100 / u128::from(size)),
            };
            texts.push(format!("  {:<width$}  {}{percent}", talk.name, talk.step));
        }
        if talks.len() > room {
            texts.push(format!("  and {} more", talks.len() - room));
        }
        texts
    }
}

impl Row {
    /// Shows what is being done.
    pub fn step(&self, step: &str) {
        self.change(|talk| {
            talk.step = step.to_owned();
            talk.size = 0;
        });
    }

    /// Removes it.
    pub fn close(&self) {
        self.table.board().rows[self.at] = None;
    }

    fn change(&self, change: impl FnOnce(&mut Talk)) {
        if let Some(Some(talk)) = self.table.board().rows.get_mut(self.at) {
            change(talk);
        }
    }
}

impl Progress for Row {
    fn started(&mut self, size: u64, offset: u64) {
        self.change(|talk| (talk.size, talk.position) = (size, offset));
    }

    fn advanced(&mut self, position: u64) {
        self.change(|talk| talk.position = position);
    }

    fn event(&mut self, event: &ProgressEvent<'_>) {
        self.step(&event.to_string());
    }
}

/// The states with how many hosts are in each: what of `states` is `None` goes as `to go`.
pub fn counts(states: impl Iterator<Item = Option<State>>) -> [(usize, &'static str); 5] {
    let mut counts = State::ALL.map(|state| (0, state.word()));
    counts[4].1 = "to go";
    for state in states {
        let at = State::ALL.iter().position(|other| Some(*other) == state).unwrap_or(4);
        counts[at].0 += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::state::State;
    use super::{Board, Table, counts};

    #[test]
    fn a_thousand_hosts_take_a_few_lines() {
        let table = Table::new("put image.bin", true);
        let rows: Vec<_> = (0..1000).map(|host| table.row(&format!("bench-{host}"))).collect();
        rows[1].step("sending");
        rows[1].change(|talk| (talk.size, talk.position) = (200, 90));
        rows[0].close();
        let now = Instant::now();
        {
            let mut board = table.board();
            let states = [Some(State::Done), Some(State::Done), Some(State::Unreachable), None];
            board.counts = counts(states.into_iter());
            board.wave = Some((2, 3, 50));
            board.baking = Some((7, now + Duration::from_secs(90)));
        }
        let texts = table.board().texts(6, now);
        assert_eq!(texts.len(), 6);
        assert_eq!(
            texts[0],
            "put image.bin  wave 2 of 3, to host 50  2 done, 0 unchanged, 0 failed, 1 unreachable, 1 to go  7 baking, 1m 30s left"
        );
        assert_eq!((texts[1].as_str(), texts[2].as_str()), ("  bench-1  sending  45%", "  bench-2  asking"));
        assert_eq!(texts[5], "  and 995 more");
        assert_eq!(table.row("another").at, 0, "a row that was closed is used again");
        assert_eq!(Board::default().texts(3, now).len(), 1);
    }
}
