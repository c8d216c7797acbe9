//! Journal of a run: a line of JSON for each thing that must not be done twice or forgotten, on the disk before the next one.
//!
//! ```text
//! {"type":"run","version":1,"command":"put","fileName":"image.bin","sha256":"9f86…","hosts":[{"name":"bench-1","host":"192.168.7.2"},…],"waveEnds":[1,50,1000]}
//! {"type":"begun","name":"bench-1"}
//! {"type":"ended","name":"bench-1","state":"done"}
//! {"type":"baked","wave":0}
//! ```
//!
//! A host that was begun and has not ended is asked again what it has. Of several lines `ended` of a host the last one counts.
//! Lines of other types and other members are skipped, so that newer versions may write more.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::exit::Exit;
use crate::sys;

/// What a version of this program that cannot read a journal must not continue.
const VERSION: u32 = 1;

/// What a run does, and with whom. A run is continued with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    pub command: String,
    pub file_name: String,
    /// The digest of what is sent, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default)]
    pub activate: bool,
    /// In the order in which they are tried.
    pub hosts: Vec<HostLine>,
    pub wave_ends: Vec<usize>,
}

/// A host of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLine {
    pub name: String,
    pub host: String,
}

/// How a host ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    pub state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default)]
    pub exit_code: u8,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Line {
    Run {
        version: u32,
        #[serde(flatten)]
        header: Header,
    },
    Begun {
        name: String,
    },
    Ended {
        name: String,
        #[serde(flatten)]
        ended: Ended,
    },
    Baked {
        wave: usize,
    },
    #[serde(other)]
    Other,
}

/// What an earlier run did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Past {
    pub ended: HashMap<String, Ended>,
    /// Hosts of which something was begun, whether or not they ended.
    pub begun: Vec<String>,
    /// Waves that were baked, counted from 0.
    pub baked: Vec<usize>,
}

/// A journal that is open and locked.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<File>,
    path: PathBuf,
}

impl Journal {
    /// Creates the journal of a run that begins.
    ///
    /// # Errors
    ///
    /// There is a file of that name, or it cannot be written.
    pub fn create(path: &Path, header: &Header) -> Result<Self, String> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let line = Line::Run { version: VERSION, header: header.clone() };
        let created = (|| {
            // It has its name when its first line is whole.
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            file.write_all(&bytes(&line)?)?;
            file.as_file().sync_all()?;
            if !sys::try_lock(file.as_file())? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let file = file.persist_noclobber(path).map_err(|error| error.error)?;
            sys::sync_directory(directory)?;
            Ok::<File, io::Error>(file)
        })();
        match created {
            Ok(file) => Ok(Self { file: Mutex::new(file), path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(format!("{} is there already: --continue goes on with it", path.display()))
            }
            Err(error) => Err(format!("cannot create the journal {}: {error}", path.display())),
        }
    }

    /// Opens the journal of a run that is to go on. What stands behind the last whole line was being written when the run
    /// ended, and is cut off.
    ///
    /// # Errors
    ///
    /// It is none, cannot be read, or another run has it.
    pub fn open(path: &Path) -> Result<(Self, Header, Past), String> {
        let problem = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| problem(&error))?;
        if !sys::try_lock(&file).map_err(|error| problem(&error))? {
            return Err(problem(&"another run has this journal"));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|error| problem(&error))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole < text.len() {
            text.truncate(whole);
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(|error| problem(&error))?;
        }
        file.seek(SeekFrom::End(0)).map_err(|error| problem(&error))?;
        let (header, past) = parse(&text).map_err(|what| problem(&what))?;
        Ok((Self { file: Mutex::new(file), path: path.to_owned() }, header, past))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that something is about to be done to a host.
    pub fn begun(&self, name: &str) -> io::Result<()> {
        self.append(&Line::Begun { name: name.to_owned() })
    }

    pub fn ended(&self, name: &str, ended: &Ended) -> io::Result<()> {
        self.append(&Line::Ended { name: name.to_owned(), ended: ended.clone() })
    }

    pub fn baked(&self, wave: usize) -> io::Result<()> {
        self.append(&Line::Baked { wave })
    }

    fn append(&self, line: &Line) -> io::Result<()> {
        let bytes = bytes(line)?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let end = file.stream_position()?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if written.is_err() {
            // A part of a line with others behind it could not be read.
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
        }
        written
    }
}

fn bytes(line: &Line) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn parse(text: &[u8]) -> Result<(Header, Past), String> {
    let mut lines = text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    let line = |number: usize, line: &[u8]| {
        serde_json::from_slice::<Line>(line).map_err(|error| format!("line {}: {error}", number + 1))
    };
    let first = lines.next().ok_or("it has no whole line: nothing was begun, so begin anew")?;
    let header = match line(first.0, first.1) {
        Ok(Line::Run { version: VERSION, header }) => header,
        Ok(Line::Run { version, .. }) => return Err(format!("a newer version of coracle wrote it (format {version})")),
        Ok(_) => return Err("it is no journal of 'coracle fleet': its first line is not that of a run".to_owned()),
        Err(error) => return Err(format!("it is no journal of 'coracle fleet': {error}")),
    };
    let mut past = Past::default();
    for (number, bytes) in lines {
        match line(number, bytes)? {
            Line::Begun { name } => past.begun.push(name),
            Line::Ended { name, ended } => {
                past.ended.insert(name, ended);
            }
            Line::Baked { wave } => past.baked.push(wave),
            Line::Run { .. } => return Err(format!("line {}: a second run", number + 1)),
            Line::Other => {}
        }
    }
    Ok((header, past))
}

impl Header {
    /// Whether `asked` is the same run as this one.
    ///
    /// # Errors
    ///
    /// What differs.
    pub fn check_continued_by(&self, asked: &Self) -> Result<(), String> {
        let differs =
            |what: &str, was: &str, is: &str| Err(format!("its run was of {what} {was}, and this is of {is}"));
        if self.command != asked.command {
            return differs("the command", &self.command, &asked.command);
        }
        if self.file_name != asked.file_name {
            return differs("the file", &self.file_name, &asked.file_name);
        }
        if self.sha256 != asked.sha256 {
            let digest = |header: &Self| header.sha256.clone().unwrap_or_else(|| "none".to_owned());
            return differs("a file with SHA-256", &digest(self), &digest(asked));
        }
        if self.activate != asked.activate {
            return Err("one of the two runs has --activate, and the other has not".to_owned());
        }
        if let Some(host) = self.hosts.iter().find(|host| !asked.hosts.contains(host)) {
            return Err(format!("its run was of {} ({}) as well, which is not named now", host.name, host.host));
        }
        match asked.hosts.iter().find(|host| !self.hosts.contains(host)) {
            Some(host) => Err(format!("its run was not of {} ({}): begin a run of its own", host.name, host.host)),
            None => Ok(()),
        }
    }

    /// Checks the ends of the waves, of which others count.
    ///
    /// # Errors
    ///
    /// They do not ascend, or leave hosts out.
    pub fn check_waves(&self) -> Result<(), String> {
        let ascends = self.wave_ends.windows(2).all(|pair| pair[0] < pair[1]);
        if ascends && self.wave_ends.last() == Some(&self.hosts.len()) {
            Ok(())
        } else {
            Err("its waves do not fit its hosts".to_owned())
        }
    }
}

impl Ended {
    /// The exit code, as far as this version knows it.
    pub fn exit(&self) -> Exit {
        let known = [Exit::Refused, Exit::Usage, Exit::Network, Exit::Verification, Exit::LocalFile];
        known.into_iter().find(|exit| exit.code() == self.exit_code).unwrap_or(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Ended, Header, HostLine, Journal, State};

    fn header() -> Header {
        let hosts = ["a", "b"].map(|name| HostLine { name: name.to_owned(), host: format!("{name}.local") });
        Header {
            command: "put".to_owned(),
            file_name: "image".to_owned(),
            sha256: Some("00".repeat(32)),
            activate: false,
            hosts: hosts.to_vec(),
            wave_ends: vec![1, 2],
        }
    }

    fn ended(state: State) -> Ended {
        Ended { state, reason: None, exit_code: 0 }
    }

    #[test]
    fn g2_a_journal_is_read_wherever_it_was_torn() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("journal");
        let journal = Journal::create(&path, &header()).expect("created");
        assert!(Journal::open(&path).expect_err("locked").contains("another run has this journal"));
        assert!(Journal::create(&path, &header()).expect_err("there").contains("--continue"));
        journal.begun("a").expect("noted");
        journal.ended("a", &ended(State::Done)).expect("noted");
        journal.baked(0).expect("noted");
        journal.begun("b").expect("noted");
        drop(journal);
        let whole = fs::read(&path).expect("read");
        let first = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).expect("written");
            let opened = Journal::open(&path);
            if cut < first {
                assert!(opened.expect_err("no line").contains("no whole line"), "{cut}");
                continue;
            }
            let (journal, read, past) = opened.expect("a journal");
            assert_eq!(read, header());
            journal.ended("b", &ended(State::Unchanged)).expect("noted");
            drop(journal);
            let (_, _, after) = Journal::open(&path).expect("a journal");
            assert_eq!(after.ended.len(), past.ended.len() + 1, "{cut}");
            assert_eq!((after.begun, after.baked), (past.begun, past.baked), "{cut}");
        }
    }

    #[test]
    fn g2_newer_lines_and_members_are_skipped_and_what_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("journal");
        drop(Journal::create(&path, &header()).expect("created"));
        let text = fs::read_to_string(&path).expect("read");
        let newer = r#"{"type":"ended","name":"a","state":"failed","reason":"why","exitCode":4,"colour":{"red":[1]}}
{"type":"weather","is":["fine"]}
{"type":"ended","name":"a","state":"done"}
"#;
        fs::write(&path, format!("{text}{newer}")).expect("written");
        let (_, _, past) = Journal::open(&path).expect("a journal");
        assert_eq!((past.ended.len(), past.ended["a"].state), (1, State::Done), "the last one counts");
        for (wrong, what) in [
            (format!("{text}{{\"type\":\"ended\"\n"), "line 2: "),
            (format!("{text}{{\"type\":\"ended\",\"name\":\"a\",\"state\":\"asleep\"}}\n"), "line 2: unknown variant"),
            (format!("{text}{text}"), "line 2: a second run"),
            (text.replace("\"version\":1", "\"version\":2"), "a newer version of coracle wrote it (format 2)"),
            ("bench-1\n".to_owned(), "is no journal of 'coracle fleet': line 1"),
            ("{\"type\":\"baked\",\"wave\":0}\n".to_owned(), "its first line is not that of a run"),
        ] {
            fs::write(&path, &wrong).expect("written");
            let error = Journal::open(&path).expect_err(what);
            assert!(error.contains(what) && error.contains("journal: "), "{error}");
            assert_eq!(fs::read_to_string(&path).expect("read"), wrong, "nothing is changed");
        }
    }

    #[test]
    fn g2_only_the_same_run_goes_on() {
        let was = header();
        assert_eq!(was.check_continued_by(&was), Ok(()));
        let changed = |change: &dyn Fn(&mut Header)| {
            let mut asked = header();
            change(&mut asked);
            was.check_continued_by(&asked).expect_err("another run")
        };
        assert!(changed(&|asked| asked.command = "delete".to_owned()).contains("command put"));
        assert!(changed(&|asked| asked.file_name = "other".to_owned()).contains("file image"));
        assert!(changed(&|asked| asked.sha256 = None).contains("of none"));
        assert!(changed(&|asked| asked.activate = true).contains("--activate"));
        assert!(changed(&|asked| drop(asked.hosts.pop())).contains("b (b.local) as well"));
        assert!(changed(&|asked| asked.hosts[0].host = "c".to_owned()).contains("a (a.local) as well"));
        let more = HostLine { name: "c".to_owned(), host: "c".to_owned() };
        assert!(changed(&|asked| asked.hosts.push(more.clone())).contains("was not of c (c)"));
    }
}
