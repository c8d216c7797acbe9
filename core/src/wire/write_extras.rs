//! Reads what `hello` and `error` lines say of writing.

use core::ops::Range;

use crate::client::Violation;
use crate::wire::members::find;
use crate::wire::names::names;

/// The features that write, a bit for each in the order of the protocol's, the lowest for `put`; and where the list of actions is,
/// between its brackets.
pub(crate) fn features(line: &[u8]) -> Result<(u8, Range<usize>), Violation> {
    let [features, actions] = find(line, names!(["features", "actions"]));
    let known = ["put", "delete", "rename", "makeDir", "space", "do"];
    let features = features.words(line, &known).ok_or(Violation::Member)?;
    if actions.is_missing() {
        return Ok((features, 0..0));
    }
    Ok((features, actions.list(line).ok_or(Violation::Member)?))
}

/// The number of an `error` line that goes with `tooLarge` or `noSpace`; `None` where it has none.
pub(crate) fn limit(line: &[u8]) -> Option<u64> {
    let [max, free] = find(line, names!(["max", "free"]));
    max.number(line).or_else(|| free.number(line))
}
