//! One value in two areas, with power cuts at every moment.

mod nor;

use std::cell::RefCell;

use coracle_flash::{LayoutError, PairError, RecordPair, SharedFlash};
use nor::{Nor, Torn};

type Chip<const WRITE: usize, const READ: usize> = Nor<WRITE, READ, 1_024>;
const KIND: [u8; 4] = *b"TEST";

fn pair<const WRITE: usize, const READ: usize>(
    chip: &RefCell<Chip<WRITE, READ>>,
) -> RecordPair<SharedFlash<'_, Chip<WRITE, READ>>> {
    RecordPair::open(SharedFlash::new(chip), 1_024..3_072, KIND).expect("it fits")
}

/// Two areas without anything, between other sectors.
fn chip<const WRITE: usize, const READ: usize>(torn: Torn, seed: u64) -> RefCell<Chip<WRITE, READ>> {
    let mut chip = Nor::new(4, torn, seed);
    embedded_storage::nor_flash::NorFlash::erase(&mut chip, 1_024, 3_072).expect("aligned");
    RefCell::new(chip)
}

#[test]
fn a_value_is_replaced_and_its_number_grows() {
    let chip = chip::<4, 1>(Torn::Stable, 1);
    let mut value = [0; 200];
    assert_eq!(pair(&chip).newest(&mut value), None);
    for number in 1..20_u64 {
        let bytes = vec![u8::try_from(number).expect("small"); usize::try_from(number * 5).expect("small")];
        assert_eq!(pair(&chip).replace(&bytes), Ok(number));
        assert_eq!(pair(&chip).newest(&mut value), Some((number, bytes.len())));
        assert_eq!(value[..bytes.len()], bytes);
    }
    assert_eq!(pair(&chip).replace(&[0; 109]), Err(PairError::TooLong));
    let mut other = RecordPair::open(SharedFlash::new(&chip), 1_024..3_072, *b"ELSE").expect("it fits");
    assert_eq!(other.newest(&mut value), None, "a value of another kind");
}

#[test]
fn what_was_never_a_value_is_none() {
    // Random bytes, as a chip has that nobody erased.
    let chip = RefCell::new(Nor::<4, 1, 1_024>::new(4, Torn::Stable, 7));
    assert_eq!(pair(&chip).newest(&mut []), None);
    assert_eq!(pair(&chip).replace(b"first"), Ok(2), "what stood there counts as used");
    assert_eq!(pair(&chip).newest(&mut []), Some((2, 5)));
}

#[test]
fn a_range_that_does_not_fit_is_refused() {
    let chip = chip::<4, 1>(Torn::Stable, 1);
    let open = |range| RecordPair::open(SharedFlash::new(&chip), range, KIND).err();
    assert_eq!(open(0..1_024), Some(LayoutError::NotAligned));
    assert_eq!(open(512..2_560), Some(LayoutError::NotAligned));
    assert_eq!(open(0..0), Some(LayoutError::TooSmall));
    assert_eq!(open(0..4_096), None);
}

/// The power fails at every operation of some replacements, and at random ones, also while it starts again.
fn cuts<const WRITE: usize, const READ: usize>(torn: Torn) {
    let cuts = std::env::var("CORACLE_CUTS").map_or(300, |cuts| cuts.parse().expect("a number"));
    let chip = chip::<WRITE, READ>(torn, 11);
    let number = pair(&chip).replace(&1_u64.to_le_bytes()).expect("the power is on");
    let (mut old, mut last) = (1_u64, number);
    for round in 0..cuts {
        let new = old + 1;
        chip.borrow_mut().cut_power(Some((round * 7) % 6));
        let result = pair(&chip).replace(&new.to_le_bytes());
        chip.borrow_mut().power_on();
        let mut value = [0; 8];
        let (number, _) = pair(&chip).newest(&mut value).expect("there is always one");
        let value = u64::from_le_bytes(value);
        assert!(value == old || value == new, "{value} is neither {old} nor {new}, round {round}");
        if let Ok(written) = result {
            assert!(written > last, "{written} was used before, round {round}");
            assert_eq!((value, number), (new, written), "round {round}");
            last = written;
        }
        // Whichever it is, it stays so once the next one has been written whole.
        let again = pair(&chip).replace(&value.to_le_bytes()).expect("the power is on");
        assert!(again > last && again > number, "round {round}");
        (old, last) = (value, again);
    }
}

#[test]
fn a_power_cut_leaves_the_old_value_or_the_new_one() {
    for torn in [Torn::Stable, Torn::Unstable, Torn::Unreadable] {
        cuts::<4, 1>(torn);
        cuts::<32, 32>(torn);
        cuts::<1, 1>(torn);
    }
}
