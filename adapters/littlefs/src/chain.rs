//! Files in blocks of their own. Each block but the first begins with the numbers of earlier ones.

use coracle_core::StoreError;
use embedded_storage::nor_flash::ReadNorFlash;

use crate::medium::Medium;

/// Number of the block that has the byte at `offset`, and where it is in there.
pub(crate) fn locate(block_len: u32, offset: u32) -> (u32, u32) {
    // Two numbers a block on average, as one has one more than its number has zeros at the end.
    let data_len = block_len - 8;
    let mut index = offset / data_len;
    if index == 0 {
        return (0, offset);
    }
    index = (offset - 4 * ((index - 1).count_ones() + 2)) / data_len;
    (index, offset - data_len * index - 4 * index.count_ones())
}

impl<F: ReadNorFlash> Medium<F> {
    /// The block with number `target` of a file whose last one is `head`, with number `last`.
    pub fn chain_block(&mut self, head: u32, last: u32, target: u32) -> Result<u32, StoreError> {
        if target > last || last >= self.blocks {
            return Err(StoreError::Io);
        }
        let (mut block, mut number) = (head, last);
        while number > target {
            // The furthest step that does not pass it.
            let skip = (number - target).ilog2().min(number.trailing_zeros());
            block = self.number(block, 4 * skip)?;
            number -= 1 << skip;
        }
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::locate;

    /// Block after block, counted by what each has.
    #[test]
    fn bytes_are_where_the_numbers_before_them_leave_room() {
        for block_len in [128, 512, 4_096] {
            let (mut index, mut place) = (0, 0);
            for offset in 0..block_len * 70 {
                assert_eq!(locate(block_len, offset), (index, place), "{offset} in blocks of {block_len}");
                place += 1;
                if place == block_len {
                    index += 1;
                    place = 4 * (u32::trailing_zeros(index) + 1);
                }
            }
        }
    }
}
