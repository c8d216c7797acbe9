//! What is said of the slots and the images in them.

use coracle_core::Digest;

/// One of the two places for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Slot {
    /// The first one.
    A,
    /// The second one.
    B,
}

impl Slot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// An image in a slot, complete or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Image {
    /// Length in bytes.
    pub size: u32,
    /// Digest of the whole image, as announced when its upload was begun.
    pub digest: Digest,
    /// Counts uploads: of two images the one with the higher number was begun later.
    pub number: u32,
    /// How far it came.
    pub state: ImageState,
}

impl Image {
    pub(crate) const fn new(size: u32, digest: Digest, number: u32, state: ImageState) -> Self {
        Self { size, digest, number, state }
    }
}

/// How far an image came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ImageState {
    /// Not all of it has been committed.
    Receiving,
    /// Committed, and started as often as its tries allow or less.
    Trial {
        /// Number of starts that are left.
        left: u8,
    },
    /// Started as often as its tries allowed, and not confirmed.
    OutOfTries,
    /// Confirmed by the firmware in it.
    Confirmed,
    /// Given up by [`ImageSlots::revert`](crate::ImageSlots::revert).
    Reverted,
}

impl ImageState {
    /// Whether the boot loader may start it.
    pub(crate) const fn is_startable(self) -> bool {
        matches!(self, Self::Trial { left: 1.. } | Self::Confirmed)
    }
}

/// The image that the boot loader is to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Choice {
    /// Where it is.
    pub slot: Slot,
    /// What it is; its state is from before this start.
    pub image: Image,
    /// Why it is started.
    pub reason: StartReason,
    /// Why a newer image is not started, where there is one.
    pub passed_over: Option<PassedOver>,
}

/// Why an image is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StartReason {
    /// It is the newest one, and confirmed.
    Confirmed,
    /// It is the newest one, and has to be confirmed.
    Trial {
        /// Number of starts that are left behind this one.
        left: u8,
    },
    /// It is out of tries or reverted, and there is nothing else.
    NothingElse,
}

/// Why a newer image is not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PassedOver {
    /// It is not complete.
    Incomplete,
    /// It was not confirmed in its tries.
    OutOfTries,
    /// It was reverted.
    Reverted,
    /// The boot loader's check refused it.
    Refused,
    /// Its start could not be counted, since the flash cannot be written.
    NotCounted,
}
