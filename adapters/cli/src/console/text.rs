//! Numbers, durations and names as the console shows them: in a bounded number of columns.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::Span;

/// Bytes with three digits or four, in at most 8 columns.
pub fn amount(len: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if len < 1024 {
        return format!("{len} B");
    }
    let mut scaled = len as f64;
    let mut unit = 0;
    // What would be rounded to 1024 is the next unit's 1.00.
    while scaled >= 1023.5 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let digits = match scaled {
        _ if scaled < 9.995 => 2,
        _ if scaled < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$} {}", UNITS[unit])
}

/// Hours, minutes and seconds; with days in front where there are some.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match seconds / 86_400 {
        0 => clock,
        days => format!("{days} d {clock}"),
    }
}

/// Columns that `text` takes.
pub fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// `text` in at most `width` columns: what is too long loses its middle, since names differ at their ends.
pub fn fit(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let span = Span::raw(text);
    let graphemes: Vec<&str> = span.styled_graphemes(Style::new()).map(|grapheme| grapheme.symbol).collect();
    let room = width.saturating_sub(1);
    let tail = taken(graphemes.iter().rev(), room / 2);
    let head = taken(graphemes.iter(), room - room / 2);
    let (head, tail) = (&graphemes[..head], &graphemes[graphemes.len() - tail..]);
    if width == 0 { String::new() } else { format!("{}…{}", head.concat(), tail.concat()) }
}

/// How many of `graphemes` fit into `width` columns.
fn taken<'a>(graphemes: impl Iterator<Item = &'a &'a str>, width: usize) -> usize {
    let mut used = 0;
    graphemes
        .take_while(|grapheme| {
            used += columns(grapheme);
            used <= width
        })
        .count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{amount, columns, elapsed, fit};

    #[test]
    fn amounts_are_short() {
        for (len, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10_234, "9.99 KiB"),
            (10_240, "10.0 KiB"),
            (102_400, "100 KiB"),
            (1_047_552, "1023 KiB"),
            (1_048_575, "1.00 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(amount(len), text);
            assert!(text.len() <= 8);
        }
    }

    #[test]
    fn durations_are_clocks() {
        assert_eq!(elapsed(Duration::from_secs(3_725)), "01:02:05");
        assert_eq!(elapsed(Duration::from_secs(86_400 * 3 + 59)), "3 d 00:00:59");
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(fit("boot.log", 8), "boot.log");
        assert_eq!(fit("firmware-1.2.3.bin", 9), "firm….bin");
        assert_eq!(fit("ab", 1), "…");
        assert_eq!(fit("ab", 0), "");
        for width in 0..20 {
            assert!(columns(&fit("文件文件文件.e\u{301}文", width)) <= width);
        }
        assert_eq!(fit("文件文件文件", 8), "文件…件");
    }
}
