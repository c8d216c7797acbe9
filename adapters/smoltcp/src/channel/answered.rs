//! Which first messages were answered lately.

use core::mem::swap;
use core::num::NonZeroU32;

/// How many are remembered; beyond that the one is forgotten that came longest ago.
const COUNT: usize = 64;

/// What tells one message 1 from another: the last bytes of its authentication tag, which cannot be chosen without the pre-shared
/// key. Two of honest clients are the same once in 4 billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstId(NonZeroU32);

impl FirstId {
    /// Of a whole message 1.
    pub(super) fn new(first: &[u8]) -> Self {
        let id = u32::from_ne_bytes(first.last_chunk().copied().unwrap_or_default());
        Self(NonZeroU32::new(id).unwrap_or(NonZeroU32::MIN))
    }
}

/// The messages that were answered, the one that came last first. A client makes a new one for each connection, so that one that comes
/// again is a recording.
///
/// A server in a static takes no flash: without any it is all zero bytes.
pub(super) struct Answered([Option<FirstId>; COUNT]);

impl Answered {
    pub(super) const fn new() -> Self {
        Self([None; COUNT])
    }

    /// Whether a message that comes now was answered. Those that come again are the last to be forgotten, so that honest clients'
    /// do not push them out.
    pub(super) fn is_repeated(&mut self, first: FirstId) -> bool {
        let is_repeated = self.0.contains(&Some(first));
        if is_repeated {
            self.insert(first);
        }
        is_repeated
    }

    /// Moves it to the first place, those before its last place one further.
    pub(super) fn insert(&mut self, first: FirstId) {
        let mut moved = Some(first);
        for id in &mut self.0 {
            swap(id, &mut moved);
            if moved.is_none() || moved == Some(first) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> FirstId {
        FirstId::new(&[&[0xc0; 48][..], &number.to_be_bytes()].concat())
    }

    #[test]
    fn e7_so_many_messages_are_remembered() {
        let mut answered = Answered::new();
        assert!(!answered.is_repeated(id(0)), "none was answered");
        for number in 0..64 {
            answered.insert(id(number));
        }
        assert!((0..64).all(|number| answered.is_repeated(id(number))));
        assert!(!answered.is_repeated(id(64)));
        answered.insert(id(64));
        assert!(!answered.is_repeated(id(0)) && (1..=64).all(|number| answered.is_repeated(id(number))));
    }

    #[test]
    fn e7_what_is_repeated_is_not_pushed_out_by_honest_clients() {
        let mut answered = Answered::new();
        (0..63).for_each(|recorded| answered.insert(id(recorded)));
        for honest in 1_000..2_000 {
            answered.insert(id(honest));
            assert!((0..63).all(|recorded| answered.is_repeated(id(recorded))), "{honest}");
        }
    }
}
