//! What the slots do while the power stays on.

mod nor;

use coracle_core::{Digest, DigestKind, Hasher};
use coracle_flash::{
    Begun, Choice, ImageSlots, ImageState, LayoutError, PassedOver, Slot, SlotError, SlotLayout, StartReason,
    UploadTarget,
};
use nor::{Fault, Nor, Random, Torn};

const SECTORS: usize = 14;
type Flash = Nor<8, 4, 512>;

fn slots() -> ImageSlots<Flash> {
    let layout = SlotLayout::new::<Flash>(0..(SECTORS * 512) as u32).expect("it fits");
    ImageSlots::new(Flash::new(SECTORS, Torn::Stable, 1), layout)
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(DigestKind::Sha256).expect("the build has it");
    hasher.update(bytes);
    hasher.finish()
}

fn target(image: &[u8]) -> UploadTarget {
    UploadTarget::new(image.len() as u32, digest(image))
}

fn send(slots: &mut ImageSlots<Flash>, image: &[u8]) {
    let (offset, size) = slots.upload_progress().expect("an upload");
    assert_eq!(size as usize, image.len());
    let mut rest = &image[offset as usize..];
    while !rest.is_empty() {
        let taken = slots.write(rest).expect("written");
        assert!(taken > 0);
        rest = &rest[taken..];
    }
}

fn upload(slots: &mut ImageSlots<Flash>, running: Option<Slot>, image: &[u8]) {
    assert_eq!(slots.begin(running, &target(image)), Ok(Begun::At(0)));
    send(slots, image);
    let read_back = slots.upload_digest(&mut [0; 100]).expect("read back");
    slots.commit(&read_back).expect("committed");
}

fn choose(slots: &mut ImageSlots<Flash>) -> Option<Choice> {
    slots.choose(|mut image| {
        let wanted = image.info().digest;
        image.digest(wanted.kind(), &mut [0; 64]).is_ok_and(|digest| digest == Some(wanted))
    })
}

fn chosen(slots: &mut ImageSlots<Flash>) -> (Slot, StartReason, Option<PassedOver>) {
    let choice = choose(slots).expect("an image");
    (choice.slot, choice.reason, choice.passed_over)
}

fn image(seed: u64, len: usize) -> Vec<u8> {
    Random::new(seed).bytes(len)
}

/// Slots with a confirmed image in A.
fn installed() -> (ImageSlots<Flash>, Vec<u8>) {
    let (mut slots, first) = (slots(), image(1, 1_000));
    upload(&mut slots, None, &first);
    slots.confirm(Slot::A).expect("confirmed");
    (slots, first)
}

#[test]
fn an_empty_flash_has_nothing_to_start() {
    let mut slots = slots();
    assert_eq!(choose(&mut slots), None);
    assert_eq!(slots.image(Slot::A), None);
    assert_eq!(slots.confirm(Slot::A), Err(SlotError::NoImage));
    assert_eq!(slots.revert(Slot::A), Err(SlotError::NoFallback));
    assert_eq!(slots.write(b"x"), Err(SlotError::NoUpload));
}

#[test]
fn an_update_is_tried_and_confirmed() {
    let (mut slots, _) = installed();
    assert_eq!(chosen(&mut slots), (Slot::A, StartReason::Confirmed, None));
    let second = image(2, 1_777);
    upload(&mut slots, Some(Slot::A), &second);
    let waiting = slots.waiting(Slot::A).expect("it waits");
    assert_eq!((waiting.size, waiting.digest, waiting.number), (1_777, digest(&second), 2));
    assert_eq!(chosen(&mut slots), (Slot::B, StartReason::Trial { left: 2 }, None));
    let mut buf = [0; 2_000];
    assert_eq!(slots.read(Slot::B, 0, &mut buf), Ok(1_777));
    assert_eq!(&buf[..1_777], second);
    assert_eq!(slots.read(Slot::B, 1_770, &mut buf), Ok(7));
    assert_eq!(slots.read(Slot::B, 5_000, &mut buf), Ok(0));
    slots.confirm(Slot::B).expect("confirmed");
    let operations = slots.flash_mut().operations;
    slots.confirm(Slot::B).expect("confirmed again");
    assert_eq!(slots.flash_mut().operations, operations, "nothing is written twice");
    assert_eq!(chosen(&mut slots), (Slot::B, StartReason::Confirmed, None));
    assert_eq!(slots.waiting(Slot::B), None, "what was there before does not wait");
}

#[test]
fn o3_an_image_that_is_not_confirmed_is_tried_three_times() {
    let (mut slots, _) = installed();
    upload(&mut slots, Some(Slot::A), &image(2, 600));
    for left in [2, 1, 0] {
        assert_eq!(chosen(&mut slots), (Slot::B, StartReason::Trial { left }, None));
    }
    for _ in 0..5 {
        assert_eq!(chosen(&mut slots), (Slot::A, StartReason::Confirmed, Some(PassedOver::OutOfTries)));
    }
    assert_eq!(slots.waiting(Slot::A), None);
    // The same image may be tried again.
    upload(&mut slots, Some(Slot::A), &image(2, 600));
    assert_eq!(chosen(&mut slots), (Slot::B, StartReason::Trial { left: 2 }, None));
}

/// The mark of a confirmation is cut off: the image is confirmed or on trial, at most a try is lost, and it can be confirmed again.
#[test]
fn o4_a_torn_confirmation_leaves_the_image_confirmed_or_on_trial() {
    let (mut confirmed, mut on_trial) = (0, 0);
    for torn in [Torn::Stable, Torn::Unstable, Torn::Unreadable] {
        for seed in 1..=50 {
            let layout = SlotLayout::new::<Flash>(0..(SECTORS * 512) as u32).expect("it fits");
            let mut slots = ImageSlots::new(Flash::new(SECTORS, torn, seed), layout);
            upload(&mut slots, None, &image(1, 600));
            slots.confirm(Slot::A).expect("confirmed");
            upload(&mut slots, Some(Slot::A), &image(2, 600));
            // A confirmation is for the image that runs.
            slots.confirm(Slot::A).expect("confirmed");
            assert_eq!(chosen(&mut slots), (Slot::B, StartReason::Trial { left: 2 }, None));
            slots.flash_mut().cut_power(Some(0));
            assert!(slots.confirm(Slot::B).is_err(), "{torn:?} {seed}");
            slots.flash_mut().power_on();
            match chosen(&mut slots) {
                (Slot::B, StartReason::Confirmed, None) => confirmed += 1,
                (Slot::B, StartReason::Trial { left: 1 }, None) => on_trial += 1,
                other => panic!("{torn:?} {seed}: {other:?}"),
            }
            slots.confirm(Slot::B).expect("confirmed");
            for _ in 0..5 {
                assert_eq!(chosen(&mut slots), (Slot::B, StartReason::Confirmed, None), "{torn:?} {seed}");
            }
        }
    }
    assert!(confirmed > 0 && on_trial > 0, "{confirmed} {on_trial}");
}

#[test]
fn the_first_image_is_started_even_out_of_tries() {
    let mut slots = slots();
    let target = target(&image(1, 100)).with_tries(0);
    assert_eq!(slots.begin(None, &target), Ok(Begun::At(0)));
    send(&mut slots, &image(1, 100));
    let read_back = slots.upload_digest(&mut [0; 64]).expect("read back");
    slots.commit(&read_back).expect("committed");
    assert_eq!(chosen(&mut slots), (Slot::A, StartReason::Trial { left: 0 }, None));
    assert_eq!(chosen(&mut slots), (Slot::A, StartReason::NothingElse, Some(PassedOver::OutOfTries)));
    slots.confirm(Slot::A).expect("confirmed");
    assert_eq!(chosen(&mut slots), (Slot::A, StartReason::Confirmed, None));
}

#[test]
fn o8_the_running_and_the_waiting_image_are_not_sent_again() {
    let (mut slots, first) = installed();
    assert_eq!(slots.begin(Some(Slot::A), &target(&first)), Ok(Begun::Running));
    let second = image(2, 2_000);
    upload(&mut slots, Some(Slot::A), &second);
    let operations = slots.flash_mut().operations;
    assert_eq!(slots.begin(Some(Slot::A), &target(&second)), Ok(Begun::Waiting));
    assert_eq!(slots.flash_mut().operations, operations);
    // Another one replaces what waits.
    upload(&mut slots, Some(Slot::A), &image(3, 50));
    assert_eq!(chosen(&mut slots).0, Slot::B);
    assert_eq!(slots.image(Slot::B).expect("an image").size, 50);
}

#[test]
fn o2_the_only_fallback_is_not_erased() {
    let (mut slots, _) = installed();
    upload(&mut slots, Some(Slot::A), &image(2, 600));
    assert_eq!(chosen(&mut slots).0, Slot::B);
    let before = slots.flash_mut().bytes.clone();
    assert_eq!(slots.begin(Some(Slot::B), &target(&image(3, 10))), Err(SlotError::NotConfirmed));
    assert_eq!(slots.begin(None, &target(&image(3, 10))), Err(SlotError::NotConfirmed));
    assert!(slots.flash_mut().bytes == before);
    slots.confirm(Slot::B).expect("confirmed");
    upload(&mut slots, Some(Slot::B), &image(3, 10));
    assert_eq!(chosen(&mut slots), (Slot::A, StartReason::Trial { left: 2 }, None));
}

#[test]
fn the_firmware_gives_an_image_up() {
    let (mut slots, _) = installed();
    assert_eq!(slots.revert(Slot::A), Err(SlotError::NoFallback));
    upload(&mut slots, Some(Slot::A), &image(2, 600));
    assert_eq!(slots.revert(Slot::A), Err(SlotError::NoFallback), "what waits was never tried");
    assert_eq!(chosen(&mut slots).0, Slot::B);
    slots.revert(Slot::B).expect("reverted");
    slots.revert(Slot::B).expect("reverted again");
    assert_eq!(slots.begin(Some(Slot::B), &target(&image(3, 10))), Err(SlotError::NotConfirmed), "A is all there is");
    assert_eq!(chosen(&mut slots), (Slot::A, StartReason::Confirmed, Some(PassedOver::Reverted)));
    upload(&mut slots, Some(Slot::A), &image(3, 10));
    assert_eq!(chosen(&mut slots).0, Slot::B);
    // A confirmed one, too, while the one before is still there.
    slots.confirm(Slot::B).expect("confirmed");
    slots.revert(Slot::B).expect("reverted");
    assert_eq!(chosen(&mut slots).0, Slot::A);
}

#[test]
fn o5_a_damaged_image_is_passed_over() {
    let (mut slots, _) = installed();
    upload(&mut slots, Some(Slot::A), &image(2, 600));
    slots.confirm(Slot::B).expect("confirmed");
    let at = slots.layout().image_start(Slot::B) as usize + 300;
    slots.flash_mut().bytes[at] ^= 4;
    assert_eq!(chosen(&mut slots), (Slot::A, StartReason::Confirmed, Some(PassedOver::Refused)));
    assert_eq!(chosen(&mut slots), (Slot::A, StartReason::Confirmed, Some(PassedOver::Reverted)));
    // It can be sent again, since it does not wait.
    upload(&mut slots, Some(Slot::A), &image(2, 600));
    assert_eq!(chosen(&mut slots).0, Slot::B);
    // Both: nothing is started, and nothing is given up.
    for slot in Slot::ALL {
        let at = slots.layout().image_start(slot) as usize + 300;
        slots.flash_mut().bytes[at] ^= 4;
    }
    assert_eq!(choose(&mut slots), None);
    for slot in Slot::ALL {
        let at = slots.layout().image_start(slot) as usize + 300;
        slots.flash_mut().bytes[at] ^= 4;
    }
    assert_eq!(chosen(&mut slots).0, Slot::B);
}

#[test]
fn a_damaged_upload_is_not_committed() {
    let (mut slots, _) = installed();
    let second = image(2, 1_300);
    assert_eq!(slots.begin(Some(Slot::A), &target(&second)), Ok(Begun::At(0)));
    assert_eq!(slots.upload_digest(&mut [0; 64]), Err(SlotError::Incomplete));
    assert_eq!(slots.commit(&digest(&second)), Err(SlotError::Incomplete));
    send(&mut slots, &second);
    assert_eq!(slots.write(b"more"), Ok(0));
    let at = slots.layout().image_start(Slot::B) as usize + 700;
    slots.flash_mut().bytes[at] ^= 1;
    let read_back = slots.upload_digest(&mut [0; 64]).expect("read back");
    assert_eq!(slots.commit(&read_back), Err(SlotError::Corrupt));
    assert_eq!(slots.image(Slot::B), None);
    upload(&mut slots, Some(Slot::A), &second);
    assert_eq!(chosen(&mut slots).0, Slot::B);
}

#[test]
fn an_upload_goes_on_where_it_ended() {
    let (mut slots, _) = installed();
    let second = image(2, 2_222);
    assert_eq!(slots.begin(Some(Slot::A), &target(&second)), Ok(Begun::At(0)));
    let mut sent = 0;
    while sent < 1_500 {
        sent += slots.write(&second[sent..1_500.min(sent + 101)]).expect("written");
    }
    // Another connection, without a restart.
    assert_eq!(slots.begin(Some(Slot::A), &target(&second)), Ok(Begun::At(1_500)));
    assert_eq!(slots.waiting(Slot::A), None);
    assert_eq!(slots.image(Slot::B).map(|image| image.state), Some(ImageState::Receiving));
    assert_eq!(chosen(&mut slots), (Slot::A, StartReason::Confirmed, Some(PassedOver::Incomplete)));
    // A restart.
    let layout = *slots.layout();
    let mut slots = ImageSlots::new(slots.into_flash(), layout);
    assert_eq!(slots.begin(Some(Slot::A), &target(&second)), Ok(Begun::At(1_024)));
    send(&mut slots, &second);
    let read_back = slots.upload_digest(&mut [0; 64]).expect("read back");
    slots.commit(&read_back).expect("committed");
    assert_eq!(chosen(&mut slots).0, Slot::B);
}

#[test]
fn another_upload_or_the_owner_drops_what_is_there() {
    let (mut slots, _) = installed();
    let (second, third) = (image(2, 2_222), image(3, 2_222));
    assert_eq!(slots.begin(Some(Slot::A), &target(&second)), Ok(Begun::At(0)));
    send(&mut slots, &second[..]);
    assert_eq!(slots.begin(Some(Slot::A), &target(&third)), Ok(Begun::At(0)));
    slots.discard().expect("discarded");
    assert_eq!((slots.upload_progress(), slots.image(Slot::B)), (None, None));
    assert_eq!(slots.begin(Some(Slot::A), &target(&third)), Ok(Begun::At(0)));
    slots.write(&third[..600]).expect("written");
    slots.discard_partial().expect("discarded");
    assert_eq!((slots.upload_progress(), slots.image(Slot::B)), (None, None));
    assert!(slots.image(Slot::A).is_some());
}

#[test]
fn a_write_erases_at_most_a_sector() {
    let (mut slots, _) = installed();
    let longest = image(2, slots.layout().slot_len() as usize);
    assert_eq!(slots.begin(Some(Slot::A), &target(&longest)), Ok(Begun::At(0)));
    let mut sent = 0;
    while sent < longest.len() {
        let before = slots.flash_mut().erased_sectors;
        sent += slots.write(&longest[sent..]).expect("written");
        assert_eq!(slots.flash_mut().erased_sectors, before + 1);
    }
    let max = slots.layout().slot_len();
    let too_long = UploadTarget::new(max + 1, digest(b""));
    assert_eq!(slots.begin(Some(Slot::A), &too_long), Err(SlotError::TooLarge { max }));
    assert_eq!(slots.begin(Some(Slot::A), &target(b"")), Err(SlotError::Empty));
}

#[test]
fn a_flash_that_fails_starts_what_needs_no_writing() {
    let (mut slots, _) = installed();
    upload(&mut slots, Some(Slot::A), &image(2, 600));
    slots.flash_mut().cut_power(Some(0));
    let choice = slots.choose(|_| true).expect("an image");
    assert_eq!((choice.slot, choice.passed_over), (Slot::A, Some(PassedOver::NotCounted)));
    assert_eq!(slots.confirm(Slot::A), Err(SlotError::NoImage));
    assert_eq!(slots.begin(None, &target(b"x")), Err(SlotError::Flash(Fault::Power)));
}

#[test]
fn layouts() {
    let layout = SlotLayout::new::<Nor<8, 4, 512>>(1_024..8_192).expect("it fits");
    // Two records of two sectors, and two slots of five.
    assert_eq!((layout.slot_len(), layout.progress_step()), (5 * 512, 512));
    assert_eq!((layout.image_start(Slot::A), layout.image_start(Slot::B)), (3_072, 3_072 + 5 * 512));
    // 4 MB in sectors of 4 KB: more sectors than marks at a write unit of 32.
    let layout = SlotLayout::new::<Nor<32, 1, 4_096>>(0..4 << 20).expect("it fits");
    assert!(layout.progress_step() > 4_096 && layout.progress_step().is_multiple_of(4_096));
    assert_eq!(SlotLayout::new::<Nor<8, 4, 512>>(0..1_535), Err(LayoutError::NotAligned));
    assert_eq!(SlotLayout::new::<Nor<8, 4, 512>>(0..1_536), Err(LayoutError::TooSmall));
    assert_eq!(SlotLayout::new::<Nor<64, 4, 512>>(0..8_192), Err(LayoutError::Units));
    assert_eq!(SlotLayout::new::<Nor<8, 3, 512>>(0..8_192), Err(LayoutError::Units));
}
