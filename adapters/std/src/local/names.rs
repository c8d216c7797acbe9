//! Names of downloads: the temporary ones, and which served names cannot be file names on this machine.

use std::ffi::{OsStr, OsString};

use coracle_core::{Digest, DigestKind, Hasher};

use crate::sys;

/// The longest file name that common file systems take, in bytes.
const MAX_LEN: usize = 255;

/// How temporary names begin. No file is fetched to such a name.
const PREFIX: &str = ".coracle-";

/// How they end.
const SUFFIX: &str = ".part";

/// A file that is set aside gets a name that is longer by this many bytes.
const SPARE: usize = ".old1".len();

/// Suffix of the sidecar, behind the temporary name.
const SIDECAR: &str = ".json";

/// How the directories begin in which batches are written; a number follows.
const BATCH: &str = "batch-";

/// Name of directory `number` in which batches are written.
#[must_use]
pub fn batch_directory(number: usize) -> OsString {
    OsString::from(format!("{PREFIX}{BATCH}{number}"))
}

/// Name of the [`Index`](super::index::Index) in the directory that files are fetched to. It begins as unfinished downloads do,
/// so no file is fetched to it.
pub const INDEX: &str = ".coracle-index";

/// Names of one download in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Final name.
    pub target: OsString,
    /// Name until the file is whole and verified.
    pub part: OsString,
    /// Name of the sidecar.
    pub sidecar: OsString,
}

impl Names {
    /// The names for `target`: `.coracle-NAME.part` until it is complete, on every file system that can hold `NAME`.
    /// Temporary ones that would be longer than 255 bytes are cut at a character's boundary
    /// and made distinct by a hash of the whole name.
    #[must_use]
    pub fn new(target: &OsStr) -> Self {
        const MAX_STEM: usize = MAX_LEN - PREFIX.len() - SUFFIX.len() - SIDECAR.len() - SPARE;
        let mut part = OsString::from(PREFIX);
        if target.len() > MAX_STEM {
            let hash = format!("~{}", short_hash(target.as_encoded_bytes()));
            part.push(sys::beginning(target, boundary(target, MAX_STEM - hash.len())));
            part.push(hash);
        } else {
            part.push(target);
        }
        part.push(SUFFIX);
        let mut sidecar = part.clone();
        sidecar.push(SIDECAR);
        Self { target: target.to_owned(), part, sidecar }
    }
}

/// Whether `name` may be that of an unfinished download or of a sidecar.
#[must_use]
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let name = name.strip_suffix(SIDECAR.as_bytes()).unwrap_or(name);
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
}

/// Why a component of a served name cannot be a file name on this machine; `None` where it can. What no machine can
/// use, [`FileName`](coracle_core::FileName) has refused already.
#[must_use]
pub fn name_restriction(component: &str) -> Option<&'static str> {
    // In any case of letters, and with letters in between that are not seen, since not every file system tells them apart.
    let seen = component.chars().filter(|letter| !is_ignorable(*letter)).map(|letter| letter.to_ascii_lowercase());
    if seen.take(PREFIX.len()).eq(PREFIX.chars()) {
        return Some("unfinished downloads have such names");
    }
    if cfg!(windows) { windows_restriction(component) } else { None }
}

/// Whether file systems that take names for the same may leave `letter` out: the characters of Unicode's property
/// `Default_Ignorable_Code_Point`.
const fn is_ignorable(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Windows has special meanings for these: streams, devices, and endings that it drops silently.
fn windows_restriction(component: &str) -> Option<&'static str> {
    if component.contains(['<', '>', ':', '"', '|', '?', '*']) {
        return Some("one of < > : \" | ? * is not possible in a name on Windows");
    }
    if component.ends_with(['.', ' ']) {
        return Some("a name on Windows does not end in a dot or a space");
    }
    let stem = component.split('.').next().unwrap_or("").trim_end_matches(' ').to_uppercase();
    let numbered = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let port = numbered.is_some_and(|number| {
        let mut digits = number.chars();
        matches!((digits.next(), digits.next()), (Some('0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}'), None))
    });
    let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$");
    (port || device).then_some("it names a device on Windows")
}

/// The last character boundary (byte, where the name is not UTF-8) that is at most `limit`.
fn boundary(name: &OsStr, limit: usize) -> usize {
    match name.to_str() {
        Some(name) => (0..=limit).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0),
        None => limit,
    }
}

/// First 16 hexadecimal digits of the SHA-256.
fn short_hash(bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(DigestKind::Sha256).unwrap_or_else(|| unreachable!("the feature sha256 is on"));
    hasher.update(bytes);
    let digest: Digest = hasher.finish();
    digest.to_hex().as_str().chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    #[cfg(unix)]
    use std::os::unix::ffi::OsStringExt;

    use super::{INDEX, MAX_LEN, Names, SPARE, is_temporary, name_restriction, windows_restriction};

    fn names(target: &str) -> Names {
        Names::new(OsStr::new(target))
    }

    #[test]
    fn temporary_names_are_those_of_no_file() {
        let names = names("a.bin");
        let (part, sidecar) = (names.part.to_str().expect("UTF-8"), names.sidecar.to_str().expect("UTF-8"));
        assert_eq!((part, sidecar), (".coracle-a.bin.part", ".coracle-a.bin.part.json"));
        let unseen = [".cor\u{ad}acle-x", "\u{200b}.coracle-x", ".COR\u{feff}\u{200d}ACLE-x"];
        for name in [part, sidecar, INDEX, ".coracle-batch-0", ".Coracle-x", ".coracle-"].into_iter().chain(unseen) {
            assert!(name_restriction(name).is_some(), "{name}");
        }
        assert!(is_temporary(&names.part) && is_temporary(&names.sidecar));
        assert!(![INDEX, "a.part", ".coracle-batch-0"].iter().any(|name| is_temporary(OsStr::new(name))));
        for name in ["a.bin", "coracle-a", ".coracle", ".a.part", "caf\u{e9}\u{e9}\u{e9}\u{e9}"] {
            assert_eq!(name_restriction(name), None, "{name}");
        }
    }

    #[test]
    fn long_names_are_cut_at_a_character_and_stay_distinct() {
        let mut seen = std::collections::HashSet::new();
        for character in ["x", "é", "収", "\u{1f600}"] {
            for len in 220..=MAX_LEN {
                let mut name = character.repeat(len / character.len());
                name.push_str(&"z".repeat(len - name.len()));
                let names = names(&name);
                assert!(names.sidecar.len() + SPARE <= MAX_LEN, "{len}: {}", names.sidecar.len());
                assert!(names.part.to_str().is_some(), "a character was cut in two");
                assert_ne!(names.part, names.target);
                assert!(seen.insert(names.part), "two names share a temporary one");
            }
        }
        let twins = ["x".repeat(254) + "a", "x".repeat(254) + "b"].map(|name| names(&name).part);
        assert_ne!(twins[0], twins[1]);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_utf_8_are_cut_too() {
        let names = Names::new(&std::ffi::OsString::from_vec(vec![0xFF; MAX_LEN]));
        assert_eq!(names.sidecar.len() + SPARE, MAX_LEN);
    }

    #[test]
    fn p6_p7_windows_names() {
        for name in ["CON", "nul.txt", "COM1", "com\u{b9}.log", "aux .c", "a.", "a ", "f:stream", "a?b", "lpt9"] {
            assert!(windows_restriction(name).is_some(), "{name}");
        }
        for name in ["console", "COM", "COM10", "a.b", ".hidden", "null"] {
            assert_eq!(windows_restriction(name), None, "{name}");
        }
    }
}
