//! Fetching to a simulated NOR flash: erased in sectors, written once, in words.

mod net;

use coracle_core::{DigestKind, End, FileName, GetRequest, StaticFile, StaticStore};
use coracle_smoltcp::{FetchError, FlashError, FlashSink};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use net::{Link, World, content, store};

const SECTOR: usize = 4096;
const PAGE: usize = 256;

struct Flash {
    bytes: Vec<u8>,
    is_erased: Vec<bool>,
    /// Number of writes and erasures until the power fails inside one.
    power: Option<usize>,
}

impl Flash {
    fn new(sectors: usize) -> Self {
        Self { bytes: vec![0x55; sectors * SECTOR], is_erased: vec![false; sectors * SECTOR], power: None }
    }

    /// How much of the next step, of `len` bytes, is done, and whether the power stays on.
    fn step(&mut self, len: usize) -> (usize, Result<(), Fault>) {
        match &mut self.power {
            Some(0) => (len / 2, Err(Fault::Power)),
            Some(left) => {
                *left -= 1;
                (len, Ok(()))
            }
            None => (len, Ok(())),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    NotErased,
    Power,
    Other(NorFlashErrorKind),
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Flash {
    type Error = Fault;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        check_read(self, offset, bytes.len()).map_err(Fault::Other)?;
        let offset = offset as usize;
        bytes.copy_from_slice(&self.bytes[offset..offset + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        check_erase(self, from, to).map_err(Fault::Other)?;
        let (len, result) = self.step((to - from) as usize);
        let range = from as usize..from as usize + len;
        self.bytes[range.clone()].fill(0xff);
        self.is_erased[range].fill(true);
        result
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        check_write(self, offset, bytes.len()).map_err(Fault::Other)?;
        let range = offset as usize..offset as usize + bytes.len();
        if self.is_erased[range.clone()].iter().any(|erased| !erased) {
            return Err(Fault::NotErased);
        }
        // An interrupted unit is neither erased nor written.
        self.is_erased[range.clone()].fill(false);
        let (len, result) = self.step(bytes.len());
        self.bytes[range][..len].copy_from_slice(&bytes[..len]);
        result
    }
}

const FILES: [(&str, usize); 3] = [("image", 50_001), ("page", 256), ("empty", 0)];

fn get(name: &'static str) -> GetRequest<'static> {
    GetRequest::new(FileName::from_static(name))
}

#[test]
fn a_file_is_written_whole() {
    for (name, len) in FILES {
        let mut world = World::<_, 1>::new(store(&FILES), Link::default());
        let mut sink = FlashSink::<_, PAGE>::new(Flash::new(13));
        let mut fetch = world.fetch(&get(name));
        let end = world.finish(&mut fetch, &mut sink);
        assert!(matches!(end, Ok(End::Verified(_))), "{end:?}");
        let flash = sink.finish().expect("written");
        assert_eq!(flash.bytes[..len], content(len), "{name}");
        let padding = len.next_multiple_of(PAGE) - len;
        assert!(flash.bytes[len..len + padding].iter().all(|byte| *byte == 0xff), "{name}");
        // A sector beyond the file is not touched.
        assert_eq!(flash.bytes.last(), if len > 12 * SECTOR { Some(&0xff) } else { Some(&0x55) }, "{name}");
    }
}

/// Interrupted anywhere, with or without a restart of the board: the rest is fetched, the earlier bytes are read back and
/// verified.
#[test]
fn a_cut_fetch_is_resumed() {
    for cut_at in [1, 255, 256, 4095, 4096, 4097, 20_000, 50_000] {
        for restarts in [false, true] {
            let mut world = World::<_, 2>::new(store(&FILES), Link::default());
            let mut flash = Flash::new(13);
            let mut sink = FlashSink::<_, PAGE>::new(&mut flash);
            let cut = get("image").with_length(Some(cut_at)).with_digest(None);
            let mut fetch = world.fetch(&cut);
            world.finish(&mut fetch, &mut sink).expect("the first part");
            let offset = sink.resume_offset();
            assert_eq!(u64::from(offset), cut_at - cut_at % 256);
            if restarts {
                // A partial page is lost, and the sector that was being written is written again.
                sink = FlashSink::resuming(&mut flash, offset + 3);
                assert_eq!(sink.resume_offset() as usize, offset as usize / SECTOR * SECTOR);
            }
            let rest = get("image").with_offset(sink.resume_offset().into()).with_digest_from(Some(0));
            let mut fetch = world.fetch(&rest);
            match world.finish(&mut fetch, &mut sink) {
                Ok(End::Verified(verified)) => assert!(verified.is_whole()),
                other => panic!("{cut_at}: {other:?}"),
            }
            sink.finish().expect("written");
            assert_eq!(flash.bytes[..50_001], content(50_001), "{cut_at}");
        }
    }
}

#[test]
fn a_file_that_is_too_long_is_refused_before_a_sector_is_erased() {
    let mut world = World::<_, 1>::new(store(&FILES), Link::default());
    let mut sink = FlashSink::<_, PAGE>::new(Flash::new(12));
    let mut fetch = world.fetch(&get("image"));
    let end = world.finish(&mut fetch, &mut sink);
    assert!(matches!(end, Err(FetchError::Sink(FlashError::TooLong))), "{end:?}");
    assert!(sink.finish().expect("untouched").bytes.iter().all(|byte| *byte == 0x55));
}

/// A resume at another offset than the sink's writes nothing.
#[test]
fn a_gap_is_refused() {
    let mut world = World::<_, 1>::new(store(&FILES), Link::default());
    let mut sink = FlashSink::<_, PAGE>::new(Flash::new(13));
    let mut fetch = world.fetch(&get("image").with_offset(256));
    let end = world.finish(&mut fetch, &mut sink);
    assert!(matches!(end, Err(FetchError::Sink(FlashError::Gap))), "{end:?}");
}

/// A board with two images in one flash serves the second, and fetches a newer one to the first. The power fails inside each
/// write and each erasure in turn; then the older image is served, and the newer one completed.
#[test]
fn d10_a_power_cut_at_any_write_leaves_the_image_before() {
    const LEN: usize = 20_001;
    const SLOT: usize = LEN.next_multiple_of(SECTOR);
    let before: Vec<u8> = content(2 * SLOT).split_off(SLOT);
    let new = store(&[("image", LEN)]);
    let mut cuts = 0;
    loop {
        let mut flash = Flash::new(2 * SLOT / SECTOR);
        flash.bytes[SLOT..].copy_from_slice(&before);
        flash.power = Some(cuts);
        let mut world = World::<_, 2>::new(new, Link::default());
        let mut sink = FlashSink::<_, PAGE>::new(&mut flash);
        let mut fetch = world.fetch(&get("image"));
        let end = world.finish(&mut fetch, &mut sink);
        let kept = sink.resume_offset();
        let is_cut = match end {
            Err(FetchError::Sink(FlashError::Flash(Fault::Power))) => true,
            Ok(End::Verified(_)) => sink.finish().is_err(),
            other => panic!("{cuts}: {other:?}"),
        };
        if !is_cut {
            break;
        }

        let served = [StaticFile::new("before", "v1", flash.bytes[SLOT..].to_vec().leak())];
        let mut board = World::<_, 2>::new(StaticStore::new(&*served.to_vec().leak()), Link::default());
        assert!(board.get("before", DigestKind::Crc32) == before, "{cuts}: the image before is another one");

        flash.power = None;
        let mut sink = FlashSink::<_, PAGE>::resuming(&mut flash, kept);
        let from = sink.resume_offset();
        let rest = get("image").with_offset(from.into()).with_digest_from(Some(0));
        let mut fetch = world.fetch(&rest);
        match world.finish(&mut fetch, &mut sink) {
            Ok(End::Verified(verified)) => assert!(verified.is_whole()),
            other => panic!("{cuts}, from {from}: {other:?}"),
        }
        sink.finish().expect("written");
        assert!(flash.bytes[..LEN] == content(LEN) && flash.bytes[SLOT..] == before, "{cuts}");
        cuts += 1;
    }
    assert_eq!(cuts, SLOT / SECTOR + LEN.div_ceil(PAGE), "each sector is erased once, each page written once");
}
