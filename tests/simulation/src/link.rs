//! One direction of a link: a bounded queue of bytes that stalls, corrupts and tears where that is planned.

/// Bytes on their way in one direction.
#[derive(Debug)]
pub struct Pipe {
    bytes: Vec<u8>,
    start: usize,
    capacity: usize,
    /// Bytes until it tears.
    pub tears_in: Option<usize>,
    /// Bytes until it stalls, and for how long, in milliseconds.
    pub stalls_in: Option<(usize, u64)>,
    /// Bytes until one is corrupted.
    pub corrupts_in: Option<usize>,
    stalled_until: u64,
    /// Bytes that were sent since it was torn, and never arrive; `None` while it is whole.
    swallowed: Option<usize>,
    /// Nothing arrives any more.
    pub is_dead: bool,
    /// The sender has closed it: what is on its way is the last.
    pub is_closed: bool,
}

impl Pipe {
    pub const fn new(capacity: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            capacity,
            tears_in: None,
            stalls_in: None,
            corrupts_in: None,
            stalled_until: 0,
            swallowed: None,
            is_dead: false,
            is_closed: false,
        }
    }

    /// How many bytes can be sent now.
    pub fn room(&self) -> usize {
        let len = self.bytes.len() - self.start + self.swallowed.unwrap_or(0);
        self.capacity.saturating_sub(len).min(self.tears_in.unwrap_or(usize::MAX))
    }

    /// Sends `bytes`, for which there is room.
    pub fn put(&mut self, bytes: &[u8], now: u64) {
        assert!(bytes.len() <= self.room(), "more than fits");
        if let Some(swallowed) = &mut self.swallowed {
            *swallowed += bytes.len();
            return;
        }
        if self.start > 0 && self.start >= self.capacity / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        let place = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if let Some(left) = &mut self.tears_in {
            *left -= bytes.len();
        }
        if let Some((left, millis)) = self.stalls_in {
            if bytes.len() < left {
                self.stalls_in = Some((left - bytes.len(), millis));
            } else {
                self.stalls_in = None;
                self.stalled_until = now + millis;
            }
        }
        if let Some(left) = self.corrupts_in {
            match self.bytes[place..].get_mut(left) {
                None => self.corrupts_in = Some(left - bytes.len()),
                Some(byte) => {
                    *byte ^= 1 << (now % 8);
                    self.corrupts_in = None;
                }
            }
        }
    }

    /// What has arrived.
    pub fn arrived(&self, now: u64) -> &[u8] {
        if self.is_dead || now < self.stalled_until { &[] } else { &self.bytes[self.start..] }
    }

    /// Takes the first `len` of the bytes that have arrived.
    pub fn take(&mut self, len: usize) {
        self.start += len;
        assert!(self.start <= self.bytes.len(), "more than arrived");
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Whether the sender has closed it, and all bytes were taken.
    pub fn is_at_end(&self, now: u64) -> bool {
        self.is_closed && !self.is_dead && now >= self.stalled_until && self.start == self.bytes.len()
    }

    /// Tears it: bytes that are sent from now on are lost.
    pub fn tear(&mut self) {
        self.tears_in = None;
        self.swallowed = Some(0);
        self.is_closed = true;
    }

    /// Loses the bytes on their way.
    pub fn lose(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// When it goes on, while it stalls.
    pub fn resumes_at(&self, now: u64) -> Option<u64> {
        (now < self.stalled_until && !self.is_dead).then_some(self.stalled_until)
    }

    /// Checks that it holds no more than its window.
    pub fn check(&self) {
        assert!(self.bytes.len() - self.start <= self.capacity, "a link holds more than its window");
    }
}
