//! The log in RAM that is served as `boot.log`.

use core::cell::RefCell;
use core::fmt::{Arguments, Write};

use embassy_sync::blocking_mutex::CriticalSectionMutex;
use embassy_time::Instant;

const CAPACITY: usize = 4 << 10;
/// How many bytes are dropped at a time, at least: seldom many rather than often few, since clients that count from what is there
/// begin anew then.
const DROP_LEN: usize = CAPACITY / 4;

static LOG: CriticalSectionMutex<RefCell<BootLog>> = CriticalSectionMutex::new(RefCell::new(BootLog::new()));

/// Appends a line, and prints it on the serial port.
pub fn log(line: Arguments<'_>) {
    let now = Instant::now().as_millis();
    let line = format_args!("{}.{:03} {line}", now / 1_000, now % 1_000);
    esp_println::println!("{line}");
    with(|log| {
        // A line that does not fit is cut off: logging must not fail.
        let _ = writeln!(log, "{line}");
    });
}

/// Calls `of` with the log.
pub fn with<R>(of: impl FnOnce(&mut BootLog) -> R) -> R {
    LOG.lock(|log| of(&mut log.borrow_mut()))
}

/// A log that is only ever appended to, and drops its oldest lines when it is full.
pub struct BootLog {
    text: [u8; CAPACITY],
    len: usize,
    /// Number of times that lines were dropped.
    generation: u32,
    /// Number of bytes that were dropped since the chip started.
    dropped: u64,
}

impl BootLog {
    const fn new() -> Self {
        Self { text: [0; CAPACITY], len: 0, generation: 0, dropped: 0 }
    }

    /// What is still there.
    pub fn bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    /// Changes when earlier bytes are no longer there.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The offset of its first byte that is still there, in bytes written since the chip started.
    pub const fn first(&self) -> u64 {
        self.dropped
    }

    /// Drops whole lines.
    fn drop_oldest(&mut self) {
        let behind = self.bytes().iter().skip(DROP_LEN).position(|byte| *byte == b'\n');
        let len = behind.map_or(self.len, |behind| DROP_LEN + behind + 1);
        self.text.copy_within(len..self.len, 0);
        self.len -= len;
        self.dropped += len as u64;
        self.generation = self.generation.wrapping_add(1);
    }
}

impl Write for BootLog {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        if CAPACITY - self.len < text.len() {
            self.drop_oldest();
        }
        let place = self.text.get_mut(self.len..self.len + text.len()).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
