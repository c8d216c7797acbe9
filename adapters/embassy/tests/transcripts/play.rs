//! Plays a transcript against `serve`, as its transport.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

use coracle_core::{Close, Code, Demand, Instant, Permit, ServerConfig, ServerSession, StoreError};
use coracle_embassy::{AsyncWritableStore, Buffers, Observer, Transport, serve_writable};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

use super::document::{StoreLine, Transcript};
use super::output::Output;
use super::permits::{Permits, asking};
use super::script::{Script, VirtualClock};
use super::settings::{Pieces, documented, has_arrivals, max_request, with_retry};
use super::slow::Slow;
use super::store::ScriptedStore;
use super::uploads;

/// What the session runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Without a buffer of its own.
    Stream,
    /// With one, which bodies are read into.
    Buffered,
    /// With one, and a store that is awaited.
    BufferedAndSlow,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Stream, Self::Buffered, Self::BufferedAndSlow];
}

/// Plays `transcript`, with buffers of `buf_len` bytes.
///
/// # Errors
///
/// The step at which the server differs from the transcript, and how.
pub fn play(
    transcript: &Transcript,
    store: &[StoreLine],
    kind: Kind,
    pieces: Pieces,
    buf_len: usize,
) -> Result<(), String> {
    let (pieces, buf_len) = if has_arrivals(transcript) { (Pieces::Whole, 4096) } else { (pieces, buf_len) };
    let clock = VirtualClock::new(Rc::default());
    let scripted = ScriptedStore::new(store, clock.ms.clone());
    let output = Output::new(store, None);
    let script = Script::new(&transcript.steps, output, pieces, scripted.changes.clone());
    let script = RefCell::new(script);
    let outcome = match kind {
        Kind::Stream => run(transcript, &clock, &script, &mut Wire::<false>(&script), scripted, buf_len),
        Kind::Buffered => run(transcript, &clock, &script, &mut Wire::<true>(&script), scripted, buf_len),
        Kind::BufferedAndSlow => run(transcript, &clock, &script, &mut Wire::<true>(&script), Slow(scripted), buf_len),
    };
    let left = script.borrow().left();
    outcome.map_err(|error| format!("{}, {left} steps before the end: {error}", transcript.name))
}

fn run(
    transcript: &Transcript,
    clock: &VirtualClock,
    script: &RefCell<Script<'_>>,
    wire: &mut impl Transport,
    mut store: impl AsyncWritableStore,
    buf_len: usize,
) -> Result<(), String> {
    let config = with_features(with_retry(documented()?, transcript), transcript);
    let (buf, start) = (vec![0; max_request(transcript)], Instant::from_millis(0));
    let mut session = match transcript.refusing.as_deref().and_then(Code::from_word) {
        None => ServerSession::new(&config, buf, start),
        Some(code) => ServerSession::refusing(code, &config, buf, start),
    };
    let (mut receive, mut send) = (vec![0; buf_len], vec![0; buf_len]);
    let buffers = Buffers { receive: &mut receive, send: &mut send };
    let mut owner = Owner { script, permits: Permits::of(transcript) };
    let mut serving = pin!(serve_writable(&mut session, wire, &mut store, buffers, clock, &mut owner));
    let flag = Arc::new(Flag::default());
    let waker = flag.clone().into();
    for _ in 0..100_000 {
        clock.forget();
        if let Poll::Ready(close) = serving.as_mut().poll(&mut Context::from_waker(&waker)) {
            let close: Close = close;
            return script.borrow_mut().end(close);
        }
        if !flag.0.swap(false, Ordering::Relaxed) {
            script.borrow_mut().advance(clock)?;
        }
    }
    Err("no end in sight".into())
}

fn with_features<'a>(config: ServerConfig<'a>, transcript: &Transcript) -> ServerConfig<'a> {
    let offers = |word: &str| transcript.features.iter().any(|feature| feature == word);
    let config = uploads::offering(asking(config, transcript), &transcript.features);
    config.with_wait_max_ms(if offers("wait") { 60_000 } else { 0 }).with_absolute(offers("absolute"))
}

/// Whether the future wants to be polled again though nothing has happened.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The server's owner.
struct Owner<'s, 'a> {
    script: &'s RefCell<Script<'a>>,
    permits: Permits,
}

impl Observer for Owner<'_, '_> {
    fn permit<'p>(&'p mut self, demand: &Demand<'_>) -> Permit<'p> {
        self.permits.is_revoked = self.script.borrow().is_revoked;
        self.permits.permit(demand)
    }

    fn perform(&mut self, action: &str) -> Result<(), StoreError> {
        uploads::perform(action)
    }

    async fn stopped(&self) {
        poll_fn(|_| if self.script.borrow().is_stopping { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    async fn changed(&self, _: coracle_core::FileName<'_>) {
        let has_changed = |script: &RefCell<Script<'_>>| std::mem::take(&mut script.borrow_mut().has_changed);
        poll_fn(|_| if has_changed(self.script) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// The connection to the client of a script.
struct Wire<'s, 'a, const IS_BUFFERED: bool = false>(&'s RefCell<Script<'a>>);

impl<const IS_BUFFERED: bool> ErrorType for Wire<'_, '_, IS_BUFFERED> {
    type Error = ErrorKind;
}

impl<const IS_BUFFERED: bool> Read for Wire<'_, '_, IS_BUFFERED> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| {
            let script = &mut *self.0.borrow_mut();
            if script.input.is_empty() {
                return if script.eof { Poll::Ready(Ok(0)) } else { Poll::Pending };
            }
            let len = script.pieces.next(script.input.len().min(buf.len()));
            buf[..len].copy_from_slice(&script.input[..len]);
            script.input.drain(..len);
            Poll::Ready(Ok(len))
        })
        .await
    }
}

impl<const IS_BUFFERED: bool> Write for Wire<'_, '_, IS_BUFFERED> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.room().await;
        let script = &mut *self.0.borrow_mut();
        let len = script.pieces.next(bytes.len());
        script.output.push(&bytes[..len]);
        Ok(len)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl<const IS_BUFFERED: bool> Transport for Wire<'_, '_, IS_BUFFERED> {
    const IS_BUFFERED: bool = IS_BUFFERED;

    async fn write_with<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, ErrorKind> {
        self.room().await;
        let len = self.0.borrow_mut().pieces.next(600);
        let mut room = vec![0; len];
        let (len, outcome) = fill(&mut room);
        self.0.borrow_mut().output.push(&room[..len]);
        Ok(outcome)
    }
}

impl<const IS_BUFFERED: bool> Wire<'_, '_, IS_BUFFERED> {
    /// Waits until the client takes bytes.
    async fn room(&self) {
        poll_fn(|_| if self.0.borrow().unread { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}
