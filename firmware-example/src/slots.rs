//! Updates: the store with the image that waits and `config.json` in the flash chip, and the actions `confirm`, `revert` and
//! `restart`.

use core::cell::{Cell, RefCell};
use core::ffi::CStr;

use coracle_core::exec::ReadWrite;
use coracle_core::{ActionWords, RequestKind, ServerConfig, StoreError};
use coracle_firmware_chip::{CHIP_LEN, Chip, FILES_START, Handover, SLOTS};
use coracle_flash::{FlashStore, Image, ImageSlots, SharedFlash, Slot, SmallFiles, StoreRules};
use coracle_smoltcp::Server;
use static_cell::StaticCell;

use crate::config::{CONFIG_LEN, Settings};
use crate::files::Files;
use crate::hardware;

type Flash = SharedFlash<'static, Chip>;
/// What clients read and write.
pub type BoardStore = FlashStore<Files<'static>, Flash, Flash, Rules>;
/// The server; a session's buffer holds the longest request that writes.
pub type BoardServer<const N: usize> = Server<'static, ServedStore, N, ReadWrite, 640>;
/// What clients read and write, with the keys where there are any.
#[cfg(not(feature = "channel"))]
pub type ServedStore = BoardStore;
#[cfg(feature = "channel")]
pub type ServedStore = crate::keys::KeyedStore<BoardStore>;

const CONFIG: &str = "config.json";
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
/// Where images run, and their stacks are: an image for another board has other addresses.
const RUN_START: u32 = 0x0010_0000;
const RUN_END: u32 = 0x0040_0000;
const STACK_END: u32 = 0x2000_2000;

static CHIP: StaticCell<RefCell<Chip>> = StaticCell::new();
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
        let flash = SharedFlash::new(CHIP.init(RefCell::new(chip)));
        defmt::info!("slot {=str}: {=str}", if handover.slot == Slot::A { "A" } else { "B" }, handover.reason);
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
        let Some(file) = files.find(CONFIG) else { return false };
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

    /// The store for the server.
    pub fn store(&self, files: Files<'static>) -> BoardStore {
        let slots = ImageSlots::new(self.flash, SLOTS);
        FlashStore::new(files, slots, self.handover.slot, self.small_files(), Rules)
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
            "revert" => self.asked.set(Some(Asked::Revert)),
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
            defmt::error!("there is no image to return to");
            self.asked.set(None);
            self.restart_at_ms.set(None);
            return;
        }
        defmt::info!("restarting");
        hardware::restart()
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

/// What clients may write.
pub struct Rules;

impl StoreRules for Rules {
    fn may_write(&mut self, name: &str) -> bool {
        name == CONFIG
    }

    fn accepts(&mut self, _: &str, size: u32, read: &mut dyn FnMut(u32, &mut [u8]) -> usize) -> bool {
        let mut json = [0; CONFIG_LEN];
        let Some(json) = json.get_mut(..size as usize) else { return false };
        read(0, json) == json.len() && Settings::new().apply(json).is_ok()
    }

    fn accepts_image(&mut self, image: &Image, read: &mut dyn FnMut(u32, &mut [u8]) -> usize) -> bool {
        let mut start = [0; 8];
        if read(0, &mut start) < start.len() {
            return false;
        }
        let [a, b, c, d, e, f, g, h] = start;
        let (stack, reset) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        stack == STACK_END && (RUN_START..RUN_END.min(RUN_START + image.size)).contains(&reset)
    }

    fn changed(&mut self, _: &str) {
        defmt::info!("config.json has changed: it applies from the next start");
    }
}

fn open_chip() -> Option<Chip> {
    let mut path = [0; 256];
    let arguments = semihosting::experimental::env::args::<1024>().ok()?;
    let flash = arguments.skip(1).flatten().find_map(|argument| argument.strip_prefix("flash="))?;
    path.get_mut(..flash.len())?.copy_from_slice(flash.as_bytes());
    Chip::open(CStr::from_bytes_until_nul(&path).ok()?).ok()
}
