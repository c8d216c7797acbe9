//! A server's session without a socket: bytes that arrive stand in an array, bytes that leave go to standard output.

use coracle_core::exec::StoreExchange;
use coracle_core::{Action, Instant, ServerConfig, ServerSession, StaticFile, StaticStore};

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];

fn serve(mut input: &[u8]) -> Vec<u8> {
    let (config, now) = (ServerConfig::new(), Instant::from_millis(0));
    let mut session = ServerSession::new(&config, [0; 512], now);
    let (mut store, mut exchange) = (StaticStore::new(&FILES), StoreExchange::new());
    let mut output = Vec::new();
    loop {
        match session.action() {
            Action::Receive if input.is_empty() => session.receive_eof(now),
            Action::Receive => {
                let (taken, _) = session.receive(input, now);
                input = &input[taken..];
            }
            Action::Reply(request) => {
                let reply = exchange.open(&mut store, &request);
                session.reply(reply, now);
            }
            Action::Entry => session.entry(exchange.entry(&mut store), now),
            Action::SendBytes { bytes, .. } => {
                output.extend_from_slice(bytes);
                let len = bytes.len();
                session.sent(len, now);
            }
            Action::SendFile { offset, len, hash, .. } => {
                let mut chunk = vec![0; len];
                let len = exchange.read(&mut store, offset, &mut chunk, hash).expect("the file is in memory");
                output.extend_from_slice(&chunk[..len]);
                session.sent(len, now);
            }
            Action::Finish { from, to } => {
                let finished = exchange.finish(&mut store, from, to).expect("the file is in memory");
                session.finished(finished, now);
            }
            Action::Close(_) => return output,
            action => panic!("nothing here leads to {action:?}"),
        }
    }
}

fn main() {
    let output = serve(br#"{"type":"list"}{"type":"get","fileName":"motd"}"#);
    print!("{}", String::from_utf8_lossy(&output));
}

#[test]
fn lists_and_sends() {
    let output = String::from_utf8(serve(br#"{"type":"list"}{"type":"get","fileName":"motd"}"#)).expect("text");
    assert!(output.contains(r#""fileName":"motd","fileSize":15"#) && output.ends_with("\"e7e0539f\"}\n"), "{output}");
}
