//! Faults on purpose, so that a check can be seen to fail. Only built with `RUSTFLAGS="--cfg planted"`.

pub use chosen::planted;

#[cfg(not(target_os = "none"))]
mod chosen {
    extern crate std;

    use std::string::String;
    use std::sync::OnceLock;

    /// Whether the environment variable `CORACLE_PLANTED` chooses this fault (a line's number in `tests/FAULTS.md`). It is
    /// read once.
    pub fn planted(fault: &str) -> bool {
        static CHOSEN: OnceLock<String> = OnceLock::new();
        CHOSEN.get_or_init(|| std::env::var("CORACLE_PLANTED").unwrap_or_default()) == fault
    }

    /// What the core never does.
    pub(crate) fn allocate() {
        drop(core::hint::black_box(std::boxed::Box::new(0_u8)));
    }
}

/// A board has no environment: its firmware has faults of its own, and there are none here.
#[cfg(target_os = "none")]
mod chosen {
    /// Never.
    pub const fn planted(_: &str) -> bool {
        false
    }

    pub(crate) const fn allocate() {}
}

pub(crate) use chosen::allocate;
