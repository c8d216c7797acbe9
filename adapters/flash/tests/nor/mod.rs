//! A NOR flash in memory whose power fails: writes clear bits, erasures set them, and either may be cut off in the middle.

// Not every test uses all of it.
#![allow(dead_code)]

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// What a read of a unit returns that a power cut has left half written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torn {
    /// Always the same.
    Stable,
    /// Something else each time: the old bits, the new ones, or a mixture.
    Unstable,
    /// An error, as from a flash that corrects errors.
    Unreadable,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power has failed.
    Power,
    /// A torn unit cannot be read.
    Uncorrectable,
    /// An offset or a length is wrong.
    Arguments(NorFlashErrorKind),
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

/// Flash that is written in units of `WRITE` bytes, read in units of `READ`, and erased in sectors of `ERASE`.
#[derive(Clone)]
pub struct Nor<const WRITE: usize, const READ: usize, const ERASE: usize> {
    pub bytes: Vec<u8>,
    units: Vec<Unit>,
    torn: Torn,
    /// Number of operations until the power fails in one.
    power: Option<u64>,
    is_off: bool,
    /// Number of writes and erasures, in whole sectors.
    pub operations: u64,
    pub erased_sectors: u64,
    random: Random,
}

#[derive(Clone)]
enum Unit {
    /// May be written once.
    Erased,
    Written,
    /// Cut off: what it was to become, and whether that was an erasure.
    Torn {
        wanted: Vec<u8>,
    },
}

impl<const WRITE: usize, const READ: usize, const ERASE: usize> Nor<WRITE, READ, ERASE> {
    /// Sectors whose contents are random.
    pub fn new(sectors: usize, torn: Torn, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let bytes = (0..sectors * ERASE).map(|_| random.byte()).collect();
        let units = vec![Unit::Written; sectors * ERASE / WRITE];
        Self { bytes, units, torn, power: None, is_off: false, operations: 0, erased_sectors: 0, random }
    }

    /// Lets the power fail within the `after`th operation from now on; `None`: never.
    pub fn cut_power(&mut self, after: Option<u64>) {
        self.power = after;
    }

    /// Whether the power has failed since it was switched on.
    pub fn is_off(&self) -> bool {
        self.is_off
    }

    pub fn power_on(&mut self) {
        self.is_off = false;
        self.power = None;
    }

    /// Whether the operation that is about to begin is cut off.
    fn is_cut(&mut self) -> Result<bool, Fault> {
        if self.is_off {
            return Err(Fault::Power);
        }
        self.operations += 1;
        match &mut self.power {
            Some(0) => {
                self.is_off = true;
                Ok(true)
            }
            Some(left) => {
                *left -= 1;
                Ok(false)
            }
            None => Ok(false),
        }
    }

    fn program(&mut self, unit: usize, wanted: &[u8]) {
        if wanted.iter().all(|&byte| byte == 0xff) {
            return;
        }
        match &self.units[unit] {
            Unit::Erased => self.units[unit] = Unit::Written,
            // It could not be seen that it is not erased: it stays as it is, unreliable.
            Unit::Torn { .. } if self.torn == Torn::Unstable => {}
            _ => panic!("unit {unit} is written twice without an erasure"),
        }
        for (byte, wanted) in self.bytes[unit * WRITE..].iter_mut().zip(wanted) {
            *byte &= wanted;
        }
    }

    /// Programs some of the bits of a unit.
    fn tear_program(&mut self, unit: usize, wanted: &[u8]) {
        let density = self.random.below(4);
        let partly: Vec<u8> = wanted.iter().map(|wanted| wanted | self.random.bits(density)).collect();
        if partly.iter().all(|&byte| byte == 0xff) && self.torn != Torn::Unstable {
            return;
        }
        self.program(unit, &partly);
        if self.torn != Torn::Stable || matches!(self.units[unit], Unit::Torn { .. }) {
            self.units[unit] = Unit::Torn { wanted: wanted.to_vec() };
        }
    }

    fn tear_erase(&mut self, unit: usize) {
        let density = self.random.below(4);
        let before = self.bytes[unit * WRITE..][..WRITE].to_vec();
        for byte in &mut self.bytes[unit * WRITE..][..WRITE] {
            *byte |= self.random.bits(density);
        }
        let after = &self.bytes[unit * WRITE..][..WRITE];
        if after != before {
            self.units[unit] = match self.torn {
                Torn::Stable if after.iter().all(|&byte| byte == 0xff) => Unit::Erased,
                Torn::Stable => Unit::Written,
                _ => Unit::Torn { wanted: vec![0xff; WRITE] },
            };
        }
    }
}

impl<const WRITE: usize, const READ: usize, const ERASE: usize> ErrorType for Nor<WRITE, READ, ERASE> {
    type Error = Fault;
}

impl<const WRITE: usize, const READ: usize, const ERASE: usize> ReadNorFlash for Nor<WRITE, READ, ERASE> {
    const READ_SIZE: usize = READ;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        check_read(self, offset, bytes.len()).map_err(Fault::Arguments)?;
        if self.is_off {
            return Err(Fault::Power);
        }
        let offset = offset as usize;
        bytes.copy_from_slice(&self.bytes[offset..][..bytes.len()]);
        for unit in offset / WRITE..(offset + bytes.len()).div_ceil(WRITE) {
            let Unit::Torn { wanted } = &self.units[unit] else { continue };
            if self.torn == Torn::Unreadable {
                return Err(Fault::Uncorrectable);
            }
            let choice = self.random.below(3);
            for (index, &wanted) in wanted.iter().enumerate() {
                let mixed = match choice {
                    0 => continue,
                    1 => wanted,
                    _ => wanted ^ (wanted ^ self.bytes[unit * WRITE + index]) & self.random.byte(),
                };
                if let Some(byte) = (unit * WRITE + index).checked_sub(offset).and_then(|at| bytes.get_mut(at)) {
                    *byte = mixed;
                }
            }
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WRITE: usize, const READ: usize, const ERASE: usize> NorFlash for Nor<WRITE, READ, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        check_erase(self, from, to).map_err(Fault::Arguments)?;
        let sectors = from as usize / ERASE..to as usize / ERASE;
        let is_cut = self.is_cut()?;
        let cut_in = sectors.start + self.random.below(sectors.len() as u64 + 1) as usize;
        self.erased_sectors += sectors.len() as u64;
        for sector in sectors {
            let units = sector * ERASE / WRITE..(sector + 1) * ERASE / WRITE;
            if !is_cut || sector < cut_in {
                self.bytes[sector * ERASE..][..ERASE].fill(0xff);
                self.units[units].fill(Unit::Erased);
            } else if sector == cut_in {
                // None, some, or all of the bits.
                match self.random.below(6) {
                    0 => {}
                    1 => {
                        self.bytes[sector * ERASE..][..ERASE].fill(0xff);
                        self.units[units].fill(Unit::Erased);
                    }
                    _ => units.for_each(|unit| self.tear_erase(unit)),
                }
            }
        }
        if is_cut { Err(Fault::Power) } else { Ok(()) }
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        check_write(self, offset, bytes.len()).map_err(Fault::Arguments)?;
        let is_cut = self.is_cut()?;
        let first = offset as usize / WRITE;
        let count = bytes.len() / WRITE;
        let cut_in = self.random.below(count as u64 + 1) as usize;
        // Some parts program a page in order, others all at once.
        let is_in_order = self.random.below(2) == 0;
        for (index, wanted) in bytes.chunks(WRITE).enumerate() {
            let unit = first + index;
            if !is_cut || is_in_order && index < cut_in {
                self.program(unit, wanted);
            } else if !is_in_order || index == cut_in {
                match self.random.below(4) {
                    0 => {}
                    1 => self.program(unit, wanted),
                    _ => self.tear_program(unit, wanted),
                }
            }
        }
        if is_cut { Err(Fault::Power) } else { Ok(()) }
    }
}

/// xorshift64*.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    /// A number from 0 to `end - 1`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 32) % end
    }

    /// A byte in which few (0) to all but few (3) bits are set.
    fn bits(&mut self, density: u64) -> u8 {
        match density {
            0 => self.byte() & self.byte() & self.byte(),
            1 => self.byte() & self.byte(),
            2 => self.byte(),
            _ => self.byte() | self.byte() | self.byte(),
        }
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }
}

/// How many power cuts a test is to make: the environment's `CORACLE_CUTS`, or what is quick enough for every run.
pub fn cuts(quick: u64) -> u64 {
    match std::env::var("CORACLE_CUTS") {
        Ok(cuts) => cuts.parse().expect("CORACLE_CUTS is a number"),
        Err(_) => quick,
    }
}
