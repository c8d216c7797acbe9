//! The key of one direction, which changes every 65,536 records.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::primitives::{Cipher, RecordCipher, TAG_LEN};

/// After so many records the key changes.
const REKEY_RECORDS: u64 = 65_536;

/// Noise's CipherState, with a REKEY before records 65,536, 131,072 and so on; the nonce goes on counting.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct RecordKey {
    key: [u8; 32],
    records: u64,
}

impl RecordKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { key: *key, records: 0 }
    }

    /// How many records there were.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Seals the next record: the last 16 of `bytes` become the tag.
    pub(crate) fn seal(&mut self, bytes: &mut [u8]) -> Option<()> {
        let nonce = self.nonce()?;
        RecordCipher::seal(&self.key, nonce, &[], bytes)?;
        self.records = nonce.saturating_add(1);
        Some(())
    }

    /// Opens the next record: the last 16 of `bytes` are the tag.
    pub(crate) fn open(&mut self, bytes: &mut [u8]) -> Option<()> {
        let nonce = self.nonce()?;
        RecordCipher::open(&self.key, nonce, &[], bytes)?;
        self.records = nonce.saturating_add(1);
        Some(())
    }

    /// The number of the next record. The last number is that of REKEY, and never used for a record. A new key is made here; a
    /// record that cannot be sealed or opened ends its direction, so it is not made twice.
    fn nonce(&mut self) -> Option<u64> {
        if self.records == u64::MAX {
            return None;
        }
        if self.records != 0 && self.records.is_multiple_of(REKEY_RECORDS) {
            self.rekey()?;
        }
        Some(self.records)
    }

    /// REKEY of section 4.2 of the Noise specification.
    fn rekey(&mut self) -> Option<()> {
        let mut sealed = Zeroizing::new([0; 32 + TAG_LEN]);
        RecordCipher::seal(&self.key, u64::MAX, &[], sealed.as_mut_slice())?;
        self.key = *sealed.first_chunk()?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_key_changes_at_multiples_of_65536_and_the_nonce_goes_on() {
        let mut key = RecordKey::new(&[3; 32]);
        let mut changes = Vec::new();
        for records in [0, 1, 65_535, 65_536, 65_537, 131_071, 131_072] {
            let before = key.key;
            key.records = records;
            assert_eq!(key.nonce(), Some(records));
            changes.push(key.key != before);
        }
        assert_eq!(changes, [false, false, false, true, false, false, true]);
        key.records = u64::MAX;
        assert_eq!(key.nonce(), None);
    }
}
