//! Comparison with a server whose values differ from those in the documents: a board, or one with other settings.
//!
//! Does not use the session, so that tests over a socket can include it.

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

/// The longest `message`, in bytes.
const MESSAGE_MAX: usize = 200;

/// Members whose values may differ; their JSON type may not.
const OWN: [&str; 15] = [
    "server",
    "name",
    "maxRequest",
    "chunkSize",
    "idle_ms",
    "request_ms",
    "stall_ms",
    "time",
    "features",
    "digests",
    "actions",
    "modified",
    "total",
    "maxFile",
    "max",
];

/// The values of the server, in place of those in the documents.
#[derive(Debug, Default)]
pub struct OtherServer {
    /// Behind a lock, since a server tells the version of what it was sent.
    versions: Mutex<Vec<Version>>,
    /// Names that files were given, whose versions may be new.
    renamed: Mutex<Vec<Value>>,
}

#[derive(Clone, Debug)]
struct Version {
    file_name: String,
    documented: String,
    real: String,
}

impl OtherServer {
    /// Records that the file `file_name` has the version `real`, from a `stat`, where the documents have `documented`.
    pub fn set_version(&self, file_name: &str, documented: &str, real: &str) {
        let (file_name, documented, real) = (file_name.into(), documented.into(), real.into());
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.push(Version { file_name, documented, real });
    }

    /// The real version of the file `name` that the documents have as `documented`.
    fn real(&self, name: &Value, documented: &str) -> Option<String> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |version: &&Version| *name == version.file_name[..] && documented == version.documented;
        versions.iter().rev().find(same).map(|version| version.real.clone())
    }

    fn is_renamed(&self, name: &Value) -> bool {
        self.renamed.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// What the client sends to this server for `documented`, with the file's real version.
    pub fn request(&self, documented: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(documented) else { return documented.to_vec() };
        let Ok(request) = serde_json::from_str::<Map<String, Value>>(text) else { return documented.to_vec() };
        if let Some(to) = request.get("to") {
            self.renamed.lock().unwrap_or_else(PoisonError::into_inner).push(to.clone());
        }
        let (Some(name), Some(asked)) = (request.get("fileName"), request.get("version").and_then(Value::as_str))
        else {
            return documented.to_vec();
        };
        let member = |version: &str| format!("\"version\":\"{version}\"");
        match self.real(name, asked) {
            Some(real) => text.replace(&member(asked), &member(&real)).into_bytes(),
            None => documented.to_vec(),
        }
    }

    /// Compares a documented message of the classic dialect, which has no line feed, with the one that was sent. Names in a
    /// list come in any order; `readCnt` and `lastSize` have to fit the size, for some length of the chunks.
    ///
    /// # Errors
    ///
    /// The difference.
    pub fn matches_message(&self, documented: &str, sent: &str) -> Result<(), String> {
        let read =
            |text: &str| serde_json::from_str::<Map<String, Value>>(text).map_err(|error| format!("{text}: {error}"));
        let (mut documented, mut sent) = (read(documented)?, read(sent)?);
        for message in [&mut documented, &mut sent] {
            if let Some(Value::Array(names)) = message.get_mut("fileName") {
                names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
        }
        let chunks = |message: &mut Map<String, Value>| Some((message.remove("readCnt")?, message.remove("lastSize")?));
        let (expected, found) = (chunks(&mut documented), chunks(&mut sent));
        let size = sent.get("data").and_then(Value::as_u64);
        let fits = match (expected, found) {
            (None, None) => true,
            (Some(_), Some((count, last))) => match (size, count.as_u64(), last.as_u64()) {
                (Some(size), Some(count), Some(last)) if count > 0 => {
                    let before = size.checked_sub(last);
                    // All chunks but the last one have one length, which is at least the last one's.
                    let is_even = |before: u64| match count - 1 {
                        0 => before == 0,
                        others => before.is_multiple_of(others) && before / others >= last,
                    };
                    (1..=size).contains(&last) && before.is_some_and(is_even)
                }
                (Some(0) | None, Some(0), Some(0)) => true,
                _ => false,
            },
            _ => false,
        };
        if fits && documented == sent { Ok(()) } else { Err(format!("{sent:?} in the place of {documented:?}")) }
    }

    /// Compares a documented line of the server with the one that was sent.
    ///
    /// # Errors
    ///
    /// The member that differs.
    pub fn matches_line(&self, documented: &str, sent: &str) -> Result<(), String> {
        let read =
            |text: &str| serde_json::from_str::<Map<String, Value>>(text).map_err(|error| format!("{text}: {error}"));
        let (documented, sent) = (read(documented)?, read(sent)?);
        let members = documented.keys().chain(sent.keys().filter(|member| !documented.contains_key(*member)));
        for member in members {
            let (expected, found) = (documented.get(member), sent.get(member));
            let fits = match (member.as_str(), expected, found) {
                ("modified" | "time" | "retry_ms", _, None) => true,
                ("modified" | "time" | "retry_ms", None, Some(found)) => found.is_u64(),
                ("message", Some(_), Some(Value::String(message))) => is_message(message),
                ("version", Some(Value::String(expected)), Some(Value::String(found))) => {
                    let name = sent.get("fileName").unwrap_or(&Value::Null);
                    match (self.real(name, expected), name.as_str()) {
                        (Some(real), _) => *found == real,
                        // The end of a put, and a file with a new name, tell a version that nobody knew.
                        (None, Some(text))
                            if sent.get("type").is_some_and(|kind| kind == "end") || self.is_renamed(name) =>
                        {
                            self.set_version(text, expected, found);
                            true
                        }
                        (None, _) => found == expected,
                    }
                }
                ("readCnt", Some(_), Some(found)) => chunks(&sent).is_some_and(|(count, _)| *found == count),
                ("lastSize", Some(_), Some(found)) => chunks(&sent).is_some_and(|(_, last)| *found == last),
                (own, Some(expected), Some(found)) if OWN.contains(&own) => {
                    std::mem::discriminant(expected) == std::mem::discriminant(found)
                }
                _ => expected == found,
            };
            if !fits {
                return Err(format!("{member}: {found:?} in the place of {expected:?}"));
            }
        }
        Ok(())
    }
}

/// Whether `text` is valid as the `message` of an error.
pub fn is_message(text: &str) -> bool {
    !text.is_empty() && text.len() <= MESSAGE_MAX && !text.chars().any(char::is_control)
}

/// `readCnt` and `lastSize` that follow from a header's other members.
fn chunks(header: &Map<String, Value>) -> Option<(u64, u64)> {
    let length = header.get("length")?.as_u64()?;
    let chunk_size = header.get("chunkSize")?.as_u64().filter(|size| *size > 0)?;
    let last = if length > 0 && length.is_multiple_of(chunk_size) { chunk_size } else { length % chunk_size };
    Some((length.div_ceil(chunk_size), last))
}

#[cfg(test)]
mod tests {
    use super::OtherServer;

    const HEADER: &str =
        r#"{"type":"file","fileName":"a","length":2048,"chunkSize":1024,"readCnt":2,"lastSize":1024,"version":"v1"}"#;

    fn board() -> OtherServer {
        let board = OtherServer::default();
        board.set_version("a", "v1", "real");
        board
    }

    #[test]
    fn versions_are_the_servers() {
        let board = board();
        let ask = |version: &str| format!(r#"{{"fileName":"a","version":"{version}"}}"#).into_bytes();
        assert_eq!(board.request(&ask("v1")), ask("real"));
        assert_eq!(board.request(&ask("v0")), ask("v0"));
        assert_eq!(board.request(b"{\"fileName\":\"a\""), b"{\"fileName\":\"a\"");
        assert!(board.matches_line(HEADER, &HEADER.replace("v1", "real")).is_ok());
        assert!(board.matches_line(HEADER, HEADER).is_err());
    }

    /// What a server stores has a version that only it knows, from then on always the same.
    #[test]
    fn the_end_of_a_put_tells_a_version() {
        let board = board();
        let line = |kind: &str, version: &str| format!(r#"{{"type":"{kind}","fileName":"b","version":"{version}"}}"#);
        assert!(board.matches_line(&line("file", "w1"), &line("file", "real")).is_err());
        assert!(board.matches_line(&line("end", "w1"), &line("end", "real")).is_ok());
        assert!(board.matches_line(&line("file", "w1"), &line("file", "real")).is_ok());
        assert!(board.matches_line(&line("file", "w1"), &line("file", "other")).is_err());
        board.request(br#"{"type":"rename","fileName":"b","to":"c"}"#);
        let renamed = |version: &str| line("file", version).replace("\"b\"", "\"c\"");
        assert!(board.matches_line(&renamed("w1"), &renamed("new")).is_ok());
        assert!(board.matches_line(&renamed("w1"), &renamed("real")).is_err());
    }

    #[test]
    fn numbers_follow_from_the_chunk_size() {
        let sent = HEADER.replace("v1", "real").replace("\"chunkSize\":1024", "\"chunkSize\":1000");
        assert!(board().matches_line(HEADER, &sent).is_err());
        let sent = sent.replace("\"readCnt\":2,\"lastSize\":1024", "\"readCnt\":3,\"lastSize\":48");
        assert!(board().matches_line(HEADER, &sent).is_ok());
        assert!(board().matches_line(HEADER, &sent.replace("2048", "2049")).is_err());
    }

    #[test]
    fn messages_of_the_classic_dialect() {
        let board = board();
        let list = r#"{"type":1,"fileName":["a","b"],"data":2}"#;
        assert!(board.matches_message(list, r#"{"type":1,"fileName":["b","a"],"data":2}"#).is_ok());
        assert!(board.matches_message(list, r#"{"type":1,"fileName":["b"],"data":2}"#).is_err());
        let file = r#"{"type":2,"data":2500,"fileName":"a","readCnt":3,"lastSize":452}"#;
        for (count, last, fits) in [(1, 2500, true), (25, 100, true), (0, 0, false), (2, 2500, false), (3, 0, false)] {
            let sent = format!(r#"{{"type":2,"data":2500,"fileName":"a","readCnt":{count},"lastSize":{last}}}"#);
            assert_eq!(board.matches_message(file, &sent).is_ok(), fits, "{sent}");
        }
        assert!(board.matches_message(file, &file.replace("2500", "2499")).is_err());
        let none = r#"{"type":2,"data":-1,"fileName":"a","readCnt":0,"lastSize":0}"#;
        assert!(board.matches_message(none, none).is_ok() && board.matches_message(none, file).is_err());
    }

    #[test]
    fn nothing_else_may_differ() {
        let line = r#"{"type":"error","code":"changed","message":"…"}"#;
        let board = board();
        assert!(board.matches_line(line, r#"{"type":"error","code":"changed","message":"other"}"#).is_ok());
        for sent in [
            r#"{"type":"error","code":"busy","message":"other"}"#,
            r#"{"type":"error","code":"changed","message":7}"#,
            r#"{"type":"error","code":"changed","message":""}"#,
            r#"{"type":"error","code":"changed"}"#,
            r#"{"type":"error","code":"changed","message":"other","crc32":"00000000"}"#,
        ] {
            assert!(board.matches_line(line, sent).is_err(), "{sent}");
        }
    }
}
