//! Prints what is followed: as it comes for one host, in whole lines for several.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use coracle::local::{Escaped, escape_json};
use serde_json::{Map, Value};

use super::notice::Notice;
use super::until::Until;
use crate::standard_output;

/// A longer line is printed in pieces of this length, each as a line.
const LONGEST_LINE: usize = 16 << 20;

/// Codes of colours for the names of hosts, one after the other.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

/// Where all hosts are printed.
#[derive(Debug)]
pub struct Output {
    labels: Vec<String>,
    name: String,
    json: bool,
    quiet: bool,
    /// The width of the longest label, where there is one in front of each line.
    label_width: Option<usize>,
    is_coloured: bool,
    /// Held while something is printed, so that no line is inside another.
    lock: Mutex<()>,
}

/// Prints one host.
#[derive(Debug)]
pub struct Printer {
    output: Arc<Output>,
    index: usize,
    until: Option<Until>,
    is_met: bool,
    /// The beginning of a line, where only whole ones are printed.
    line: Vec<u8>,
    /// Whether what was printed last did not end a line.
    is_inside_line: bool,
}

impl Output {
    pub fn new(labels: Vec<String>, name: &str, json: bool, quiet: bool) -> Self {
        let labels: Vec<_> = labels.iter().map(|label| Escaped(label).to_string()).collect();
        let label_width = labels.iter().map(|label| label.chars().count()).max().filter(|_| labels.len() > 1);
        let is_coloured =
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let lock = Mutex::new(());
        Self { labels, name: name.to_owned(), json, quiet, label_width, is_coloured, lock }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn label(&self, index: usize) -> &str {
        self.labels.get(index).map_or("", String::as_str)
    }

    /// What stands in front of a line; nothing for one host.
    fn prefix(&self, index: usize) -> String {
        let Some(width) = self.label_width else { return String::new() };
        let label = self.label(index);
        match COLOURS.get(index % COLOURS.len()) {
            Some(colour) if self.is_coloured => format!("\x1b[{colour}m{label:width$} |\x1b[0m "),
            _ => format!("{label:width$} | "),
        }
    }

    /// A JSON object with the host, the file and `members`, as a line.
    fn json_line(&self, index: usize, members: Map<String, Value>) -> String {
        let mut object = Map::new();
        object.insert("host".into(), self.label(index).into());
        object.insert("fileName".into(), self.name.as_str().into());
        object.extend(members);
        format!("{}\n", escape_json(&Value::Object(object).to_string()))
    }
}

impl Printer {
    pub fn new(output: Arc<Output>, index: usize, until: Option<&str>) -> Self {
        let until = until.map(Until::new);
        Self { output, index, until, is_met: false, line: Vec::new(), is_inside_line: false }
    }

    pub fn name(&self) -> &str {
        self.output.name()
    }

    /// Whether a text was looked for that did not come.
    pub fn is_unmet(&self) -> bool {
        self.until.is_some() && !self.is_met
    }

    /// Prints `bytes`, and returns whether the text that was looked for has come: nothing is printed after that.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let found = self.until.as_mut().and_then(|until| until.find(bytes));
        self.is_met = found.is_some();
        self.print(bytes.get(..found.unwrap_or(bytes.len())).unwrap_or(bytes))?;
        if self.is_met {
            self.finish()?;
        }
        Ok(self.is_met)
    }

    /// Ends the line that was begun.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.is_whole_lines() && !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            return self.print_lines(&line);
        }
        Ok(())
    }

    /// Tells what happened, on standard error, and with JSON on standard output, too.
    pub fn notice(&mut self, notice: &Notice) -> io::Result<()> {
        if let Notice::BeginsAnew { .. } | Notice::Dropped { .. } = notice {
            // What comes is the beginning of another line.
            self.finish()?;
            if std::mem::take(&mut self.is_inside_line) {
                self.write(b"\n")?;
            }
        }
        if self.output.json {
            self.write(self.output.json_line(self.index, notice.json()).as_bytes())?;
        }
        if self.output.quiet {
            return Ok(());
        }
        let prefix = if io::stderr().is_terminal() {
            self.output.prefix(self.index)
        } else {
            self.output.label_width.map_or_else(String::new, |_| format!("{}: ", self.output.label(self.index)))
        };
        let is_inside_line = self.is_inside_line && io::stdout().is_terminal() && io::stderr().is_terminal();
        let mut text = if is_inside_line { "\n".to_owned() } else { String::new() };
        for line in notice.lines(&self.output.name) {
            text.push_str(&format!("{prefix}{line}\n"));
        }
        let _lock = self.output.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // There is no other place for it where standard error is closed.
        drop(io::stderr().lock().write_all(text.as_bytes()));
        Ok(())
    }

    fn is_whole_lines(&self) -> bool {
        self.output.json || self.output.label_width.is_some()
    }

    fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.is_whole_lines() {
            self.is_inside_line = bytes.last().map_or(self.is_inside_line, |byte| *byte != b'\n');
            return self.write(bytes);
        }
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index.saturating_add(1));
        let (complete, rest) = bytes.split_at_checked(complete).unwrap_or((&[], bytes));
        if !complete.is_empty() {
            let mut lines = std::mem::take(&mut self.line);
            lines.extend_from_slice(complete);
            self.print_lines(&lines)?;
        }
        self.line.extend_from_slice(rest);
        if self.line.len() > LONGEST_LINE {
            self.finish()?;
        }
        Ok(())
    }

    /// Prints lines, of which the last one may lack its line feed, with what stands in front of each.
    fn print_lines(&self, lines: &[u8]) -> io::Result<()> {
        let prefix = self.output.prefix(self.index);
        let mut text = Vec::with_capacity(lines.len().saturating_mul(2));
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if self.output.json {
                let mut members = Map::new();
                match str::from_utf8(line) {
                    Ok(line) => members.insert("line".into(), line.into()),
                    Err(_) => {
                        let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
                        members.insert("hex".into(), digits.into())
                    }
                };
                text.extend_from_slice(self.output.json_line(self.index, members).as_bytes());
            } else {
                text.extend_from_slice(prefix.as_bytes());
                text.extend_from_slice(line);
                text.push(b'\n');
            }
        }
        self.write(&text)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _lock = self.output.lock.lock().unwrap_or_else(PoisonError::into_inner);
        standard_output::write(bytes)
    }
}
