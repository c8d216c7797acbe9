//! What a client may do, in words.

use core::fmt;

use super::demand::{Demand, Grant, Permit};
use crate::types::file_name::FileName;
use crate::wire::request_kinds::{RequestKind, RequestKinds};

/// What a client may do: words with white space between them, as in an owner's list of clients.
///
/// | word | may |
/// | --- | --- |
/// | `read` | `list`, `stat`, `get` |
/// | `write` | `put`, also in place of what is there, `makeDir`, `space`, `sync` |
/// | `delete` | `delete`; with `write` also `rename` |
/// | `do=WORD` | `do` this action |
///
/// `read=logs/` is limited to what lies beneath the directory `logs`, which may itself be listed; so are `write=DIRECTORY/`
/// and `delete=DIRECTORY/`. Each word may stand there several times. Everybody with rights, even none, may ask `hello`.
///
/// The words are read at each request, so that nothing is kept of them but the text.
///
/// ```
/// use coracle_core::{Demand, Permit, RequestKind, Rights};
///
/// let rights = Rights::new("read write=config/ do=restart")?;
/// let stat = rights.permit(&Demand::new(RequestKind::Stat, "motd"));
/// assert!(matches!(stat, Permit::Granted(_)));
/// assert!(Rights::new("raed").is_err());
/// # Ok::<(), coracle_core::RightsError<'static>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights<'a>(&'a str);

/// A word that is no right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RightsError<'a> {
    word: &'a str,
}

impl<'a> RightsError<'a> {
    /// The word.
    #[must_use]
    pub const fn word(&self) -> &'a str {
        self.word
    }
}

impl fmt::Display for RightsError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a right is read, write or delete, with =DIRECTORY/ behind it where it is limited to one, or do=ACTION",
        )
    }
}

impl core::error::Error for RightsError<'_> {}

/// A right that may be limited to a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Read,
    Write,
    Delete,
}

impl Right {
    const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
        }
    }
}

/// What a right covers of a directory, which is where its words differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// What lies beneath it.
    Beneath,
    /// It, too.
    Itself,
}

impl<'a> Rights<'a> {
    /// No right but to ask `hello`.
    pub const NONE: Self = Self("");
    /// To read everything.
    pub const READ: Self = Self("read");

    /// Checks `words`.
    ///
    /// # Errors
    ///
    /// The first word that is no right.
    pub fn new(words: &'a str) -> Result<Self, RightsError<'a>> {
        match words.split_ascii_whitespace().find(|word| !is_right(word)) {
            Some(word) => Err(RightsError { word }),
            None => Ok(Self(words)),
        }
    }

    /// The words.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether they go beyond reading.
    #[must_use]
    pub fn can_change(self) -> bool {
        self.0.split_ascii_whitespace().any(|word| !word.starts_with(Right::Read.word()))
    }

    /// Whether a client with these rights may do what `demand` says: [`Permit::Granted`] or [`Permit::Denied`].
    #[must_use]
    pub fn permit(self, demand: &Demand<'_>) -> Permit<'static> {
        use Reach::{Beneath, Itself};
        let subject = demand.subject;
        // No wildcard: an exchange that is added has to be decided here.
        let confined = match demand.kind {
            RequestKind::Hello => Some(false),
            RequestKind::List => self.covers(Right::Read, subject, Itself),
            RequestKind::Stat | RequestKind::Get => self.covers(Right::Read, subject, Beneath),
            #[cfg(feature = "classic")]
            RequestKind::Select | RequestKind::Confirm => self.covers(Right::Read, subject, Beneath),
            #[cfg(feature = "write")]
            RequestKind::Put => self.covers(Right::Write, subject, Beneath),
            #[cfg(feature = "write")]
            RequestKind::Delete => self.covers(Right::Delete, subject, Beneath),
            #[cfg(feature = "manage")]
            RequestKind::Rename => {
                let ends = [
                    (Right::Write, subject),
                    (Right::Delete, subject),
                    (Right::Write, demand.to),
                    (Right::Delete, demand.to),
                ];
                ends.into_iter()
                    .try_fold(false, |confined, (right, name)| Some(self.covers(right, name, Beneath)? || confined))
            }
            #[cfg(feature = "manage")]
            RequestKind::MakeDir => self.covers(Right::Write, subject, Itself),
            #[cfg(feature = "manage")]
            RequestKind::Space => self.has(Right::Write).then_some(false),
            #[cfg(feature = "manage")]
            RequestKind::Do => self.may_do(subject).then_some(false),
            #[cfg(feature = "sync")]
            RequestKind::Sync => self.has(Right::Write).then_some(false),
        };
        let Some(confined) = confined else { return Permit::Denied };
        // A right to read that follows no links does not show what a right to write has followed some to.
        let may_compare = self.covers(Right::Read, subject, Beneath).is_some_and(|read| confined || !read);
        let actions = self.actions(demand);
        let grant = Grant::new(self.kinds(actions), actions);
        Permit::Granted(grant.with_confined(confined).with_comparing(may_compare))
    }

    /// Whether `right` covers `name`: `Some(true)` where it does so only because it is limited to a directory of it.
    fn covers(self, right: Right, name: &str, reach: Reach) -> Option<bool> {
        let mut confined = None;
        for limit in self.limits(right) {
            let Some(limit) = limit else { return Some(false) };
            let rest = name.strip_prefix(limit.trim_end_matches('/'));
            if rest.is_some_and(|rest| rest.starts_with('/') || reach == Reach::Itself && rest.is_empty()) {
                confined = Some(true);
            }
        }
        confined
    }

    /// Whether it has `right` anywhere.
    fn has(self, right: Right) -> bool {
        self.limits(right).next().is_some()
    }

    /// The directories that the words for `right` are limited to; `None` where one is not limited.
    fn limits(self, right: Right) -> impl Iterator<Item = Option<&'a str>> {
        self.0.split_ascii_whitespace().filter_map(move |word| match word.strip_prefix(right.word())? {
            "" => Some(None),
            limit => limit.strip_prefix('=').map(Some),
        })
    }

    fn may_do(self, action: &str) -> bool {
        !action.is_empty() && self.0.split_ascii_whitespace().any(|word| word.strip_prefix("do=") == Some(action))
    }

    /// The offered actions that it may do.
    fn actions(self, demand: &Demand<'_>) -> u8 {
        let bits = (0..u8::BITS).map(|index| 1_u8.wrapping_shl(index));
        let words = demand.actions.iter().zip(bits);
        words.filter(|(word, _)| self.may_do(word)).fold(0, |actions, (_, bit)| actions | bit)
    }

    /// What `hello` tells as permitted.
    fn kinds(self, actions: u8) -> RequestKinds {
        let _ = actions;
        let mut kinds = RequestKinds::NONE;
        let mut add = |is_permitted: bool, more: &[RequestKind]| {
            if is_permitted {
                kinds = more.iter().fold(kinds, |kinds, kind| kinds.with(*kind));
            }
        };
        add(self.has(Right::Read), &[RequestKind::List, RequestKind::Stat, RequestKind::Get]);
        #[cfg(feature = "write")]
        add(self.has(Right::Write), &[RequestKind::Put]);
        #[cfg(feature = "write")]
        add(self.has(Right::Delete), &[RequestKind::Delete]);
        #[cfg(feature = "manage")]
        add(self.has(Right::Write), &[RequestKind::MakeDir, RequestKind::Space]);
        #[cfg(feature = "sync")]
        add(self.has(Right::Write), &[RequestKind::Sync]);
        #[cfg(feature = "manage")]
        add(self.has(Right::Write) && self.has(Right::Delete), &[RequestKind::Rename]);
        #[cfg(feature = "manage")]
        add(actions != 0, &[RequestKind::Do]);
        kinds
    }
}

/// Whether `word` is a right: of a directory only if it is a file name with a `/` behind it.
fn is_right(word: &str) -> bool {
    if let Some(action) = word.strip_prefix("do=") {
        return !action.is_empty() && super::ActionWords::new(action).is_ok();
    }
    [Right::Read, Right::Write, Right::Delete].iter().any(|right| match word.strip_prefix(right.word()) {
        Some("") => true,
        Some(limit) => {
            let directory = limit.strip_prefix('=').and_then(|limit| limit.strip_suffix('/'));
            directory.is_some_and(|directory| FileName::new(directory).is_ok())
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::super::demand::{Demand, Permit};
    use super::Rights;
    use crate::RequestKind;

    fn is_granted(words: &str, kind: RequestKind, subject: &str) -> bool {
        let rights = Rights::new(words).expect("good");
        match rights.permit(&Demand::new(kind, subject)) {
            Permit::Granted(grant) => {
                // A right for all of it follows links.
                assert!(!grant.is_confined() || words.contains('/'));
                true
            }
            _ => false,
        }
    }

    #[test]
    fn only_rights_are_words_of_them() {
        for words in ["", " ", "read", "read\tread=a/ write=a/b/ delete=\u{e4}/ do=x-1", "do=a do=b"] {
            assert_eq!(Rights::new(words).map(Rights::as_str), Ok(words));
        }
        for word in [
            "raed",
            "Read",
            "reader",
            "read=",
            "read=/",
            "read=a",
            "read=/a/",
            "read=a//",
            "read=../",
            "read=a/../b/",
            "write:a/",
            "do",
            "do=",
            "do=A",
            "do=a=b",
            "do=a/",
            "plain",
            "*",
            "read,write",
        ] {
            let error = Rights::new(word).expect_err(word);
            assert_eq!(error.word(), word);
            assert!(error.to_string().starts_with("a right is read, write or delete"));
        }
        assert_eq!(Rights::new("read raed write").map_err(|error| error.word()), Err("raed"));
    }

    #[cfg(feature = "sync")]
    #[test]
    fn a_client_that_may_write_may_sync() {
        for (words, is_permitted) in [("write", true), ("read write=a/", true), ("read delete", false), ("", false)] {
            assert_eq!(is_granted(words, RequestKind::Sync, ""), is_permitted, "{words}");
        }
    }

    #[test]
    fn a_directory_limits_a_right() {
        use RequestKind::{Get, List, Stat};
        for kind in [Get, Stat] {
            assert!(is_granted("read=a/b/", kind, "a/b/c") && is_granted("read=a/b/", kind, "a/b/c/d"));
            for name in ["a/b", "a", "a/bc", "b/a/b/c", "A/b/c", "x"] {
                assert!(!is_granted("read=a/b/", kind, name), "{name}");
            }
        }
        assert!(is_granted("read=a/b/", List, "a/b") && is_granted("read=a/b/", List, "a/b/c"));
        assert!(!is_granted("read=a/b/", List, "") && !is_granted("read=a/b/", List, "a"));
        assert!(is_granted("read=a/ read=b/", Get, "b/x") && is_granted("read=a/ read", Get, "x"));
        assert!(!is_granted("write delete do=x", Get, "x") && !is_granted("", Get, "x"));
    }

    #[test]
    fn changing_takes_more_than_reading() {
        for (words, can_change) in
            [("", false), ("read read=a/", false), ("read write=a/", true), ("delete", true), ("read do=x", true)]
        {
            assert_eq!(Rights::new(words).map(Rights::can_change), Ok(can_change), "{words}");
        }
    }

    #[cfg(feature = "manage")]
    #[test]
    fn a_rename_needs_both_rights_at_both_ends() {
        let renamed = |words, name, to| {
            let demand = Demand::new(RequestKind::Rename, name).with_to(to);
            matches!(Rights::new(words).expect("good").permit(&demand), Permit::Granted(_))
        };
        assert!(renamed("write delete", "x", "y") && renamed("write=a/ delete=a/", "a/x", "a/y"));
        for words in ["write", "delete", "read", "write delete=a/", "write=a/ delete", "write=a/ delete=b/"] {
            assert!(!renamed(words, "a/x", "y"), "{words}");
        }
        assert!(!renamed("write=a/ delete=a/", "x", "a/y"));
    }

    #[cfg(feature = "manage")]
    #[test]
    fn what_is_there_is_shown_only_to_readers_of_it() {
        let compares = |words: &str| {
            let permit = Rights::new(words).expect("good").permit(&Demand::new(RequestKind::Put, "a/x"));
            assert!(matches!(permit, Permit::Granted(_)), "{words} may put");
            matches!(permit, Permit::Granted(grant) if grant.may_compare())
        };
        assert!(compares("read write") && compares("read write=a/") && compares("read=a/ write=a/"));
        assert!(!compares("write") && !compares("write read=b/") && !compares("read=a/ write"));
    }
}
