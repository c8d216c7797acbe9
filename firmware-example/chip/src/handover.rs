//! What the boot loader tells the firmware that it starts.

use coracle_flash::{Choice, PassedOver, Slot, StartReason};

const MAGIC: u32 = 0x4352_4c31;

/// What the boot loader tells the firmware: where it was started from, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The slot of the image that runs.
    pub slot: Slot,
    /// Why it was started.
    pub reason: &'static str,
    /// Number of starts that are left to confirm it; `None` where it is confirmed.
    pub left: Option<u8>,
    /// Why a newer image was not started; empty where there is none.
    pub passed_over: &'static str,
}

const REASONS: [&str; 3] = ["confirmed", "on trial", "there is nothing else"];
const PASSED_OVER: [&str; 6] = ["", "incomplete", "out of tries", "reverted", "refused", "not counted"];

impl Handover {
    /// Where the words lie in RAM: beyond what loader and firmware use.
    pub const ADDRESS: usize = 0x203f_f000;

    /// What a choice comes to.
    pub fn encode(choice: &Choice) -> [u32; 4] {
        let slot = match choice.slot {
            Slot::A => 0,
            Slot::B => 1,
        };
        let (reason, left) = match choice.reason {
            StartReason::Confirmed => (0, 0xff),
            StartReason::Trial { left } => (1, left.into()),
            _ => (2, 0),
        };
        let passed_over = match choice.passed_over {
            None => 0,
            Some(PassedOver::Incomplete) => 1,
            Some(PassedOver::OutOfTries) => 2,
            Some(PassedOver::Reverted) => 3,
            Some(PassedOver::NotCounted) => 5,
            Some(_) => 4,
        };
        let word = slot | reason << 8 | left << 16 | passed_over << 24;
        [MAGIC, word, !word, MAGIC]
    }

    /// Reads the words; `None` where no boot loader has left any.
    pub fn decode(words: [u32; 4]) -> Option<Self> {
        let [MAGIC, word, inverted, MAGIC] = words else { return None };
        let [slot, reason, left, passed_over] = word.to_le_bytes();
        (word == !inverted).then_some(())?;
        Some(Self {
            slot: if slot == 0 { Slot::A } else { Slot::B },
            reason: REASONS.get(usize::from(reason)).copied()?,
            left: (left != 0xff).then_some(left),
            passed_over: PASSED_OVER.get(usize::from(passed_over)).copied()?,
        })
    }
}
