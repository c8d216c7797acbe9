//! Plays a transcript against the blocking driver, as its transport.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use coracle_core::blocking::{Buffers, SendFile, SendFileError, SessionObserver, Transport};
use coracle_core::{Code, Instant, ServerSession, Store};
use embedded_io::{ErrorKind, ErrorType, Read, Write};

use super::document::{Change, Step, StoreLine, Transcript};
use super::output::Output;
use super::replay::with_features;
use super::settings::{Pieces, documented, has_arrivals, max_request, with_retry};
use super::store::{Open, ScriptedStore};

/// Plays `transcript`. `scratch_len` is the length of the driver's buffers; with `is_direct` the transport sends bodies itself.
///
/// # Errors
///
/// The step at which the server differs from the transcript, and how.
pub fn drive(
    transcript: &Transcript,
    store: &[StoreLine],
    pieces: Pieces,
    scratch_len: usize,
    is_direct: bool,
) -> Result<(), String> {
    let config = with_retry(with_features(documented()?, transcript), transcript);
    let (pieces, scratch_len) = if has_arrivals(transcript) { (Pieces::Whole, 4096) } else { (pieces, scratch_len) };
    let clock_ms = Rc::new(Cell::new(0));
    let buf = vec![0; max_request(transcript)];
    let start = Instant::from_millis(0);
    let mut session = match transcript.refusing.as_deref().and_then(Code::from_word) {
        None => ServerSession::new(&config, buf, start),
        Some(code) => ServerSession::refusing(code, &config, buf, start),
    };
    let (is_stopping, is_revoked) = (Cell::new(false), Cell::new(false));
    let mut scripted = ScriptedStore::new(store, clock_ms.clone());
    let script = Script {
        steps: transcript.steps.iter().peekable(),
        wait_ms: 0,
        input: Vec::new(),
        eof: false,
        unread: false,
        output: Output::new(store, None),
        departure: None,
    };
    let mut wire = Wire {
        script,
        clock_ms: clock_ms.clone(),
        is_stopping: &is_stopping,
        is_revoked: &is_revoked,
        limit_ms: None,
        left_ms: None,
        pieces,
        is_direct,
        changes: scripted.changes.clone(),
        is_displaced: false,
        #[cfg(feature = "wait")]
        would_wait: false,
    };
    let mut readings = 0;
    let mut clock = || {
        readings += 1;
        assert!(readings < 50_000, "{}: no end in sight", transcript.name);
        Instant::from_millis(clock_ms.get())
    };
    let (mut receive, mut send) = (vec![0; scratch_len], vec![0; scratch_len]);
    let mut observer = Owner {
        is_stopping: &is_stopping,
        asked: 0,
        #[cfg(feature = "rights")]
        permits: super::permits::Permits::of(transcript),
        #[cfg(feature = "rights")]
        is_revoked: &is_revoked,
    };
    #[cfg(not(feature = "wait"))]
    let close = {
        #[cfg(not(feature = "manage"))]
        use coracle_core::blocking::serve as serve_any;
        #[cfg(feature = "manage")]
        use coracle_core::blocking::serve_writable as serve_any;
        let scratch = Buffers { receive: &mut receive, send: &mut send };
        serve_any(&mut session, &mut wire, &mut scripted, scratch, &mut clock, &mut observer)
    };
    #[cfg(feature = "wait")]
    let close = {
        use coracle_core::blocking::{Served, serve_until_watch};
        use coracle_core::exec::StoreExchange;
        let mut rest = 0..0;
        loop {
            #[cfg(not(feature = "manage"))]
            let exchange: StoreExchange<_> = StoreExchange::new();
            #[cfg(feature = "manage")]
            let exchange = StoreExchange::writable();
            let scratch = Buffers { receive: &mut receive, send: &mut send };
            let (wire, store) = (&mut wire, &mut scripted);
            match serve_until_watch(&mut session, wire, store, scratch, rest, &mut clock, &mut observer, exchange) {
                Served::Closed(close) => break close,
                Served::Watching { unread, .. } => {
                    wire.watch(&mut session);
                    rest = unread;
                }
                Served::Receiving => rest = 0..0,
            }
        }
    };

    let mut script = wire.script;
    let outcome = match script.departure.take() {
        Some(departure) => Err(departure),
        None => script.end(close),
    };
    outcome.map_err(|error| format!("{}, {} steps before the end: {error}", transcript.name, script.steps.len()))
}

/// The server's owner.
struct Owner<'a> {
    is_stopping: &'a Cell<bool>,
    /// How often it was asked whether the server stops.
    asked: u32,
    #[cfg(feature = "rights")]
    permits: super::permits::Permits,
    #[cfg(feature = "rights")]
    is_revoked: &'a Cell<bool>,
}

impl SessionObserver for Owner<'_> {
    fn should_stop(&mut self) -> bool {
        self.asked += 1;
        assert!(self.asked < 50_000, "no end in sight");
        self.is_stopping.get()
    }

    #[cfg(feature = "rights")]
    fn permit<'a>(&'a mut self, demand: &coracle_core::Demand<'_>) -> coracle_core::Permit<'a> {
        self.permits.is_revoked = self.is_revoked.get();
        self.permits.permit(demand)
    }

    #[cfg(feature = "manage")]
    fn perform(&mut self, action: &str) -> Result<(), coracle_core::StoreError> {
        super::uploads::perform(action)
    }
}

/// The client's part of a transcript, and the wire.
struct Wire<'a> {
    script: Script<'a>,
    clock_ms: Rc<Cell<u64>>,
    is_stopping: &'a Cell<bool>,
    is_revoked: &'a Cell<bool>,
    limit_ms: Option<u64>,
    /// The rest of the limit of the current call.
    left_ms: Option<u64>,
    pieces: Pieces,
    is_direct: bool,
    /// The store's.
    changes: Rc<RefCell<VecDeque<Change>>>,
    is_displaced: bool,
    /// What was said last.
    #[cfg(feature = "wait")]
    would_wait: bool,
}

struct Script<'a> {
    steps: std::iter::Peekable<std::slice::Iter<'a, Step>>,
    /// The rest of the current wait.
    wait_ms: u64,
    /// Sent by the client and not received.
    input: Vec<u8>,
    eof: bool,
    unread: bool,
    output: Output<'a>,
    /// The first difference.
    departure: Option<String>,
}

/// The next result of a blocked call.
enum Next {
    Again,
    TimedOut,
    /// The input ends, or the server is woken to stop.
    Nothing,
}

impl Wire<'_> {
    /// Continues the script while the server is blocked.
    fn advance(&mut self) -> Result<Next, String> {
        let script = &mut self.script;
        if script.wait_ms > 0 {
            let passes = self.left_ms.map_or(script.wait_ms, |left| left.min(script.wait_ms));
            script.wait_ms -= passes;
            self.clock_ms.set(self.clock_ms.get() + passes);
            self.left_ms = self.left_ms.map(|left| left - passes);
            return Ok(if self.left_ms == Some(0) { Next::TimedOut } else { Next::Again });
        }
        let Some(step) = script.steps.peek() else { return Ok(Next::Nothing) };
        match step {
            Step::Send(bytes) => script.input.extend_from_slice(bytes),
            Step::Eof => script.eof = true,
            Step::Unread => script.unread = true,
            Step::Read => script.unread = false,
            Step::Wait(millis) => {
                script.output.rest()?;
                script.wait_ms = *millis;
            }
            Step::Stop => self.is_stopping.set(true),
            Step::Revoke => self.is_revoked.set(true),
            Step::Displace => self.is_displaced = true,
            Step::Change(change) => self.changes.borrow_mut().push_back(change.clone()),
            Step::Line(_) | Step::Bytes(_) | Step::Message(_) | Step::Slice { .. } => script.output.expect(step)?,
            Step::Close | Step::Abort => return Err("the server does not close".into()),
        }
        let woken = **step == Step::Stop;
        script.steps.next();
        Ok(if woken { Next::Nothing } else { Next::Again })
    }

    /// Continues the script while the session waits for its file.
    #[cfg(feature = "wait")]
    fn watch(&mut self, session: &mut ServerSession<'_, Vec<u8>>) {
        let now = |clock: &Cell<u64>| Instant::from_millis(clock.get());
        self.left_ms = session.deadline().map(|(when, _)| when.since(now(&self.clock_ms)));
        loop {
            let changes = self.changes.borrow().len();
            let next = if self.left_ms == Some(0) { Ok(Next::TimedOut) } else { self.blocked() };
            let now = now(&self.clock_ms);
            match next {
                Ok(Next::TimedOut) => return session.handle_timeout(now),
                Ok(Next::Again) if self.changes.borrow().len() > changes => return session.look_again(now),
                Ok(Next::Again) if self.is_displaced => return session.give_way(now),
                Ok(Next::Again) => {}
                Ok(Next::Nothing) if self.is_stopping.get() => return,
                Ok(Next::Nothing) | Err(_) => return session.send_failed(),
            }
        }
    }

    fn blocked(&mut self) -> Result<Next, ErrorKind> {
        self.advance().map_err(|departure| {
            self.script.departure.get_or_insert(departure);
            ErrorKind::Other
        })
    }

    /// Waits until the client takes bytes.
    fn wait_until_read(&mut self) -> Result<(), ErrorKind> {
        self.left_ms = self.limit_ms;
        while self.script.unread {
            match self.blocked()? {
                Next::TimedOut => return Err(ErrorKind::TimedOut),
                Next::Again => {}
                Next::Nothing if self.is_stopping.get() => {}
                Next::Nothing => return Err(ErrorKind::BrokenPipe),
            }
        }
        Ok(())
    }
}

impl Script<'_> {
    /// Compares the rest, after the server has closed.
    fn end(&mut self, close: coracle_core::Close) -> Result<(), String> {
        loop {
            match self.steps.peek() {
                Some(step @ (Step::Line(_) | Step::Bytes(_) | Step::Message(_) | Step::Slice { .. })) => {
                    self.output.expect(step)?
                }
                Some(step @ (Step::Close | Step::Abort)) => {
                    return self.output.expect_close(step, close, self.eof, !self.input.is_empty());
                }
                // What the client sends after that is lost.
                Some(Step::Send(_)) => {}
                Some(Step::Eof) => self.eof = true,
                Some(step) => return Err(format!("closed before {step:?}")),
                None => return self.output.rest(),
            }
            self.steps.next();
        }
    }
}

impl ErrorType for Wire<'_> {
    type Error = ErrorKind;
}

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.left_ms = self.limit_ms;
        while self.script.input.is_empty() {
            if self.script.eof {
                return Ok(0);
            }
            match self.blocked()? {
                Next::Again => {}
                Next::TimedOut => return Err(ErrorKind::TimedOut),
                Next::Nothing => return Ok(0),
            }
        }
        let input = &mut self.script.input;
        let len = self.pieces.next(input.len().min(buf.len()));
        buf[..len].copy_from_slice(&input[..len]);
        input.drain(..len);
        Ok(len)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.wait_until_read()?;
        let len = self.pieces.next(bytes.len());
        self.script.output.push(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Transport for Wire<'_> {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), ErrorKind> {
        self.limit_ms = limit_ms;
        Ok(())
    }

    /// Every other time, so that the driver returns before each read, and then reads.
    #[cfg(feature = "wait")]
    fn would_wait(&mut self) -> bool {
        self.would_wait = !self.would_wait && self.script.input.is_empty();
        self.would_wait
    }
}

impl SendFile<ScriptedStore> for Wire<'_> {
    fn send_file(
        &mut self,
        store: &mut ScriptedStore,
        file: &mut Open,
        offset: u64,
        len: usize,
        _more: bool,
    ) -> Option<Result<usize, SendFileError<ErrorKind>>> {
        if !self.is_direct {
            return None;
        }
        if let Err(error) = self.wait_until_read() {
            return Some(Err(SendFileError::Transport(error)));
        }
        let mut bytes = vec![0; self.pieces.next(len)];
        let read = store.read(file, offset, &mut bytes).map_err(|_| SendFileError::File);
        if let Ok(read) = read {
            self.script.output.push(&bytes[..read]);
        }
        Some(read)
    }
}
