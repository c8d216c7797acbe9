//! Where progress is drawn.

use std::io;

use console::Term;
use indicatif::{ProgressDrawTarget, TermLike};

/// As often as indicatif draws by itself.
const DRAWS_PER_SECOND: u8 = 20;

/// Standard error where that is a terminal; otherwise nothing is drawn.
pub fn standard_error() -> ProgressDrawTarget {
    let term = Term::buffered_stderr();
    if term.is_term() {
        ProgressDrawTarget::term_like_with_hz(Box::new(Terminal(term)), DRAWS_PER_SECOND)
    } else {
        ProgressDrawTarget::hidden()
    }
}

/// A terminal that may hang up. indicatif panics where it cannot draw, in the thread that has something to say, so that failures
/// are not told to it: the program ends by a signal, or goes on without being seen.
#[derive(Debug)]
struct Terminal(Term);

impl Terminal {
    fn change(&self, change: impl FnOnce(&Term) -> io::Result<()>) -> io::Result<()> {
        drop(change(&self.0));
        Ok(())
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.0.size().1
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.change(|term| term.move_cursor_up(n))
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.change(|term| term.move_cursor_down(n))
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.change(|term| term.move_cursor_right(n))
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.change(|term| term.move_cursor_left(n))
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.change(|term| term.write_line(s))
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.change(|term| term.write_str(s))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.change(Term::clear_line)
    }

    fn flush(&self) -> io::Result<()> {
        self.change(Term::flush)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;

    use console::Term;
    use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

    use super::Terminal;

    #[test]
    fn a_terminal_that_has_hung_up_does_not_end_who_draws() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let term = Term::read_write_pair(File::open("/dev/null").expect("nothing to read"), writer);
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(Terminal(term))));
        let bar = bars.add(ProgressBar::new_spinner());
        bar.set_message("bench-1");
        bar.tick();
        drop(reader);
        assert_eq!(bars.suspend(|| 7), 7);
        bar.finish_and_clear();
    }
}
