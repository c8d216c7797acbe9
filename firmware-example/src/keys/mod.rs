//! The board's keys: who it is, who its clients are, and what they may do. They lie in the flash chip, see `provision`.

mod board_keys;
mod page;
mod psks;
mod store;
mod trust;

use core::cell::RefCell;

use coracle_channel::{BoardEntropy, KeyPair};
use coracle_firmware_chip::{BOOTS, KEY_PAGE, PSKS};
use coracle_flash::RecordPair;
use embedded_storage::nor_flash::ReadNorFlash as _;
use static_cell::{ConstStaticCell, StaticCell};

pub use board_keys::BoardKeys;
use page::{KeyPage, PAGE_LEN};
use psks::Psks;
pub use store::KeyedStore;
pub use trust::{PROMOTE, Trust};

use crate::updates::Flash;

static PAGE: ConstStaticCell<[u8; PAGE_LEN]> = ConstStaticCell::new([0; PAGE_LEN]);
static TRUST: StaticCell<Trust> = StaticCell::new();

/// Reads the keys and counts this boot. Where anything of it is missing no client is served: nothing is spoken in plain.
// Not inlined, so that it takes no stack while the board serves.
#[inline(never)]
pub fn open(flash: Flash) -> (&'static Trust, BoardKeys) {
    let page = read_page(flash);
    if page.is_none() {
        defmt::error!("there are no keys: nobody is served before the board is provisioned");
    }
    let psks = Psks::open(flash, PSKS);
    if psks.current().is_none() {
        defmt::error!("there is no pre-shared key: nobody is served");
    }
    let trust = TRUST.init(Trust::new(page, RefCell::new(psks)));
    let key = page.and_then(|page| page.secret()).map(KeyPair::new);
    let entropy = page.and_then(|page| entropy(&page, flash));
    if entropy.is_none() {
        defmt::error!("there is no counter of boots, or no seed: nobody is served");
    }
    if let Some(key) = &key {
        let mut text = heapless::String::<64>::new();
        if core::fmt::write(&mut text, format_args!("{}", key.public())).is_ok() {
            defmt::info!("this board's key: {=str}", text);
        }
    }
    (trust, BoardKeys::new(trust, key, entropy))
}

/// The source of unpredictable bytes for this boot.
fn entropy(page: &KeyPage<'_>, flash: Flash) -> Option<BoardEntropy> {
    BoardEntropy::new(&page.secret()?, page.seed, count_boot(flash)?).ok()
}

/// The number of this boot, greater than that of any boot before, once it has been read back.
fn count_boot(flash: Flash) -> Option<u64> {
    let mut counter = RecordPair::open(flash, BOOTS, *b"BOOT").ok()?;
    // The first one is written when the board is provisioned: without it the numbers could repeat.
    counter.newest(&mut [])?;
    let boot = counter.replace(&[]).ok()?;
    defmt::info!("boot {=u64}", boot);
    Some(boot)
}

#[inline(never)]
fn read_page(mut flash: Flash) -> Option<KeyPage<'static>> {
    let bytes = PAGE.take();
    flash.read(KEY_PAGE, bytes).ok()?;
    KeyPage::decode(bytes)
}
