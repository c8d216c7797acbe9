//! The board's counters, served as `status.json`.

use serde::Serialize;

use crate::board;
use crate::boot_log::BootLog;

/// The maximum length of `status.json`, in bytes, with every number at its largest.
pub const STATUS_LEN: usize = if cfg!(feature = "put") { 288 } else { 256 };

/// State that the server's observer writes and the store reads.
pub struct Shared {
    pub now_ms: u64,
    pub clients: u32,
    pub clients_total: u32,
    pub refused: u32,
    pub exchanges: u32,
    pub bytes_served: u64,
    /// Time spent in rounds of the main loop that sent or received a frame, or had more to do, in ticks of the processor's
    /// clock.
    pub busy_ticks: u64,
    pub log: BootLog,
}

impl Shared {
    pub const fn new() -> Self {
        Self {
            now_ms: 0,
            clients: 0,
            clients_total: 0,
            refused: 0,
            exchanges: 0,
            bytes_served: 0,
            busy_ticks: 0,
            log: BootLog::new(),
        }
    }

    /// Writes `status.json` and returns its length; 0 where it does not fit.
    pub fn write(&self, name: &str, buf: &mut [u8; STATUS_LEN]) -> usize {
        let stack = board::stack_use();
        let status = Status {
            name,
            uptime_ms: self.now_ms,
            clients: self.clients,
            clients_total: self.clients_total,
            refused: self.refused,
            exchanges: self.exchanges,
            bytes_served: self.bytes_served,
            busy_ticks: self.busy_ticks,
            #[cfg(feature = "put")]
            flash_ticks: crate::flash_time::ticks(),
            stack_size: stack.size,
            stack_high_water: stack.high_water,
        };
        let Some((last, body)) = buf.split_last_mut() else { return 0 };
        let Ok(len) = serde_json_core::to_slice(&status, body) else { return 0 };
        let newline = body.get_mut(len).unwrap_or(last);
        *newline = b'\n';
        len + 1
    }
}

#[derive(Serialize)]
struct Status<'a> {
    name: &'a str,
    uptime_ms: u64,
    clients: u32,
    clients_total: u32,
    refused: u32,
    exchanges: u32,
    bytes_served: u64,
    busy_ticks: u64,
    #[cfg(feature = "put")]
    flash_ticks: u32,
    stack_size: usize,
    stack_high_water: usize,
}
