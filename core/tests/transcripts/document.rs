//! Parses the transcripts and the stores of the documents. `core/TRANSCRIPTS.md` describes the notation.

use serde::Deserialize;

/// The transcripts and stores of the documents.
#[derive(Debug, Default)]
pub struct Document {
    pub transcripts: Vec<Transcript>,
    pub stores: Vec<(String, Vec<StoreLine>)>,
}

/// One connection, as a script.
#[derive(Clone, Debug)]
pub struct Transcript {
    pub name: String,
    pub store: String,
    /// Words that `hello` has to list; with a `!`, must not list.
    pub features: Vec<String>,
    pub max_request: Option<usize>,
    /// The code with which the server refuses the connection.
    pub refusing: Option<String>,
    /// What the server tells with `busy` and `shuttingDown`; 0: nothing.
    pub retry_ms: u32,
    /// What the client may do, in the words of an owner's list; `None`: whatever is offered.
    pub rights: Option<String>,
    /// The key of a client that the owner does not know.
    pub unknown: Option<String>,
    /// The text policy, in the words of the program's option; `None`: reject.
    pub text: Option<String>,
    /// What the client sends in one line arrives in one piece.
    pub arrives_whole: bool,
    pub steps: Vec<Step>,
}

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client sends these bytes.
    Send(Vec<u8>),
    Eof,
    /// The client stops taking bytes.
    Unread,
    Read,
    /// So many milliseconds pass.
    Wait(u64),
    Stop,
    /// The owner takes all rights from the client.
    Revoke,
    /// The owner needs the place of the connection.
    Displace,
    /// A file of the store changes.
    Change(Change),
    /// The server sends this and a line feed. `"…"` is any short string.
    Line(String),
    /// The server sends exactly this.
    Bytes(Vec<u8>),
    /// The server sends this JSON, with nothing behind it.
    Message(String),
    /// The server sends the bytes `from..to` of a file.
    Slice {
        name: String,
        from: usize,
        to: usize,
    },
    Close,
    Abort,
}

/// What happens to a file while a transcript is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Append {
        name: String,
        text: String,
    },
    /// Another file has the name.
    Replace {
        name: String,
        version: String,
        text: String,
    },
    /// A log loses so many bytes at its front.
    Drop {
        name: String,
        len: usize,
    },
}

/// One line of a store: a file, a directory, or things that are skipped or hidden.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreLine {
    #[serde(rename = "fileName")]
    pub file_name: Option<String>,
    pub directory: Option<String>,
    pub skipped: Option<u64>,
    pub hidden: Option<u64>,
    pub version: String,
    pub modified: Option<u64>,
    pub text: Option<String>,
    pub ramp: Option<usize>,
    pub link: bool,
    pub refused: Option<String>,
    pub shrinks_to: Option<usize>,
    pub unreadable_from: Option<usize>,
    pub version_after: Option<String>,
    pub byte_ms: u64,
    pub remembered: bool,
    pub fails_after: Option<usize>,
    pub unwritable: Option<String>,
    pub total: Option<u64>,
    pub free: Option<u64>,
    pub max_file: Option<u64>,
    pub upload: Option<String>,
    pub of: Option<String>,
    pub digest: Option<String>,
    pub holder: Option<String>,
    pub fails_from: Option<u64>,
    pub fails_with: Option<String>,
    pub commit_fails: Option<String>,
    pub commit_ms: u64,
    pub reads_back: bool,
    pub unnameable: Option<usize>,
    /// How many bytes a log has dropped.
    pub first: Option<u64>,
    /// Whether a file that was replaced is kept.
    pub kept: bool,
    /// The Unix time when a transcript begins, by the store's clock.
    pub clock: Option<u64>,
}

impl StoreLine {
    /// The file's bytes.
    pub fn contents(&self) -> Vec<u8> {
        match (&self.text, self.ramp) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(len)) => (0..=250).cycle().take(len).collect(),
            _ => Vec::new(),
        }
    }
}

impl Document {
    /// Adds the contents of `text`.
    ///
    /// # Errors
    ///
    /// The line that cannot be parsed, with its number.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        let mut lines = text.lines().zip(1..);
        while let Some((line, number)) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let block: Vec<&str> = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
            let read = match info.split_once(' ') {
                Some(("transcript", info)) => Transcript::read(info, &block).map(|one| self.transcripts.push(one)),
                Some(("store", info)) => read_store(info, &block).map(|one| self.stores.push(one)),
                _ => Ok(()),
            };
            read.map_err(|error| format!("the block at line {number}: {error}"))?;
        }
        Ok(())
    }

    /// The lines of the store `name`.
    pub fn store(&self, name: &str) -> Option<&[StoreLine]> {
        self.stores.iter().find(|(store, _)| store == name).map(|(_, lines)| &lines[..])
    }
}

impl Transcript {
    fn read(info: &str, block: &[&str]) -> Result<Self, String> {
        let mut this = Self {
            name: String::new(),
            store: String::new(),
            features: Vec::new(),
            max_request: None,
            refusing: None,
            retry_ms: 0,
            rights: None,
            unknown: None,
            text: None,
            arrives_whole: false,
            steps: Vec::new(),
        };
        let mut keys = Vec::new();
        for word in info.split_whitespace() {
            let key = word.split_once('=').map(|(key, _)| key);
            if keys.contains(&key) {
                return Err(format!("doubled: {word}"));
            }
            keys.push(key);
            match word.split_once('=') {
                Some(("name", value)) => this.name = value.into(),
                Some(("store", value)) => this.store = value.into(),
                Some(("features", value)) => this.features = value.split(',').map(String::from).collect(),
                Some(("maxRequest", value)) => this.max_request = Some(number(value)?),
                Some(("retry_ms", value)) => this.retry_ms = number(value)?,
                Some(("rights", value)) => this.rights = Some(value.replace(',', " ")),
                Some(("unknown", value)) => this.unknown = Some(value.into()),
                Some(("refusing", value)) => this.refusing = Some(value.into()),
                Some(("arrivals", "whole")) => this.arrives_whole = true,
                Some(("text", "echo")) => this.text = Some("echo".into()),
                Some(("text", value)) if value.len() > 6 && value.starts_with("reply:") => {
                    this.text = Some(value.into())
                }
                _ => return Err(format!("what is {word}?")),
            }
        }
        if this.name.is_empty() || this.store.is_empty() {
            return Err("a transcript needs name= and store=".into());
        }
        if this.text.is_some() && !this.features.iter().any(|word| word == "classic") {
            return Err("text= needs features=classic".into());
        }
        for line in block {
            this.steps.push(step(line).map_err(|error| format!("{line}: {error}"))?);
        }
        Ok(this)
    }
}

fn read_store(info: &str, block: &[&str]) -> Result<(String, Vec<StoreLine>), String> {
    let name = info.trim().strip_prefix("name=").ok_or("a store needs name=")?;
    let lines = block.iter().map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}")));
    Ok((name.into(), lines.collect::<Result<_, _>>()?))
}

fn step(line: &str) -> Result<Step, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match word {
        "->" => Step::Send([bytes(rest)?, vec![b'\n']].concat()),
        "=>" => Step::Send(bytes(rest)?),
        "<-" => Step::Line(rest.into()),
        "<=" => Step::Bytes(bytes(rest)?),
        "<~" => Step::Message(rest.into()),
        "<@" => {
            let (name, range) = rest.rsplit_once(' ').ok_or("no range")?;
            let (from, to) = range.split_once("..").ok_or("no range")?;
            Step::Slice { name: name.into(), from: number(from)?, to: number(to)? }
        }
        "wait" => Step::Wait(match rest.strip_suffix("ms") {
            Some(millis) => number(millis)?,
            None => number::<u64>(rest.strip_suffix('s').ok_or("no unit")?)? * 1000,
        }),
        "append" => {
            let (name, added) = rest.split_once(' ').ok_or("nothing to append")?;
            Step::Change(Change::Append { name: name.into(), text: text(added)? })
        }
        "replace" => {
            let (name, rest) = rest.split_once(' ').ok_or("no version")?;
            let (version, other) = rest.split_once(' ').ok_or("no contents")?;
            Step::Change(Change::Replace { name: name.into(), version: version.into(), text: text(other)? })
        }
        "drop" => {
            let (name, len) = rest.split_once(' ').ok_or("no length")?;
            Step::Change(Change::Drop { name: name.into(), len: number(len)? })
        }
        _ if !rest.is_empty() => return Err("no such step".into()),
        "eof" => Step::Eof,
        "unread" => Step::Unread,
        "read" => Step::Read,
        "stop" => Step::Stop,
        "revoke" => Step::Revoke,
        "displace" => Step::Displace,
        "close" => Step::Close,
        "abort" => Step::Abort,
        _ => return Err("no such step".into()),
    })
}

/// Decodes `\xHH` and `\xHH*N`; everything else is copied.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut parts = text.split(r"\x");
    let mut decoded = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or("\\x without two digits")?;
        let byte = u8::from_str_radix(digits, 16).map_err(|error| format!("\\x{digits}: {error}"))?;
        let counted = rest.strip_prefix('*').map(|rest| {
            let len = rest.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(rest.len());
            rest.split_at(len)
        });
        let (count, rest) = match counted {
            Some((digits, rest)) => (number(digits)?, rest),
            None => (1, rest),
        };
        decoded.extend(std::iter::repeat_n(byte, count));
        decoded.extend_from_slice(rest.as_bytes());
    }
    Ok(decoded)
}

/// What [`bytes`] decodes, as UTF-8.
fn text(text: &str) -> Result<String, String> {
    String::from_utf8(bytes(text)?).map_err(|error| error.to_string())
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(digits: &str) -> Result<T, String> {
    digits.parse().map_err(|error| format!("{digits}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{Document, Step, bytes};

    #[test]
    fn bytes_in_hexadecimal() {
        assert_eq!(bytes(r"a\x20\x78*3b\u0041").expect("bytes"), b"a xxxb\\u0041");
        assert_eq!(bytes(r"\xff*2").expect("bytes"), [0xff, 0xff]);
        assert_eq!(bytes("grüße").expect("bytes"), "grüße".as_bytes());
        for bad in [r"\x", r"\xg0", r"\x7", r"\x78*"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn blocks() {
        let text = "# Title\n```transcript name=a store=s features=x,!y\n-> {}\n=> {\n<@ a b 1..2\nwait 2s\nclose\n```\n\
                    ```python\n```\n```store name=s\n{\"fileName\":\"a b\",\"ramp\":252}\n```\n";
        let mut document = Document::default();
        document.read(text).expect("understood");
        let steps = [
            Step::Send(b"{}\n".to_vec()),
            Step::Send(b"{".to_vec()),
            Step::Slice { name: "a b".into(), from: 1, to: 2 },
            Step::Wait(2000),
            Step::Close,
        ];
        assert_eq!(document.transcripts[0].steps, steps);
        assert_eq!(document.transcripts[0].features, ["x", "!y"]);
        let text = "```transcript name=b store=s features=classic text=reply:收到\n=> hi\n<~ {\"type\":1}\n```\n";
        document.read(text).expect("understood");
        assert_eq!(document.transcripts[1].text.as_deref(), Some("reply:收到"));
        assert_eq!(document.transcripts[1].steps[1], Step::Message("{\"type\":1}".into()));
        assert_eq!(document.store("s").expect("there")[0].contents()[249..], [249, 250, 0]);
        for bad in [
            "name=a",
            "store=s",
            "name=a store=s color=red",
            "name=a store=s store=t",
            "name=a store=s\n-- {}",
            "name=a store=s text=echo",
            "name=a store=s arrivals=late",
            "name=a store=s features=classic text=reply:",
            "name=a store=s features=classic text=shout",
            "name=a store=s\nwait 1",
        ] {
            assert!(Document::default().read(&format!("```transcript {bad}\n```")).is_err(), "{bad}");
        }
        assert!(Document::default().read("```store name=s\n{\"fileNam\":\"\"}\n```").is_err());
    }
}
