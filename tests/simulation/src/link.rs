//! One direction of a connection: a bounded queue that stalls, corrupts and tears where it was told to.

/// Bytes on their way.
#[derive(Debug)]
pub struct Pipe {
    bytes: Vec<u8>,
    start: usize,
    capacity: usize,
    /// How many bytes still go in before it tears.
    pub tears_in: Option<usize>,
    /// How many bytes still go in before it stalls, and for how long.
    pub stalls_in: Option<(usize, u64)>,
    /// How many bytes still go in before one is another.
    pub corrupts_in: Option<usize>,
    stalled_until: u64,
    /// It is torn, and whoever sends does not know: how many bytes went in since then and will not come out.
    swallowed: Option<usize>,
    /// Nothing comes out any more.
    pub is_dead: bool,
    /// Nothing more goes in: what is in it is the last.
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

    /// How many bytes go in now.
    pub fn room(&self) -> usize {
        let len = self.bytes.len() - self.start + self.swallowed.unwrap_or(0);
        self.capacity.saturating_sub(len).min(self.tears_in.unwrap_or(usize::MAX))
    }

    /// Takes in `bytes`, for which there is room.
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

    /// The first `len` bytes of what has arrived are taken.
    pub fn take(&mut self, len: usize) {
        self.start += len;
        assert!(self.start <= self.bytes.len(), "more than arrived");
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Whether all has arrived and been taken, and nothing more comes.
    pub fn is_at_end(&self, now: u64) -> bool {
        self.is_closed && !self.is_dead && now >= self.stalled_until && self.start == self.bytes.len()
    }

    /// From now on what goes in does not come out.
    pub fn tear(&mut self) {
        self.tears_in = None;
        self.swallowed = Some(0);
        self.is_closed = true;
    }

    /// Loses what is in it.
    pub fn lose(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// When it goes on, if it stalls.
    pub fn resumes_at(&self, now: u64) -> Option<u64> {
        (now < self.stalled_until && !self.is_dead).then_some(self.stalled_until)
    }

    /// No bytes more than it has room for, whatever happened.
    pub fn check(&self) {
        assert!(self.bytes.len() - self.start <= self.capacity, "a link holds more than its window");
    }
}
