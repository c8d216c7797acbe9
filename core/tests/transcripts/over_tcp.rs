//! Plays transcripts over a socket, against any server of the store's files: on this machine or a board.
//!
//! Does not use the session, so that whole-system tests can include it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::document::{Step, StoreLine, Transcript};
use super::other_server::OtherServer;

/// How long a response may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A server at an address, and its response to `hello`.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// The features of `hello`, and `classic` where it has that dialect.
    features: Vec<String>,
    max_request: usize,
    /// The text policy; `None`: reject.
    text: Option<String>,
    /// How many bytes are sent at once.
    piece_len: usize,
    other: OtherServer,
}

impl Server {
    /// Requests the features of the server at `address`, and the versions of the store's files.
    ///
    /// # Errors
    ///
    /// It does not respond, or lacks a file.
    pub fn at(address: SocketAddr, has_classic: bool, store: &[StoreLine]) -> Result<Self, String> {
        let mut wire = Wire::connect(address)?;
        wire.send(b"{\"type\":\"hello\"}")?;
        let hello: Value = serde_json::from_str(&wire.line()?).map_err(|error| error.to_string())?;
        let words = [&hello["features"], &hello["digests"]].into_iter().filter_map(Value::as_array).flatten();
        let mut features: Vec<String> = words.filter_map(Value::as_str).map(String::from).collect();
        features.extend(has_classic.then(|| "classic".into()));
        let max_request = hello["maxRequest"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
        let other = OtherServer::default();
        for (name, line) in store.iter().filter_map(|line| Some((line.file_name.as_ref()?, line))) {
            let ask = serde_json::json!({"type": "stat", "fileName": name});
            wire.send(ask.to_string().as_bytes())?;
            let header = wire.line()?;
            let members: Value = serde_json::from_str(&header).map_err(|error| error.to_string())?;
            other.set_version(name, &line.version, members["version"].as_str().ok_or(header)?);
        }
        Ok(Self {
            address,
            features,
            max_request: max_request.ok_or("no maxRequest")?,
            text: None,
            piece_len: usize::MAX,
            other,
        })
    }

    /// The same server with this text policy, in a transcript's words.
    #[allow(dead_code, reason = "not every server has another policy than to reject")]
    pub fn with_text(self, text: &str) -> Self {
        Self { text: Some(text.into()), ..self }
    }

    /// The same server, to which clients send so many bytes at once.
    #[allow(dead_code, reason = "not every test sends in pieces")]
    pub fn with_pieces(self, piece_len: usize) -> Self {
        Self { piece_len, ..self }
    }

    /// Whether `transcript` can be played here: it needs neither the server's owner nor too much time.
    pub fn can_play(&self, transcript: &Transcript, longest_wait_ms: u64) -> bool {
        let has = |word: &str| self.features.iter().any(|feature| feature == word);
        transcript.refusing.is_none()
            && transcript.rights.is_none()
            && transcript.unknown.is_none()
            && transcript.retry_ms == 0
            && transcript.text == self.text
            && transcript.max_request.is_none_or(|bytes| bytes == self.max_request)
            && transcript
                .features
                .iter()
                .all(|word| word.strip_prefix('!').map_or_else(|| has(word), |word| !has(word)))
            && transcript.steps.iter().all(|step| match step {
                Step::Unread | Step::Read | Step::Stop | Step::Revoke | Step::Displace | Step::Change(_) => false,
                Step::Wait(millis) => *millis <= longest_wait_ms,
                _ => true,
            })
    }

    /// Plays `transcript` on a new connection.
    ///
    /// # Errors
    ///
    /// The step at which the server differs from it, and how.
    pub fn play(&self, transcript: &Transcript, store: &[StoreLine]) -> Result<(), String> {
        let mut wire = Wire::connect(self.address)?;
        let mut steps = &transcript.steps[..];
        while let Some((step, rest)) = steps.split_first() {
            let entries = steps.iter().take_while(|step| is_entry(step)).count();
            let outcome = match entries {
                0 => self.step(&mut wire, transcript, step, store),
                _ => self.entries(&mut wire, &steps[..entries]),
            };
            steps = if entries > 0 { &steps[entries..] } else { rest };
            outcome.map_err(|error| format!("{}, {step:?}: {error}", transcript.name))?;
        }
        if !matches!(transcript.steps.last(), Some(Step::Close | Step::Abort)) {
            // It still waits for requests, and sends nothing more.
            let last = b"{\"type\":\"fly\"}";
            let outcome = wire.send(last).and_then(|()| wire.line());
            let line = outcome.map_err(|error| format!("{}, at the end: {error}", transcript.name))?;
            if !line.contains("unknownType") {
                return Err(format!("{}, at the end: {line}", transcript.name));
            }
        }
        Ok(())
    }

    /// A listing's order is the server's own.
    fn entries(&self, wire: &mut Wire, steps: &[Step]) -> Result<(), String> {
        let mut missing: Vec<&Step> = steps.iter().collect();
        while !missing.is_empty() {
            let sent = wire.line()?;
            let fits = |step: &&Step| matches!(step, Step::Line(line) if self.other.matches_line(line, &sent).is_ok());
            let Some(place) = missing.iter().position(fits) else {
                return Err(format!("{sent} in the place of one of {missing:?}"));
            };
            missing.remove(place);
        }
        Ok(())
    }

    fn step(&self, wire: &mut Wire, transcript: &Transcript, step: &Step, store: &[StoreLine]) -> Result<(), String> {
        match step {
            Step::Send(bytes) => {
                let request = self.other.request(bytes);
                if transcript.arrives_whole || self.piece_len >= request.len() {
                    return wire.send(&request);
                }
                // A server that has closed meanwhile takes no more; what it said is read later.
                let mut pieces = request.chunks(self.piece_len);
                while pieces.next().is_some_and(|piece| wire.send(piece).is_ok()) {}
                Ok(())
            }
            Step::Eof => wire.stream.get_ref().shutdown(Shutdown::Write).map_err(|error| error.to_string()),
            Step::Wait(millis) => {
                std::thread::sleep(Duration::from_millis(*millis));
                Ok(())
            }
            Step::Line(line) => self.other.matches_line(line, &wire.line()?),
            Step::Bytes(bytes) => wire.expect(bytes),
            Step::Message(message) => self.other.matches_message(message, &wire.message()?),
            Step::Slice { name, from, to } => {
                let line = store.iter().find(|line| line.file_name.as_deref() == Some(name.as_str()));
                let contents = line.ok_or("no such file")?.contents();
                wire.expect(contents.get(*from..*to).ok_or("no such range")?)
            }
            Step::Close => match wire.stream.read(&mut [0]) {
                Ok(0) => Ok(()),
                other => Err(format!("{other:?} in the place of the end")),
            },
            // A reset may arrive as such or, after a body, as the end.
            Step::Abort => match wire.stream.read(&mut [0]) {
                Ok(0) => Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
                other => Err(format!("{other:?} in the place of the end")),
            },
            Step::Unread | Step::Read | Step::Stop | Step::Revoke | Step::Displace | Step::Change(_) => {
                Err("not over a socket".into())
            }
        }
    }
}

fn is_entry(step: &Step) -> bool {
    matches!(step, Step::Line(line) if line.starts_with(r#"{"type":"entry""#))
}

/// The client's end.
struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(|error| error.to_string())?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(|error| error.to_string())?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.get_mut().write_all(bytes).map_err(|error| error.to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        self.stream.by_ref().take(1024).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        let sent = line.strip_suffix(b"\n").ok_or_else(|| format!("no line: {}", line.escape_ascii()))?;
        // Heartbeats stand in front of a line.
        let sent = sent.trim_ascii_start();
        String::from_utf8(sent.to_vec()).map_err(|error| error.to_string())
    }

    /// Reads one JSON object, and nothing after it.
    fn message(&mut self) -> Result<String, String> {
        let mut message = Vec::new();
        while let Err(error) = serde_json::from_slice::<Value>(&message) {
            if !error.is_eof() {
                return Err(format!("{error}: {}", message.escape_ascii()));
            }
            let mut byte = [0];
            self.stream.read_exact(&mut byte).map_err(|error| format!("{error} behind {}", message.escape_ascii()))?;
            message.push(byte[0]);
        }
        String::from_utf8(message).map_err(|error| error.to_string())
    }

    fn expect(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut sent = vec![0; bytes.len()];
        self.stream.read_exact(&mut sent).map_err(|error| error.to_string())?;
        if sent == bytes { Ok(()) } else { Err(format!("the server sent: {}", sent.escape_ascii())) }
    }
}
