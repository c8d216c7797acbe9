//! A server that says what a test has written down.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use coracle_core::{Digest, DigestKind, Hasher};

pub const HELLO: &str = concat!(
    r#"{"type":"hello","protocol":1,"server":"test","name":"","maxRequest":512,"chunkSize":1024,"idle_ms":0,"request_ms":0,"#,
    r#""stall_ms":0,"features":["stat","get","wait"],"digests":["crc32"]}"#,
    "\n"
);

/// Serves one connection: each request must have the words of its line of `script`, and is answered by its text. Ends with how many
/// bytes came behind the last one.
pub fn start(script: Vec<(Vec<&'static str>, String)>) -> (SocketAddr, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut requests = BufReader::new(stream.try_clone().expect("a clone"));
        for (words, answer) in script {
            let mut request = String::new();
            requests.read_line(&mut request).expect("a request");
            for word in words {
                match word.strip_prefix('!') {
                    Some(word) => assert!(!request.contains(word), "{word} in {request}"),
                    None => assert!(request.contains(word), "{word} not in {request}"),
                }
            }
            stream.write_all(answer.as_bytes()).expect("the client reads");
        }
        requests.read_to_end(&mut Vec::new()).unwrap_or(0)
    });
    (address, serving)
}

/// The response to a `get` of `log` from `offset` on, with a digest of `before`, too.
pub fn piece(version: &str, offset: usize, before: &str, text: &str) -> String {
    let (size, length) = (offset + text.len(), text.len());
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("always");
    hasher.update(before.as_bytes());
    hasher.update(text.as_bytes());
    let Digest::Crc32(crc32) = hasher.finish() else { panic!("it is one") };
    let chunks = length.min(1);
    format!(
        "{{\"type\":\"file\",\"fileName\":\"log\",\"fileSize\":{size},\"offset\":{offset},\"length\":{length},\"chunkSize\":1024,\
         \"readCnt\":{chunks},\"lastSize\":{length},\"version\":\"{version}\",\"digest\":\"crc32\"}}\n{text}\
         {{\"type\":\"end\",\"crc32\":\"{crc32:08x}\"}}\n"
    )
}

/// The response to a `stat` of `log`.
pub fn stat(version: &str, size: usize) -> String {
    format!(
        "{{\"type\":\"file\",\"fileName\":\"log\",\"fileSize\":{size},\"offset\":0,\"length\":{size},\"chunkSize\":1024,\
         \"readCnt\":1,\"lastSize\":{size},\"version\":\"{version}\",\"digest\":\"none\"}}\n"
    )
}

/// An error.
pub fn error(code: &str) -> String {
    format!("{{\"type\":\"error\",\"code\":\"{code}\",\"message\":\"as the test says\"}}\n")
}
