//! Reads what responses say of files that are followed.

use crate::client::Violation;
#[cfg(feature = "replaced")]
use crate::types::version::Version;
use crate::wire::members::find;
#[cfg(feature = "replaced")]
use crate::wire::response_reader::{bytes, optional, read_version, text};

/// Which of the words `wait` and `absolute` are in the features of a `hello` line: a bit for each, the lowest for `wait`.
pub(crate) fn features(line: &[u8]) -> Result<u8, Violation> {
    let [features] = find(line, &["features"]);
    features.words(line, &["wait", "absolute"]).ok_or(Violation::Member)
}

/// The version of the file that has the name now, of a `file` line; `None` where it does not tell.
#[cfg(feature = "replaced")]
pub(crate) fn next(line: &[u8]) -> Result<Option<Version>, Violation> {
    let [next] = find(line, &["next"]);
    optional(&next, text(&next))?.map(|next| read_version(bytes(line, next))).transpose()
}

/// The first byte that is still there, of a `file` or `error` line; `None` where it does not tell.
#[cfg(feature = "absolute")]
pub(crate) fn first(line: &[u8]) -> Result<Option<u64>, Violation> {
    let [first] = find(line, &["first"]);
    if first.is_missing() { Ok(None) } else { first.number(line).map(Some).ok_or(Violation::Member) }
}
