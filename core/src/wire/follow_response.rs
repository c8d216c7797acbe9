//! Reads what responses say of files that are followed.

use crate::client::Violation;
use crate::wire::members::find;
use crate::wire::names::names;

/// Which of the words `wait` and `absolute` are in the features of a `hello` line: a bit for each, the lowest for `wait`.
pub(crate) fn features(line: &[u8]) -> Result<u8, Violation> {
    let [features] = find(line, names!(["features"]));
    features.words(line, &["wait", "absolute"]).ok_or(Violation::Member)
}

/// The first byte that is still there, of a `file` or `error` line; `None` where it does not tell.
#[cfg(feature = "absolute")]
pub(crate) fn first(line: &[u8]) -> Result<Option<u64>, Violation> {
    let [first] = find(line, names!(["first"]));
    if first.is_missing() { Ok(None) } else { first.number(line).map(Some).ok_or(Violation::Member) }
}
