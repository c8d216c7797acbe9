//! The languages of the servers: what to ask, and where an answer ends.

use std::str::FromStr;

use memchr::memchr;
use memchr::memmem;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// HTTP/1.1.
    Http,
    /// Coracle's own, with this word for `digest`.
    Coracle(&'static str),
    /// Text that is acknowledged with one fixed sentence.
    Text,
}

/// The text that is sent, and the sentence that comes back for it.
pub const TEXT: &[u8] = "早上好".as_bytes();
pub const SENTENCE: &[u8] = "收到客户端信息".as_bytes();

impl FromStr for Dialect {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "http" => Ok(Self::Http),
            "coracle" => Ok(Self::Coracle("none")),
            "coracle-crc32" => Ok(Self::Coracle("crc32")),
            "text" => Ok(Self::Text),
            _ => Err("one of http, coracle, coracle-crc32, text".to_owned()),
        }
    }
}

/// What is known of an answer once its head is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub len: usize,
    pub body_len: u64,
    /// A line follows the body.
    pub has_trailer: bool,
}

impl Dialect {
    /// Asks for a file; the connection is to be `kept` or not.
    pub fn ask(self, name: &str, kept: bool) -> Vec<u8> {
        let connection = if kept { "keep-alive" } else { "close" };
        match self {
            Self::Http => {
                format!("GET /{name} HTTP/1.1\r\nHost: bench\r\nConnection: {connection}\r\n\r\n").into_bytes()
            }
            Self::Coracle(digest) => {
                format!(r#"{{"type":"get","fileName":"{name}","digest":"{digest}"}}"#).into_bytes()
            }
            Self::Text => TEXT.to_vec(),
        }
    }

    /// Asks what files there are.
    pub fn ask_list(self) -> Vec<u8> {
        match self {
            Self::Coracle(_) => br#"{"type":"list"}"#.to_vec(),
            _ => self.ask("", false),
        }
    }

    /// Reads the head of an answer from its first bytes; `None` when there are too few.
    pub fn head(self, bytes: &[u8]) -> Result<Option<Head>, String> {
        match self {
            Self::Http => http_head(bytes),
            Self::Coracle(_) => coracle_head(bytes),
            Self::Text => Ok(Some(Head { len: 0, body_len: SENTENCE.len() as u64, has_trailer: false })),
        }
    }

    /// Checks the line behind a body, without its end.
    pub fn check_trailer(self, line: &[u8], digest: u32) -> Result<(), String> {
        let wanted = match self {
            Self::Coracle("crc32") => format!(r#"{{"type":"end","crc32":"{digest:08x}"}}"#),
            _ => r#"{"type":"end"}"#.to_owned(),
        };
        if line == wanted.as_bytes() {
            return Ok(());
        }
        Err(format!("the line behind the body is {:?}, not {wanted:?}", String::from_utf8_lossy(line)))
    }
}

fn http_head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes).map_err(|error| error.to_string())? {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial => return Ok(None),
    };
    if response.code != Some(200) {
        return Err(format!("HTTP status {:?}", response.code));
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body_len = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    let body_len = body_len.ok_or("an answer without a Content-Length")?;
    Ok(Some(Head { len, body_len, has_trailer: false }))
}

fn coracle_head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = memchr(b'\n', bytes) else { return Ok(None) };
    let line = &bytes[..end];
    let wrong = || format!("no header: {}", String::from_utf8_lossy(line));
    let start = memmem::find(line, br#""length":"#).ok_or_else(wrong)? + br#""length":"#.len();
    let digits = line[start..].iter().take_while(|byte| byte.is_ascii_digit());
    let body_len = digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Ok(Some(Head { len: end + 1, body_len, has_trailer: true }))
}
