//! The only calls of the JSON parser and writer. Their bounds checks contain panics that a linker cannot remove, so
//! `tests/no-panic` links everything else with `--cfg without_json`, where these functions return anything.

use serde::Serialize;
use serde::de::Visitor;

/// Visits `object`, which the scanner accepted; `None` if the visitor refuses it.
#[cfg(not(without_json))]
#[inline(always)] // smaller than a call
pub(crate) fn read<'a, V: Visitor<'a>>(object: &'a [u8], visitor: V) -> Option<V::Value> {
    use serde::de::Deserializer as _;
    serde_json_core::de::Deserializer::new(object).deserialize_map(visitor).ok()
}

/// Writes `value` to the front of `buf` and returns its length; `None` if it does not fit.
#[cfg(not(without_json))]
#[inline(always)]
pub(crate) fn write(value: &impl Serialize, buf: &mut [u8]) -> Option<usize> {
    serde_json_core::to_slice(value, buf).ok()
}

#[cfg(without_json)]
#[inline(never)]
pub(crate) fn read<'a, V: Visitor<'a>>(object: &'a [u8], visitor: V) -> Option<V::Value> {
    core::hint::black_box((object, visitor));
    core::hint::black_box(None)
}

#[cfg(without_json)]
#[inline(never)]
pub(crate) fn write(value: &impl Serialize, buf: &mut [u8]) -> Option<usize> {
    core::hint::black_box((value, buf));
    core::hint::black_box(None)
}
