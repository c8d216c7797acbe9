//! Why an operation on the slots fails.

/// Why an operation on the slots fails. `E` is the flash's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SlotError<E> {
    /// The flash failed, or does not hold what was written to it.
    Flash(E),
    /// What was written cannot be read back: the flash is worn out or write-protected.
    NotWritten,
    /// The other slot has the only image to return to, since the running one is not confirmed.
    NotConfirmed,
    /// No other image could be started instead.
    NoFallback,
    /// The slot has no image that could be started.
    NoImage,
    /// The image is longer than a slot.
    TooLarge {
        /// The longest image, in bytes.
        max: u32,
    },
    /// The image has no bytes.
    Empty,
    /// No upload was begun, or it was discarded.
    NoUpload,
    /// Not all bytes of the upload were written.
    Incomplete,
    /// What was read back has another digest than the upload was announced with; the upload is discarded.
    Corrupt,
}
