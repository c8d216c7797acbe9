//! What is in the flash chip: the store with `config.json` and, where images run from slots, the image that waits; and the actions
//! `restart`, `confirm` and `revert`.

use core::cell::{Cell, RefCell};
use core::ffi::CStr;

use coracle_core::exec::ReadWrite;
use coracle_core::{ActionWords, RequestKind, ServerConfig, StoreError};
use coracle_firmware_chip::{CHIP_LEN, Chip, FILES_START, SLOTS};
#[cfg(not(feature = "slots"))]
use coracle_flash::Slot;
use coracle_flash::{FlashStore, ImageSlots, SharedFlash, SmallFiles};
use coracle_smoltcp::Server;
use static_cell::StaticCell;

use crate::board;
use crate::config::{Arguments, CONFIG, CONFIG_LEN, Settings};
use crate::files::Files;
use crate::flash_time::Timed;
use crate::rules::Rules;
#[cfg(feature = "slots")]
use crate::slots::RunningImage;

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

const ACTION_WORDS: &str = match (cfg!(feature = "slots"), cfg!(feature = "channel")) {
    (true, true) => "confirm revert restart psk-next",
    (true, false) => "confirm revert restart",
    (false, true) => "restart psk-next",
    (false, false) => "restart",
};
const ACTIONS: ActionWords<'static> = match ActionWords::new(ACTION_WORDS) {
    Ok(words) => words,
    Err(_) => panic!("these are words"),
};
/// How long the last answer has to leave before a restart.
const RESTART_AFTER_MS: u64 = 300;

static CHIP: StaticCell<RefCell<Timed<Chip>>> = StaticCell::new();
static UPDATES: StaticCell<Updates> = StaticCell::new();

/// The chip, and what was asked for.
pub struct Updates {
    flash: Flash,
    /// The image that runs.
    #[cfg(feature = "slots")]
    pub image: RunningImage,
    asked: Cell<Option<Asked>>,
    restart_at_ms: Cell<Option<u64>>,
}

#[derive(Clone, Copy)]
enum Asked {
    Restart,
    #[cfg(feature = "slots")]
    Revert,
}

impl Updates {
    /// Opens the chip.
    // Not inlined, so that it takes no stack while the board serves.
    #[inline(never)]
    pub fn open() -> &'static Self {
        #[cfg(feature = "slots")]
        let image = RunningImage::read();
        let Some(chip) = open_chip() else { defmt::panic!("flash=FILE names no chip") };
        let flash = SharedFlash::new(CHIP.init(RefCell::new(Timed::new(chip))));
        UPDATES.init(Self {
            flash,
            #[cfg(feature = "slots")]
            image,
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

    /// The store for the server.
    pub fn store(&self, files: Files<'static>, arguments: &Arguments) -> BoardStore {
        let mut slots = self.slots();
        #[cfg(feature = "slots")]
        let running = self.image.slot();
        // The chip has no image, and clients put none.
        #[cfg(not(feature = "slots"))]
        let running = Slot::A;
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
    // Without slots there is one.
    #[cfg_attr(not(feature = "slots"), allow(unused_variables))]
    pub fn perform(&self, action: &str) -> Result<(), StoreError> {
        #[cfg(feature = "slots")]
        match action {
            "confirm" => return self.image.confirm(&mut self.slots()),
            "revert" => {
                self.image.check_revert(&mut self.slots())?;
                self.asked.set(Some(Asked::Revert));
                return Ok(());
            }
            _ => {}
        }
        self.asked.set(Some(Asked::Restart));
        Ok(())
    }

    /// Restarts the board, when that is due.
    pub fn poll(&self, now_ms: u64) {
        #[cfg(feature = "slots")]
        if self.asked.get().is_none() && self.image.is_overdue(now_ms) {
            defmt::warn!("not confirmed in time");
            self.asked.set(Some(Asked::Restart));
        }
        if self.asked.get().is_none() {
            return;
        }
        let at_ms = self.restart_at_ms.get().unwrap_or(now_ms + RESTART_AFTER_MS);
        self.restart_at_ms.set(Some(at_ms));
        if now_ms < at_ms {
            return;
        }
        #[cfg(feature = "slots")]
        if let Some(Asked::Revert) = self.asked.get()
            && self.slots().revert(self.image.slot()).is_err()
        {
            defmt::error!("the image cannot be reverted");
            self.asked.set(None);
            self.restart_at_ms.set(None);
            return;
        }
        defmt::info!("restarting");
        board::restart()
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
