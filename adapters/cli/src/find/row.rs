//! The lines of `coracle find`.

use coracle::local::{Escaped, escape_json};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

/// Who says that there is such a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Mdns,
    Hosts,
    Cache,
}

/// What a host says that it is, or why it says nothing.
pub type Answer = Result<String, String>;

/// What is known of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    name: String,
    address: String,
    /// All of them; none where only a name is known.
    addresses: Vec<String>,
    found: Vec<Source>,
    answer: Option<Answer>,
}

impl Source {
    fn word(self) -> &'static str {
        match self {
            Self::Mdns => "mdns",
            Self::Hosts => "hosts",
            Self::Cache => "cache",
        }
    }
}

impl Row {
    /// A host with all its addresses, of which the one that is shown stands before; `answer` is `None` where it was not asked.
    pub fn new(name: &str, address: &str, addresses: Vec<String>, source: Source, answer: Option<Answer>) -> Self {
        Self { name: name.to_owned(), address: address.to_owned(), addresses, found: vec![source], answer }
    }

    pub fn has_answered(&self) -> bool {
        matches!(self.answer, Some(Ok(_)))
    }

    /// Adds those of the hosts file, which take the place of what else is known by their names, and sorts all.
    pub fn merge(rows: &mut Vec<Self>, named: Vec<Self>) {
        for mut host in named {
            rows.retain(|row| {
                let is_same = row.name.eq_ignore_ascii_case(&host.name);
                if is_same && !host.found.contains(&row.found[0]) {
                    host.found.extend(&row.found);
                }
                // One that answers elsewhere than the file says is told beside it.
                !is_same || (row.has_answered() && !host.has_answered())
            });
            rows.push(host);
        }
        rows.sort_by(|one, other| (&one.name, &one.address).cmp(&(&other.name, &other.address)));
    }

    /// Why a host that is known, or announces itself, does not answer.
    pub fn complaint(&self) -> Option<String> {
        let Some(Err(reason)) = &self.answer else { return None };
        Some(format!("{} ({}, {}): {reason}", self.name, self.address, self.found_words().join(", ")))
    }

    fn found_words(&self) -> Vec<&'static str> {
        self.found.iter().map(|source| source.word()).collect()
    }

    fn columns(&self) -> Option<[String; 4]> {
        let server = match &self.answer {
            Some(Ok(server)) if server.is_empty() => "(does not say)",
            Some(Ok(server)) => server,
            Some(Err(_)) => return None,
            None => "-",
        };
        let texts = [&self.name, &self.address, server, &self.found_words().join(",")];
        Some(texts.map(|text| Escaped(text).to_string()))
    }

    fn as_json(&self) -> String {
        let mut object = json!({ "name": self.name, "address": self.address, "found": self.found_words() });
        if self.addresses.len() > 1 {
            object["addresses"] = Value::from(self.addresses.clone());
        }
        match &self.answer {
            Some(Ok(server)) => object["server"] = Value::from(server.as_str()),
            Some(Err(reason)) => object["error"] = Value::from(reason.as_str()),
            None => {}
        }
        format!("{}\n", escape_json(&object.to_string()))
    }
}

/// The lines: JSON of all hosts, or columns of those that answered or were not asked.
pub fn as_text(rows: &[Row], json: bool) -> String {
    if json {
        return rows.iter().map(Row::as_json).collect();
    }
    let lines: Vec<_> = rows.iter().filter_map(Row::columns).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].width()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for line in &lines {
        for (column, width) in line.iter().zip(widths) {
            text.push_str(column);
            text.extend(std::iter::repeat_n(' ', width - column.width() + 2));
        }
        text.push_str(&line[3]);
        text.push('\n');
    }
    text
}

/// The names that more than one host announces, as messages. The rows are sorted.
pub fn shared_names(rows: &[Row]) -> Vec<String> {
    let announced: Vec<_> = rows.iter().filter(|row| row.found.contains(&Source::Mdns)).collect();
    let mut messages = Vec::new();
    for (at, row) in announced.iter().enumerate() {
        let same = |other: &&&Row| other.name.eq_ignore_ascii_case(&row.name);
        if announced.iter().take(at).any(|other| same(&other)) {
            continue;
        }
        let addresses: Vec<_> = announced.iter().filter(same).map(|other| other.address.as_str()).collect();
        if addresses.len() > 1 {
            let (count, addresses) = (addresses.len(), addresses.join(", "));
            messages.push(format!("{count} hosts are called {}: use their addresses, {addresses}", row.name));
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::{Row, Source, as_text, shared_names};

    fn row(name: &str, address: &str, source: Source, answer: Result<&str, &str>) -> Row {
        let answer = answer.map(str::to_owned).map_err(str::to_owned);
        Row::new(name, address, vec![address.to_owned()], source, Some(answer))
    }

    #[test]
    fn n1_odd_names_are_escaped_and_stay_in_their_line() {
        let rows = [
            row("bench-7", "10.0.0.7:8888", Source::Mdns, Ok("coracle/0.1.0")),
            row("a\u{1b}[2J\nb", "10.0.0.8:8888", Source::Mdns, Ok("x\ty")),
            row("gone", "10.0.0.9:8888", Source::Hosts, Err("connection refused")),
        ];
        let text = as_text(&rows, false);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.starts_with("bench-7  "), "{text}");
        assert!(!text.contains('\u{1b}') && !as_text(&rows, true).contains('\u{1b}'));
        assert_eq!(as_text(&rows, true).lines().count(), 3);
        assert_eq!(rows[2].complaint().as_deref(), Some("gone (10.0.0.9:8888, hosts): connection refused"));
    }

    #[test]
    fn n1_two_hosts_of_one_name_are_told_with_their_addresses() {
        let rows = [
            row("Bench-7", "10.0.0.7:8888", Source::Mdns, Ok("a")),
            row("bench-7", "10.0.0.8:8888", Source::Mdns, Ok("a")),
            row("bench-7", "10.0.0.9:8888", Source::Hosts, Ok("a")),
            row("bench-8", "10.0.0.6:8888", Source::Mdns, Ok("a")),
        ];
        let told = shared_names(&rows);
        assert_eq!(told, ["2 hosts are called Bench-7: use their addresses, 10.0.0.7:8888, 10.0.0.8:8888"]);
    }

    #[test]
    fn the_hosts_file_takes_the_place_of_what_else_is_known() {
        let mut rows = vec![
            row("bench-7", "10.0.0.7:8888", Source::Mdns, Ok("a")),
            row("bench-8", "10.0.0.8:8888", Source::Mdns, Ok("a")),
            row("bench-9", "10.0.0.9:8888", Source::Cache, Err("silence")),
        ];
        let named = vec![
            row("bench-7", "10.0.0.7:8888", Source::Hosts, Ok("a")),
            row("bench-8", "10.1.0.8:8888", Source::Hosts, Err("silence")),
            row("bench-9", "10.0.0.9:8888", Source::Hosts, Err("silence")),
        ];
        Row::merge(&mut rows, named);
        let shown: Vec<_> = rows.iter().map(|row| (row.address.as_str(), row.found_words().join(","))).collect();
        let expected = [
            ("10.0.0.7:8888", "hosts,mdns"),
            ("10.0.0.8:8888", "mdns"),
            ("10.1.0.8:8888", "hosts,mdns"),
            ("10.0.0.9:8888", "hosts,cache"),
        ];
        assert_eq!(shown, expected.map(|(address, found)| (address, found.to_owned())));
    }
}
