//! Updates: the store with the image that waits and `config.json` in the flash chip, and the actions `confirm`, `revert` and
//! `restart`.

use core::cell::{Cell, RefCell};
use core::ffi::CStr;

use coracle_core::exec::ReadWrite;
use coracle_core::{ActionWords, RequestKind, ServerConfig, StoreError};
use coracle_firmware_chip::{CHIP_LEN, Chip, FILES_START, Handover, SLOTS};
use coracle_flash::{FlashStore, ImageSlots, ImageState, SharedFlash, Slot, SmallFiles};
use coracle_smoltcp::Server;
use static_cell::StaticCell;

use crate::boot_log::Line;
use crate::config::{Arguments, CONFIG, CONFIG_LEN, Settings};
use crate::files::Files;
use crate::flash_time::Timed;
use crate::hardware;
use crate::rules::Rules;
use crate::status::Shared;

/// The chip, shared by all that is in it.
pub type Flash = SharedFlash<'static, Timed<Chip>>;
/// What clients read and write of the chip, and the board's own files.
type OwnStore = FlashStore<Files<'static>, Flash, Flash, Rules>;
/// What clients read and write.
#[cfg(not(feature = "media"))]
pub type BoardStore = OwnStore;
#[cfg(feature = "media")]
pub type BoardStore = crate::media::Media<OwnStore>;
/// The server; a session's buffer holds the longest request that writes.
pub type BoardServer<const N: usize> = Server<'static, ServedStore, N, ReadWrite, 640>;
/// What clients read and write, with the keys where there are any.
#[cfg(not(feature = "channel"))]
pub type ServedStore = BoardStore;
#[cfg(feature = "channel")]
pub type ServedStore = crate::keys::KeyedStore<BoardStore>;

const ACTION_WORDS: &str =
    if cfg!(feature = "channel") { "confirm revert restart psk-next" } else { "confirm revert restart" };
const ACTIONS: ActionWords<'static> = match ActionWords::new(ACTION_WORDS) {
    Ok(words) => words,
    Err(_) => panic!("these are words"),
};
/// How long the last answer has to leave before a restart.
const RESTART_AFTER_MS: u64 = 300;
/// How long an image on trial may run without being confirmed. Then it restarts, and is out of tries some time.
const CONFIRM_WITHIN_MS: u64 = 60_000;

static CHIP: StaticCell<RefCell<Timed<Chip>>> = StaticCell::new();
static UPDATES: StaticCell<Updates> = StaticCell::new();

/// The chip, and what was asked for.
pub struct Updates {
    flash: Flash,
    handover: Handover,
    is_confirmed: Cell<bool>,
    asked: Cell<Option<Asked>>,
    restart_at_ms: Cell<Option<u64>>,
}

#[derive(Clone, Copy)]
enum Asked {
    Restart,
    Revert,
}

impl Updates {
    /// Opens the chip that the boot loader has started this image from.
    // Not inlined, so that it takes no stack while the board serves.
    #[inline(never)]
    pub fn open() -> &'static Self {
        let Some(handover) = Handover::decode(hardware::handover()) else {
            defmt::panic!("started without the boot loader");
        };
        let Some(chip) = open_chip() else { defmt::panic!("flash=FILE names no chip") };
        let flash = SharedFlash::new(CHIP.init(RefCell::new(Timed::new(chip))));
        defmt::info!("slot {=str}: {=str}", slot_name(handover.slot), handover.reason);
        if !handover.passed_over.is_empty() {
            defmt::warn!("a newer image is not started: {=str}", handover.passed_over);
        }
        UPDATES.init(Self {
            flash,
            handover,
            is_confirmed: Cell::new(handover.left.is_none()),
            asked: Cell::new(None),
            restart_at_ms: Cell::new(None),
        })
    }

    /// Applies the `config.json` of the chip. Returns whether there is one.
    #[inline(never)]
    pub fn load_config(&self, settings: &mut Settings) -> bool {
        let mut files = self.small_files();
        let Some(file) = files.find(CONFIG.as_str()) else { return false };
        let mut json = [0; CONFIG_LEN];
        let Ok(len) = files.read(&file, 0, &mut json) else {
            defmt::error!("config.json cannot be read");
            return false;
        };
        match settings.apply(&json[..len]) {
            Ok(()) => {
                defmt::info!("configured from flash: name {=str}, idle_ms {=u32}", settings.name(), settings.idle_ms)
            }
            Err(why) => defmt::error!("config.json is refused: {=str}", why),
        }
        true
    }

    /// Says in `boot.log` which slot runs, and why.
    #[inline(never)]
    pub fn note_start(&self, shared: &RefCell<Shared>, now_ms: u64) {
        let shared = &mut *shared.borrow_mut();
        let mut line = Line::at(now_ms);
        line.text("slot ").text(slot_name(self.handover.slot)).text(": ").text(self.handover.reason);
        if let Some(left) = self.handover.left {
            line.text(", starts left: ").number(left.into());
        }
        shared.log.append(&line);
        if !self.handover.passed_over.is_empty() {
            let mut line = Line::at(now_ms);
            shared.log.append(line.text("a newer image is not started: ").text(self.handover.passed_over));
        }
    }

    /// The store for the server.
    pub fn store(&self, files: Files<'static>, arguments: &Arguments) -> BoardStore {
        let (mut slots, running) = (self.slots(), self.handover.slot);
        let rules = Rules::new(&mut slots, running, arguments.takes_any_file);
        #[cfg(feature = "media")]
        let boot = files.boot();
        let store = FlashStore::new(files, slots, running, self.small_files(), rules);
        #[cfg(feature = "media")]
        let store = crate::media::Media::open(store, boot as u32);
        store
    }

    /// The chip.
    #[cfg(feature = "channel")]
    pub const fn flash(&self) -> Flash {
        self.flash
    }

    /// Offers the exchanges that write.
    pub const fn offer(config: ServerConfig<'static>) -> ServerConfig<'static> {
        config
            .with_offered(RequestKind::Put)
            .with_offered(RequestKind::Delete)
            .with_offered(RequestKind::Space)
            .with_actions(ACTIONS)
    }

    /// Does one of the owner's actions, or notes it.
    pub fn perform(&self, action: &str) -> Result<(), StoreError> {
        match action {
            "confirm" => {
                self.slots().confirm(self.handover.slot).map_err(|_| StoreError::Io)?;
                self.is_confirmed.set(true);
                defmt::info!("confirmed");
            }
            "revert" => {
                let other = self.slots().image(self.handover.slot.other());
                if other.is_none_or(|image| image.state != ImageState::Confirmed) {
                    defmt::warn!("there is no image to return to");
                    return Err(StoreError::Io);
                }
                self.asked.set(Some(Asked::Revert));
            }
            _ => self.asked.set(Some(Asked::Restart)),
        }
        Ok(())
    }

    /// Restarts the board, when that is due.
    pub fn poll(&self, now_ms: u64) {
        if self.asked.get().is_none() && !self.is_confirmed.get() && now_ms > CONFIRM_WITHIN_MS {
            defmt::warn!("not confirmed in time");
            self.asked.set(Some(Asked::Restart));
        }
        let Some(asked) = self.asked.get() else { return };
        let at_ms = self.restart_at_ms.get().unwrap_or(now_ms + RESTART_AFTER_MS);
        self.restart_at_ms.set(Some(at_ms));
        if now_ms < at_ms {
            return;
        }
        if let Asked::Revert = asked
            && self.slots().revert(self.handover.slot).is_err()
        {
            defmt::error!("the image cannot be reverted");
            self.asked.set(None);
            self.restart_at_ms.set(None);
            return;
        }
        defmt::info!("restarting");
        hardware::restart()
    }

    /// Whether it restarts within [`RESTART_AFTER_MS`].
    #[cfg(feature = "mdns")]
    pub fn is_restarting(&self) -> bool {
        self.asked.get().is_some()
    }

    fn slots(&self) -> ImageSlots<Flash> {
        ImageSlots::new(self.flash, SLOTS)
    }

    fn small_files(&self) -> SmallFiles<Flash> {
        match SmallFiles::open(self.flash, FILES_START..CHIP_LEN) {
            Ok(files) => files,
            Err(_) => defmt::panic!("the chip has no room for files"),
        }
    }
}

fn open_chip() -> Option<Chip> {
    let mut path = [0; 256];
    let arguments = semihosting::experimental::env::args::<1024>().ok()?;
    let flash = arguments.skip(1).flatten().find_map(|argument| argument.strip_prefix("flash="))?;
    path.get_mut(..flash.len())?.copy_from_slice(flash.as_bytes());
    Chip::open(CStr::from_bytes_until_nul(&path).ok()?).ok()
}

fn slot_name(slot: Slot) -> &'static str {
    if slot == Slot::A { "A" } else { "B" }
}
