//! Formats numbers, durations and names for a bounded number of columns.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::Span;

/// A number of bytes with three or four digits, in at most 8 columns.
pub fn byte_count(len: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if len < 1024 {
        return format!("{len} B");
    }
    let mut scaled = len as f64;
    let mut unit = 0;
    // What rounds to 1024 becomes 1.00 of the next unit.
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

/// `HH:MM:SS`, after days where there are some.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match seconds / 86_400 {
        0 => time,
        days => format!("{days} d {time}"),
    }
}

/// The width of `text` in columns.
pub fn display_width(text: &str) -> usize {
    Span::raw(text).width()
}

/// `text` in at most `width` columns. Leaves out the middle where it is too long, since names differ at their ends.
pub fn truncate(text: &str, width: usize) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let span = Span::raw(text);
    let graphemes: Vec<&str> = span.styled_graphemes(Style::new()).map(|grapheme| grapheme.symbol).collect();
    let room = width.saturating_sub(1);
    let tail = fitting(graphemes.iter().rev(), room / 2);
    let head = fitting(graphemes.iter(), room - room / 2);
    let (head, tail) = (&graphemes[..head], &graphemes[graphemes.len() - tail..]);
    if width == 0 { String::new() } else { format!("{}…{}", head.concat(), tail.concat()) }
}

/// How many of `graphemes` fit into `width` columns.
fn fitting<'a>(graphemes: impl Iterator<Item = &'a &'a str>, width: usize) -> usize {
    let mut used = 0;
    graphemes
        .take_while(|grapheme| {
            used += display_width(grapheme);
            used <= width
        })
        .count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{byte_count, clock, display_width, truncate};

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
            assert_eq!(byte_count(len), text);
            assert!(text.len() <= 8);
        }
    }

    #[test]
    fn durations_are_clocks() {
        assert_eq!(clock(Duration::from_secs(3_725)), "01:02:05");
        assert_eq!(clock(Duration::from_secs(86_400 * 3 + 59)), "3 d 00:00:59");
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(truncate("boot.log", 8), "boot.log");
        assert_eq!(truncate("firmware-1.2.3.bin", 9), "firm….bin");
        assert_eq!(truncate("ab", 1), "…");
        assert_eq!(truncate("ab", 0), "");
        for width in 0..20 {
            assert!(display_width(&truncate("文件文件文件.e\u{301}文", width)) <= width);
        }
        assert_eq!(truncate("文件文件文件", 8), "文件…件");
    }
}
