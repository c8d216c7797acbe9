//! Power cuts at every operation of the slots, with torn writes and erasures: one whole image can be started at every moment,
//! and an update can always be finished. `CORACLE_CUTS` is the number of cuts in random histories.

mod nor;

use coracle_core::{Digest, DigestKind, Hasher};
use coracle_flash::{Begun, Choice, ImageSlots, ImageState, Slot, SlotError, SlotLayout, UploadTarget};
use nor::{Fault, Nor, Random, Torn, cuts};

const TRIES: u8 = 3;

/// A board with flash of these units, and what it may start.
struct Board<const WRITE: usize, const READ: usize, const ERASE: usize> {
    nor: Nor<WRITE, READ, ERASE>,
    layout: SlotLayout,
    random: Random,
    torn: Torn,
    /// The confirmed image.
    old: Vec<u8>,
    new: Option<(Vec<u8>, Stage)>,
    /// All images that were committed, or may have been.
    committed: Vec<Vec<u8>>,
    cuts: u64,
    updates: u64,
}

/// How far the new image has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Uploading,
    /// The power failed in `commit`.
    MaybeCommitted,
    /// Number of starts that returned, and that were begun.
    Committed {
        done: u8,
        begun: u8,
    },
    /// The power failed in `confirm`.
    MaybeConfirmed,
    /// The power failed in `revert`.
    MaybeReverted,
    /// It was out of tries or reverted.
    GivenUp,
}

type Slots<'a, const WRITE: usize, const READ: usize, const ERASE: usize> = ImageSlots<&'a mut Nor<WRITE, READ, ERASE>>;

impl<const WRITE: usize, const READ: usize, const ERASE: usize> Board<WRITE, READ, ERASE> {
    /// With a confirmed image.
    fn new(sectors: usize, torn: Torn, seed: u64) -> Self {
        let nor = Nor::new(sectors, torn, seed);
        let layout = SlotLayout::new::<Nor<WRITE, READ, ERASE>>(0..(sectors * ERASE) as u32).expect("it fits");
        let random = Random::new(seed + 1);
        let mut board =
            Self { nor, layout, random, torn, old: Vec::new(), new: None, committed: Vec::new(), cuts: 0, updates: 0 };
        let first = board.image();
        let mut slots = ImageSlots::new(&mut board.nor, layout);
        upload(&mut slots, None, &first, &mut Random::new(1)).expect("installed");
        slots.confirm(Slot::A).expect("confirmed");
        board.committed.push(first.clone());
        board.old = first;
        board
    }

    fn image(&mut self) -> Vec<u8> {
        let max = u64::from(self.layout.slot_len());
        let len = match self.random.below(4) {
            0 => max,
            1 => ERASE as u64 * (1 + self.random.below(max / ERASE as u64)),
            _ => 1 + self.random.below(max),
        };
        self.random.bytes(len as usize)
    }

    fn slots(&mut self) -> Slots<'_, WRITE, READ, ERASE> {
        ImageSlots::new(&mut self.nor, self.layout)
    }

    /// The boot loader, with a power cut now and then, until it has started something. Checks what that is.
    fn boot(&mut self, may_cut: bool) -> Slot {
        loop {
            if may_cut && self.random.below(3) == 0 {
                let after = self.random.below(2);
                self.nor.cut_power(Some(after));
            }
            let (choice, image) = start(&mut self.slots());
            let is_off = self.nor.is_off();
            self.nor.power_on();
            if let Some((_, Stage::Committed { begun, .. })) = &mut self.new {
                *begun += 1;
            }
            if is_off {
                self.cuts += 1;
                continue;
            }
            let choice = choice.expect("an image can always be started");
            self.check(&image);
            return choice.slot;
        }
    }

    /// Whether `image` may be started now; what follows from it.
    fn check(&mut self, image: &[u8]) {
        assert!(self.committed.iter().any(|committed| committed == image), "what is started was committed once");
        if self.torn == Torn::Unstable {
            // What was written while the power failed is read differently each time, so any whole image will do.
            return;
        }
        let is_old = image == self.old;
        let Some((new, stage)) = &mut self.new else { return assert!(is_old, "the confirmed image is started") };
        assert!(is_old || image == new, "an image of these is started");
        *stage = match (*stage, is_old) {
            (Stage::Uploading | Stage::MaybeCommitted, true) => Stage::Uploading,
            // How many starts were cut off before is not known.
            (Stage::MaybeCommitted, false) => Stage::Committed { done: 1, begun: TRIES },
            (Stage::Committed { done, begun }, false) if done < TRIES => Stage::Committed { done: done + 1, begun },
            (Stage::Committed { begun, .. }, true) if begun > TRIES => Stage::GivenUp,
            (Stage::MaybeConfirmed | Stage::MaybeReverted, false) => *stage,
            (Stage::MaybeConfirmed | Stage::MaybeReverted | Stage::GivenUp, true) => Stage::GivenUp,
            other => panic!("{other:?} (old: {is_old})"),
        };
    }

    /// The firmware's turn in `running`, until it stops or the power fails.
    fn run(&mut self, running: Slot) {
        let (state, image) = self.running(running);
        if state == ImageState::Confirmed && image != self.old {
            assert!(self.torn == Torn::Unstable || matches!(self.new, Some((_, Stage::MaybeConfirmed))));
            (self.old, self.new) = (image, None);
        }
        let after = match self.random.below(4) {
            0 => self.random.below(4),
            1 => self.random.below(12),
            _ => self.random.below(60),
        };
        self.nor.cut_power(Some(after));
        if state == ImageState::Confirmed {
            self.update(running)
        } else {
            self.try_out(running)
        }
        if self.nor.is_off() {
            self.cuts += 1;
        }
        self.nor.power_on();
    }

    fn update(&mut self, running: Slot) {
        let goes_on = self.random.below(10) > 0;
        let image = match &self.new {
            Some((image, Stage::Uploading | Stage::MaybeCommitted)) if goes_on => image.clone(),
            _ => self.image(),
        };
        let mut pieces = Random::new(self.random.next());
        let stage = match upload(&mut self.slots(), Some(running), &image, &mut pieces) {
            Ok(()) => Stage::Committed { done: 0, begun: 0 },
            Err((During::Commit, _)) if self.nor.is_off() => Stage::MaybeCommitted,
            Err(_) if self.nor.is_off() => Stage::Uploading,
            // What was marked while the power failed is no longer read so.
            Err((_, SlotError::NotConfirmed | SlotError::Corrupt)) if self.torn == Torn::Unstable => Stage::Uploading,
            Err(error) => panic!("{error:?}"),
        };
        if stage != Stage::Uploading {
            self.committed.push(image.clone());
        }
        self.new = Some((image, stage));
    }

    fn try_out(&mut self, running: Slot) {
        let choice = self.random.below(4);
        let is_vague = self.torn == Torn::Unstable;
        let mut slots = self.slots();
        let stage = match choice {
            0 => return,
            1 => {
                let other = UploadTarget::new(1, Digest::Crc32(1));
                let refused = slots.begin(Some(running), &other);
                assert!(is_vague || refused == Err(SlotError::NotConfirmed), "the fallback is not erased: {refused:?}");
                return;
            }
            2 => match slots.revert(running) {
                Ok(()) => Stage::GivenUp,
                Err(_) if self.nor.is_off() => Stage::MaybeReverted,
                Err(SlotError::NoFallback) if is_vague => return,
                Err(error) => panic!("{error:?}"),
            },
            _ => match slots.confirm(running) {
                Ok(()) => {
                    self.updates += 1;
                    (_, self.old) = self.running(running);
                    self.new = None;
                    return;
                }
                Err(_) if self.nor.is_off() => Stage::MaybeConfirmed,
                Err(error) => panic!("{error:?}"),
            },
        };
        if let Some((_, before)) = &mut self.new {
            *before = stage;
        }
    }

    /// Without power cuts an update comes through from wherever the board is.
    fn finish(&mut self) {
        let next = self.image();
        let mut pieces = Random::new(self.random.next());
        let running = loop {
            let running = self.boot(false);
            let mut slots = self.slots();
            let done = slots.confirm(running).map_err(|error| (During::Confirm, error));
            match done.and_then(|()| upload(&mut slots, Some(running), &next, &mut pieces)) {
                Ok(()) => break running,
                // What was written while the power failed may be read one way and then the other.
                Err((_, SlotError::NoImage | SlotError::NotConfirmed | SlotError::Corrupt))
                    if self.torn == Torn::Unstable => {}
                Err(error) => panic!("an update comes through: {error:?}"),
            }
        };
        self.committed.push(next.clone());
        (_, self.old) = self.running(running);
        self.new = Some((next.clone(), Stage::Committed { done: 0, begun: 0 }));
        let running = self.boot(false);
        assert!(self.running(running).1 == next, "the update is started");
        self.slots().confirm(running).expect("confirmed");
        (self.old, self.new) = (next, None);
        self.updates += 1;
    }

    /// The state and the bytes of the image in `slot`.
    fn running(&mut self, slot: Slot) -> (ImageState, Vec<u8>) {
        let mut slots = self.slots();
        let info = slots.image(slot).expect("an image");
        let mut image = vec![0; info.size as usize];
        slots.read(slot, 0, &mut image).expect("it can be read");
        (info.state, image)
    }
}

/// What the boot loader does: the choice, and the image.
fn start<const WRITE: usize, const READ: usize, const ERASE: usize>(
    slots: &mut Slots<'_, WRITE, READ, ERASE>,
) -> (Option<Choice>, Vec<u8>) {
    let mut started = Vec::new();
    let choice = slots.choose(|mut image| {
        started = vec![0; image.info().size as usize];
        image.read(0, &mut started).is_ok_and(|len| len == started.len())
            && digest(image.info().digest.kind(), &started) == image.info().digest
    });
    (choice, started)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum During {
    Confirm,
    Begin,
    Write,
    Commit,
}

/// Begins or continues an upload, in random pieces, reads it back and commits it.
fn upload<const WRITE: usize, const READ: usize, const ERASE: usize>(
    slots: &mut Slots<'_, WRITE, READ, ERASE>,
    running: Option<Slot>,
    image: &[u8],
    pieces: &mut Random,
) -> Result<(), (During, SlotError<Fault>)> {
    let kind = if image.len().is_multiple_of(2) { DigestKind::Crc32 } else { DigestKind::Sha256 };
    let target = UploadTarget::new(image.len() as u32, digest(kind, image)).with_tries(TRIES);
    let mut offset = match slots.begin(running, &target).map_err(|error| (During::Begin, error))? {
        Begun::At(offset) => offset as usize,
        _ => return Ok(()),
    };
    while offset < image.len() {
        let end = image.len().min(offset + 1 + pieces.below(400) as usize);
        offset += slots.write(&image[offset..end]).map_err(|error| (During::Write, error))?;
    }
    let read_back = slots.upload_digest(&mut [0; 200]).map_err(|error| (During::Write, error))?;
    slots.commit(&read_back).map_err(|error| (During::Commit, error))
}

fn digest(kind: DigestKind, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(kind).expect("the build has it");
    hasher.update(bytes);
    hasher.finish()
}

/// Random histories with `wanted` power cuts.
fn histories<const WRITE: usize, const READ: usize, const ERASE: usize>(sectors: usize, wanted: u64) {
    for (torn, share) in [(Torn::Stable, 2), (Torn::Unreadable, 4), (Torn::Unstable, 4)] {
        let mut board = Board::<WRITE, READ, ERASE>::new(sectors, torn, WRITE as u64);
        let mut turns = 0;
        while board.cuts < wanted / share {
            let running = board.boot(true);
            // A header that was written while the power failed may be read no longer.
            if torn != Torn::Unstable || board.slots().image(running).is_some() {
                board.run(running);
            }
            turns += 1;
            if turns % 40 == 0 {
                board.finish();
            }
        }
        board.finish();
        assert!(board.updates > wanted / share / 40, "updates come through: {} of {turns} turns", board.updates);
    }
}

#[test]
fn o1_random_histories_with_write_unit_1() {
    histories::<1, 1, 256>(14, cuts(1_500) / 3);
}

#[test]
fn o1_random_histories_with_write_unit_8() {
    histories::<8, 4, 512>(12, cuts(1_500) / 3);
}

#[test]
fn o1_random_histories_with_write_unit_32() {
    histories::<32, 32, 1_024>(14, cuts(1_500) / 3);
}

/// An update from its first operation to its confirmation, cut off at each.
fn every_operation<const WRITE: usize, const READ: usize, const ERASE: usize>(sectors: usize) {
    for torn in [Torn::Stable, Torn::Unreadable, Torn::Unstable] {
        for seed in 0..4 {
            let mut board = Board::<WRITE, READ, ERASE>::new(sectors, torn, seed);
            let (whole, old, next) = (board.nor.clone(), board.old.clone(), board.image());
            for after in 0.. {
                board.nor = whole.clone();
                (board.old, board.new) = (old.clone(), None);
                board.nor.cut_power(Some(after));
                update(&mut board, &next);
                let is_over = !board.nor.is_off();
                board.nor.power_on();
                let (choice, image) = start(&mut board.slots());
                assert!(choice.is_some() && (image == old || image == next), "cut in operation {after}");
                board.new = Some((next.clone(), Stage::MaybeCommitted));
                board.committed.push(next.clone());
                board.finish();
                if is_over {
                    assert!(image == next && after >= 9);
                    break;
                }
            }
        }
    }
}

/// As far as the power lasts.
fn update<const WRITE: usize, const READ: usize, const ERASE: usize>(
    board: &mut Board<WRITE, READ, ERASE>,
    next: &[u8],
) {
    let mut slots = board.slots();
    if upload(&mut slots, Some(Slot::A), next, &mut Random::new(5)).is_ok() && start(&mut slots).0.is_some() {
        // Without power it fails, and then the test sees what is left.
        let _ = slots.confirm(Slot::B);
    }
}

#[test]
fn o1_a_cut_at_every_operation() {
    every_operation::<1, 1, 256>(8);
    every_operation::<8, 4, 512>(8);
    every_operation::<32, 32, 1_024>(10);
}
