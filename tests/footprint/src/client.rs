//! One client whose owner takes its requests from the register.

use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, DigestKind, End, FileName, GetRequest, Header, Instant,
    Verified, Version,
};

use crate::board::{input, output, receive, send};

type Session = ClientSession<[u8; 1024]>;

#[used]
#[unsafe(link_section = ".sizes")]
static CLIENT_SIZE: [u8; size_of::<Session>()] = [0; size_of::<Session>()];

pub fn run() {
    let mut session = Session::new([0; 1024]).with_stall_ms(input());
    let mut bytes = [0; 256];
    loop {
        match session.action() {
            ClientAction::Rehash { offset, len } => {
                output(offset as u32 ^ len as u32);
                session.rehashed(receive(&mut bytes), now());
            }
            ClientAction::SendBytes { bytes } => {
                let len = send(bytes);
                if len > 0 { session.sent(len, now()) } else { session.send_failed() }
            }
            ClientAction::Receive => {
                let arrived = receive(&mut bytes);
                if arrived.is_empty() {
                    session.receive_eof();
                } else {
                    let (taken, event) = session.receive(arrived, now());
                    output(taken as u32);
                    if let Some(event) = event {
                        see(&event);
                    }
                }
            }
            ClientAction::Idle => {
                if ask(&mut session).is_none() {
                    break;
                }
            }
            ClientAction::Close(failure) => {
                send(failure.as_str().as_bytes());
                break;
            }
            _ => break,
        }
        if let Some((when, _)) = session.deadline() {
            output(when.as_millis() as u32);
        }
        if input() == 0 {
            session.handle_timeout(now());
        }
    }
}

#[inline(never)]
fn ask(session: &mut Session) -> Option<()> {
    let (mut name, mut version) = ([0; 255], [0; 64]);
    let name = FileName::new(core::str::from_utf8(receive(&mut name)).ok()?).ok()?;
    let version = Version::new(core::str::from_utf8(receive(&mut version)).ok()?).ok();
    let digest = (input() == 0).then_some(DigestKind::Crc32);
    let ask = match input() {
        0 => ClientRequest::Hello,
        1 => ClientRequest::List { path: (input() == 0).then_some(name) },
        2 => ClientRequest::Stat { name, digest },
        _ => ClientRequest::Get(
            GetRequest::new(name)
                .with_offset(wide())
                .with_length((input() == 0).then(wide))
                .with_version(version.as_ref())
                .with_digest(digest)
                .with_digest_from((input() == 0).then(wide)),
        ),
    };
    session.start(ask, now()).ok()
}

#[inline(never)]
fn see(event: &ClientEvent<'_>) {
    match event {
        ClientEvent::Hello(hello) => {
            send(hello.server.as_bytes());
            send(hello.name.as_bytes());
            for value in [hello.max_request, hello.chunk_size, hello.idle_ms, hello.request_ms, hello.stall_ms] {
                output(value as u32);
            }
        }
        ClientEvent::Header(Header { size, offset, length, version, modified, .. }) => {
            output((size ^ offset ^ length ^ modified.unwrap_or(0)) as u32);
            send(version.as_str().as_bytes());
        }
        ClientEvent::Body { offset, bytes } => {
            output(*offset as u32);
            send(bytes);
        }
        ClientEvent::End(End::Verified(verified) | End::Changed { snapshot: Some(verified) }) => verify(verified),
        ClientEvent::Entry(entry) => {
            send(entry.name.as_str().as_bytes());
        }
        ClientEvent::Listed(listing) => output((listing.count ^ listing.skipped) as u32),
        ClientEvent::Refused(refusal) => output(refusal.code.map_or(99, |code| code as u32)),
        ClientEvent::ServerClosing(code) => output(*code as u32),
        _ => {}
    }
}

#[inline(never)]
fn verify(verified: &Verified) {
    output((verified.from() ^ verified.to()) as u32 ^ u32::from(verified.is_whole()));
}

#[inline(never)]
fn now() -> Instant {
    Instant::from_millis(wide())
}

fn wide() -> u64 {
    u64::from(input()) << 32 | u64::from(input())
}
