//! The pre-shared keys: the one in use, and the next one or the one before.

use core::ops::Range;

use coracle_channel::Psk;
use coracle_core::{StoreError, WriteError};
use coracle_flash::RecordPair;
use heapless::Vec;

use crate::updates::Flash;

/// One byte that says what the second key is, and the keys.
const RECORD_LEN: usize = 1 + 32 + 32;

/// The keys, as they lie in the flash.
pub struct Psks {
    pair: Option<RecordPair<Flash>>,
    current: Option<Psk>,
    other: Other,
    /// Changes with them.
    generation: u32,
}

/// The second key.
#[derive(Clone)]
enum Other {
    None,
    /// It waits to be promoted, and is accepted.
    Next(Psk),
    /// It was in use before: accepted until a client has used the new one.
    Old(Psk),
}

/// By which key a client came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PskUse {
    Current,
    Other,
}

impl Psks {
    /// Reads them from `range` of the chip.
    pub fn open(flash: Flash, range: Range<u32>) -> Self {
        let mut this = Self {
            pair: RecordPair::open(flash, range, *b"PSKS").ok(),
            current: None,
            other: Other::None,
            generation: 0,
        };
        let mut record = [0; RECORD_LEN];
        let is_there = this.pair.as_mut().and_then(|pair| pair.newest(&mut record)).is_some();
        if let (true, [kind, keys @ ..]) = (is_there, record)
            && let Some((current, other)) = keys.split_first_chunk::<32>()
            && let Some(other) = other.first_chunk::<32>()
        {
            this.current = Psk::from_bytes(*current).ok();
            this.other = match (kind, Psk::from_bytes(*other)) {
                (1, Ok(key)) => Other::Next(key),
                (2, Ok(key)) => Other::Old(key),
                _ => Other::None,
            };
        }
        this
    }

    pub fn current(&self) -> Option<&Psk> {
        self.current.as_ref()
    }

    /// Another one where the keys have changed.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Those that are accepted: the current one first. None without it, since an empty list would be a key of zeros.
    pub fn accepted(&self) -> Vec<Psk, 2> {
        let other = match &self.other {
            Other::None => None,
            Other::Next(key) | Other::Old(key) => Some(key),
        };
        self.current.iter().chain(other.filter(|_| self.current.is_some())).cloned().collect()
    }

    /// Whether the next key can be put: not before a client has used the one that was promoted last.
    pub fn may_put(&self) -> Result<(), WriteError> {
        match self.other {
            Other::Old(_) => Err(WriteError::InUse),
            Other::None | Other::Next(_) => Ok(()),
        }
    }

    /// Takes the next key, which is accepted at once. Returns the number of the record that has it.
    pub fn put_next(&mut self, next: Psk) -> Result<u64, WriteError> {
        self.may_put()?;
        let current = self.current.clone().ok_or(StoreError::Denied)?;
        self.write(current, Other::Next(next)).map_err(WriteError::Store)
    }

    /// Promotes the next key, where one waits. Returns whether one did.
    pub fn promote(&mut self) -> Result<bool, StoreError> {
        let (Some(current), Other::Next(next)) = (self.current.clone(), self.other.clone()) else { return Ok(false) };
        self.write(next, Other::Old(current)).map(|_| true)
    }

    /// A client that may do something has completed a request, having come by the current key: the one before is forgotten.
    pub fn confirm(&mut self) -> Result<bool, StoreError> {
        let (Some(current), Other::Old(_)) = (self.current.clone(), &self.other) else { return Ok(false) };
        self.write(current, Other::None).map(|_| true)
    }

    fn write(&mut self, current: Psk, other: Other) -> Result<u64, StoreError> {
        let mut record = [0; RECORD_LEN];
        let (kind, second) = match &other {
            Other::None => (0, None),
            Other::Next(key) => (1, Some(key)),
            Other::Old(key) => (2, Some(key)),
        };
        let second = second.map_or(&[0; 32], Psk::as_bytes);
        let fields = [kind].into_iter().chain(*current.as_bytes()).chain(*second);
        record.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        let pair = self.pair.as_mut().ok_or(StoreError::Io)?;
        let number = pair.replace(&record).map_err(|_| StoreError::Io)?;
        (self.current, self.other) = (Some(current), other);
        self.generation = self.generation.wrapping_add(1);
        Ok(number)
    }
}
