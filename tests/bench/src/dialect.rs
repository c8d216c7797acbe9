//! The protocols of the servers: requests, and the ends of responses.

use std::str::FromStr;
use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;

/// The protocol of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// HTTP/1.1.
    Http,
    /// Coracle's, with this word for `digest`.
    Coracle(&'static str),
    /// Text that is acknowledged with one fixed sentence.
    Text,
}

/// The text that is sent, and the sentence that is its response.
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

/// The contents of a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub len: usize,
    pub body_len: u64,
}

impl Dialect {
    /// A request for a file; `kept` keeps the connection open.
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

    /// A request for the listing of a directory.
    pub fn ask_list(self, name: &str) -> Vec<u8> {
        match self {
            Self::Coracle(_) => format!(r#"{{"type":"list","path":"{name}"}}"#).into_bytes(),
            _ => self.ask(&format!("{name}/"), false),
        }
    }

    /// Reads the head of a response from its first bytes; `None` if there are too few.
    pub fn head(self, bytes: &[u8]) -> Result<Option<Head>, String> {
        match self {
            Self::Http => http_head(bytes),
            Self::Coracle(_) => coracle_head(bytes),
            Self::Text => Ok(Some(Head { len: 0, body_len: SENTENCE.len() as u64 })),
        }
    }

    /// The trailer after a body with this digest.
    pub fn trailer(self, digest: u32) -> Vec<u8> {
        match self {
            Self::Coracle("crc32") => format!("{{\"type\":\"end\",\"crc32\":\"{digest:08x}\"}}\n").into_bytes(),
            Self::Coracle(_) => b"{\"type\":\"end\"}\n".to_vec(),
            Self::Http | Self::Text => Vec::new(),
        }
    }
}

/// Whether the bytes after a body may be the whole trailer: they end like the `wanted` line, or it is empty.
pub fn is_trailer(bytes: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || bytes.last() == Some(&b'\n')
}

/// Checks a trailer.
pub fn check_trailer(bytes: &[u8], wanted: &[u8]) -> Result<(), String> {
    if bytes == wanted {
        return Ok(());
    }
    let shown = String::from_utf8_lossy;
    Err(format!("behind the body stands {:?}, not {:?}", shown(bytes), shown(wanted)))
}

// Both heads are parsed in the same way, so that the client's cost is the same for every server.

fn http_head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = HTTP_END.find(bytes) else { return Ok(None) };
    let head = &bytes[..end];
    if !head.starts_with(b"HTTP/1.1 200 ") && !head.starts_with(b"HTTP/1.0 200 ") {
        return Err(format!("not a status of 200: {}", String::from_utf8_lossy(head)));
    }
    Ok(Some(Head { len: end + HTTP_END.needle().len(), body_len: number_behind(&HTTP_LENGTH, head)? }))
}

fn coracle_head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = memchr(b'\n', bytes) else { return Ok(None) };
    Ok(Some(Head { len: end + 1, body_len: number_behind(&LENGTH, &bytes[..end])? }))
}

fn number_behind(name: &Finder<'_>, head: &[u8]) -> Result<u64, String> {
    let missing = || format!("no length: {}", String::from_utf8_lossy(head));
    let start = name.find(head).ok_or_else(missing)? + name.needle().len();
    let digits = head[start..].iter().take_while(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0')))
}

// Building one takes longer than searching with it.
static LENGTH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""length":"#));
static HTTP_LENGTH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\nContent-Length: "));
static HTTP_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
