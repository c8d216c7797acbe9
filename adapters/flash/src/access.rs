//! Reads and writes of any length and position, whatever units the flash has.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

/// Longest write and read unit.
pub(crate) const MAX_UNIT: usize = 32;
/// The most that is written at once with padding: whole units of any flash.
pub(crate) const PADDED_LEN: usize = 2 * MAX_UNIT;

/// Whether a write or read size is supported.
pub(crate) const fn is_unit(size: usize) -> bool {
    size.is_power_of_two() && size <= MAX_UNIT
}

/// Reads `buf.len()` bytes from `offset` on, which need not be multiples of the flash's read size.
pub(crate) fn read<F: ReadNorFlash>(flash: &mut F, mut offset: u32, mut buf: &mut [u8]) -> Result<(), F::Error> {
    if F::READ_SIZE == 1 {
        return flash.read(offset, buf);
    }
    let unit_len = u32::try_from(F::READ_SIZE).unwrap_or(1);
    while !buf.is_empty() {
        let skipped = usize::try_from(offset % unit_len).unwrap_or(0);
        let whole = if skipped == 0 { buf.len() / F::READ_SIZE * F::READ_SIZE } else { 0 };
        let len = if whole > 0 {
            flash.read(offset, buf.get_mut(..whole).unwrap_or_default())?;
            whole
        } else {
            let mut unit = [0; MAX_UNIT];
            let unit = unit.get_mut(..F::READ_SIZE).unwrap_or_default();
            flash.read(offset - offset % unit_len, unit)?;
            let bytes = unit.get(skipped..).unwrap_or_default();
            let len = bytes.len().min(buf.len());
            if let (Some(to), Some(from)) = (buf.get_mut(..len), bytes.get(..len)) {
                to.copy_from_slice(from);
            }
            len
        };
        buf = buf.get_mut(len..).unwrap_or_default();
        offset = offset.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }
    Ok(())
}

/// Writes `bytes`, at most [`PADDED_LEN`], at a multiple of the flash's write size, and 0xFF up to the next one.
pub(crate) fn write_padded<F: NorFlash>(flash: &mut F, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
    let mut padded = [0xff; PADDED_LEN];
    let len = bytes.len().next_multiple_of(F::WRITE_SIZE).min(PADDED_LEN);
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    flash.write(offset, padded.get(..len).unwrap_or_default())
}
