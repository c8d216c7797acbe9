//! Target: the server's reading of requests.

use coracle_core::{
    Action, Code, DigestKind, FileInfo, FileName, Finished, Hasher, Instant, Reply, Request, ServerConfig,
    ServerSession, Version,
};
use serde_json::Value;

use crate::judge;

/// The version of the only file.
const SIZE: u64 = 1_000;
const VERSION: &str = "v1";
const NOW: Instant = Instant::from_millis(0);

/// The server reads what another parser reads from a request: the exchange, the name, the range, the digest, or the code of the
/// error, in the protocol's order of checks.
pub fn target(data: &[u8]) {
    if !judge::is_object(data) || judge::depth(data) > 8 || data.len() >= 4_096 {
        return;
    }
    let config = ServerConfig::new().with_classic(true);
    let mut session = ServerSession::new(&config, vec![0; 4_096], NOW);
    assert_eq!(session.receive(data, NOW).0, data.len(), "not taken to its end");
    let expected = meaning(data);
    let told = answer(&mut session);
    let is_same = match (&expected, &told) {
        // The protocol does not define half of a surrogate pair in the type.
        (Meaning::Refused(Code::UnknownType | Code::BadRequest), Meaning::Refused(code)) if has_lone_type(data) => {
            matches!(code, Code::UnknownType | Code::BadRequest)
        }
        _ => expected == told,
    };
    assert!(is_same, "{} means {expected:?}, and is answered with {told:?}", data.escape_ascii());
}

#[derive(Debug, PartialEq)]
enum Meaning {
    Hello,
    List(Option<String>),
    Stat(String, Option<DigestKind>),
    Get { name: String, offset: u64, length: u64, digest: Option<DigestKind> },
    ClassicList,
    Select(Option<String>),
    Refused(Code),
}

/// The session's reading of the request.
fn answer(session: &mut ServerSession<'_, Vec<u8>>) -> Meaning {
    let asked = match session.action() {
        Action::Reply(Request::List { path }) => Meaning::List(path.map(|path| path.as_str().to_owned())),
        Action::Reply(Request::Stat { name, digest, .. }) => Meaning::Stat(name.as_str().to_owned(), digest),
        Action::Reply(Request::Get { name, digest, .. }) => {
            Meaning::Get { name: name.as_str().to_owned(), offset: 0, length: 0, digest }
        }
        Action::Reply(Request::Select { name }) => Meaning::Select(Some(name.as_str().to_owned())),
        _ => {
            let line = line(session, None);
            return match (line["type"].as_str(), line["type"].as_u64()) {
                (Some("hello"), _) => Meaning::Hello,
                (Some("error"), _) => refused(&line),
                (None, Some(2)) if line["data"] == -1 && line["fileName"] == "" => Meaning::Select(None),
                _ => panic!("{line}"),
            };
        }
    };
    if let Meaning::List(_) = asked {
        session.reply(Reply::Listing, NOW);
        let is_classic = !matches!(session.action(), Action::Entry);
        return if is_classic { Meaning::ClassicList } else { asked };
    }
    let info = FileInfo::new(SIZE, Version::new(VERSION).expect("a version"));
    session.reply(Reply::File { info: &info, known: None }, NOW);
    let digest = if let Meaning::Stat(_, digest) | Meaning::Get { digest, .. } = &asked { *digest } else { None };
    let line = line(session, digest);
    match asked {
        _ if line["type"] == "error" => refused(&line),
        Meaning::Stat(name, digest) => {
            assert_eq!(line["fileName"], name.as_str());
            assert_eq!(line["length"], SIZE);
            Meaning::Stat(name, digest)
        }
        Meaning::Get { name, digest, .. } => {
            assert_eq!(line["fileName"], name.as_str());
            let number = |member: &str| line[member].as_u64().expect("a number");
            Meaning::Get { name, offset: number("offset"), length: number("length"), digest }
        }
        asked => asked,
    }
}

fn refused(line: &Value) -> Meaning {
    let code = line["code"].as_str().and_then(Code::from_word);
    Meaning::Refused(code.unwrap_or_else(|| panic!("no code: {line}")))
}

/// The next line that the session sends.
fn line(session: &mut ServerSession<'_, Vec<u8>>, digest: Option<DigestKind>) -> Value {
    let mut line = Vec::new();
    loop {
        match session.action() {
            Action::SendBytes { bytes, .. } => {
                line.extend_from_slice(bytes);
                let len = bytes.len();
                session.sent(len, NOW);
            }
            Action::Hash { len, .. } => session.hashed(len, NOW),
            Action::Finish { .. } if line.is_empty() => {
                let digest = digest.and_then(Hasher::new).map(Hasher::finish);
                session.finished(Finished::new(digest, true), NOW);
            }
            _ => break,
        }
    }
    serde_json::from_slice(&line).unwrap_or_else(|error| panic!("{error}: {}", line.escape_ascii()))
}

/// The meaning of the object by PROTOCOL.md.
fn meaning(object: &[u8]) -> Meaning {
    read(object).unwrap_or_else(Meaning::Refused)
}

fn read(object: &[u8]) -> Result<Meaning, Code> {
    let members = Members(judge::members(object));
    let kind = members.one("type")?.ok_or(Code::BadRequest)?;
    let word = judge::text(kind);
    match (word.as_deref(), judge::number(kind)) {
        (Some("hello"), _) => Ok(Meaning::Hello),
        (Some("list"), _) => {
            let path = members.text("path")?.unwrap_or_default();
            if path.is_empty() { Ok(Meaning::List(None)) } else { Ok(Meaning::List(Some(name(path)?))) }
        }
        (Some("stat"), _) => {
            let file = members.text("fileName")?.ok_or(Code::BadRequest)?;
            let digest = members.digest(None)?;
            Ok(Meaning::Stat(name(file)?, digest))
        }
        (Some("get"), _) => members.get(),
        (Some(_), _) => Err(Code::UnknownType),
        (None, Some(1)) => Ok(Meaning::ClassicList),
        (None, Some(2)) => {
            let file = members.text("fileName")?.ok_or(Code::BadRequest)?;
            Ok(Meaning::Select(name(file).ok()))
        }
        (None, Some(_)) => Err(Code::UnknownType),
        (None, None) => Err(Code::BadRequest),
    }
}

struct Members<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Members<'a> {
    /// The value of the member with exactly this name.
    fn one(&self, name: &str) -> Result<Option<&'a [u8]>, Code> {
        let quoted = format!("\"{name}\"");
        let mut found = self.0.iter().filter(|(known, _)| *known == quoted.as_bytes());
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Code::BadRequest),
            (found, None) => Ok(found.map(|(_, value)| *value)),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, Code> {
        self.one(name)?.map(|value| judge::text(value).ok_or(Code::BadRequest)).transpose()
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Code> {
        self.one(name)?.map(|value| judge::number(value).ok_or(Code::BadRequest)).transpose()
    }

    fn digest(&self, default: Option<DigestKind>) -> Result<Option<DigestKind>, Code> {
        match self.text("digest")?.as_deref() {
            None => Ok(default),
            Some("none") => Ok(None),
            Some(word) => DigestKind::from_word(word).map(Some).ok_or(Code::Unsupported),
        }
    }

    fn get(&self) -> Result<Meaning, Code> {
        let offset = self.number("offset")?.unwrap_or(0);
        let length = self.number("length")?.unwrap_or(u64::MAX);
        let digest_from = self.number("digestFrom")?.unwrap_or(offset);
        let version = self.text("version")?;
        let file = self.text("fileName")?.ok_or(Code::BadRequest)?;
        let digest = self.digest(Some(DigestKind::Crc32))?;
        let name = name(file)?;
        if version.is_some_and(|version| version != VERSION) {
            return Err(Code::Changed);
        }
        if offset > SIZE || digest_from > offset {
            return Err(Code::BadRange);
        }
        Ok(Meaning::Get { name, offset, length: length.min(SIZE - offset), digest })
    }
}

/// The rules of names, implemented independently of the core.
fn name(text: String) -> Result<String, Code> {
    let is_good = text.len() <= 255
        && text.split('/').all(|component| !matches!(component, "" | "." | ".."))
        && !text.chars().any(|character| character.is_control() || character == '\\');
    assert_eq!(is_good, FileName::new(&text).is_ok(), "{text:?}");
    if is_good { Ok(text) } else { Err(Code::BadName) }
}

fn has_lone_type(object: &[u8]) -> bool {
    let members = Members(judge::members(object));
    matches!(members.one("type"), Ok(Some(value)) if value.starts_with(b"\"") && judge::text(value).is_none())
}
