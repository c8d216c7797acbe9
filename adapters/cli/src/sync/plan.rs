//! Decides what a mirror deletes: a function of what the source has and of what is here, without a look at either.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::filter::Filter;

/// What begins the names of unfinished downloads, in any case of letters.
const TEMPORARY: &[u8] = b".coracle-";

/// What the source has, by names relative to its top, which is the empty one. What is excluded is not among it.
pub type Source = BTreeMap<String, SourceKind>;

/// What an entry of the source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    File,
    /// A directory that was listed from its first entry to its end.
    Directory {
        /// It has entries which the source keeps hidden.
        has_hidden: bool,
    },
    /// Something that was not looked into, as a link to a directory.
    Opaque,
}

/// An entry of the local directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEntry {
    /// Relative to the directory.
    pub path: PathBuf,
    pub kind: LocalKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    File,
    Directory,
    /// A directory that is not looked into, since another file system is mounted on it or it cannot be read.
    Closed,
    /// A symbolic link, or anything else that is not a regular file.
    Other,
}

/// What is to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is in a directory stands before it.
    pub deletions: Vec<Deletion>,
    /// How many entries there are, but for those that are kept whatever the source has.
    pub total: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub path: PathBuf,
    pub is_directory: bool,
}

/// What becomes of a local directory's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    /// The source has this directory, and what is not in it there is deleted here.
    Mirrored { has_hidden: bool },
    /// The source has no such directory: all goes.
    Gone,
    /// All stays.
    Kept,
}

/// Plans what is to be deleted in `local`, whose entries are sorted, for it to have no entry that the source lacks or has in
/// another kind. Kept are: what the filter excludes, unfinished downloads, what the source may have and hide, what is beneath
/// a link of the source, what was not looked into, and each directory that one of these lies in.
pub fn plan(source: &Source, local: &[LocalEntry], filter: &Filter) -> Plan {
    let has_hidden = matches!(source.get(""), Some(SourceKind::Directory { has_hidden: true }));
    let mut directories = HashMap::from([(Path::new(""), Inside::Mirrored { has_hidden })]);
    let mut candidates = Vec::new();
    let mut kept_in = HashSet::new();
    let mut total = 0;
    for entry in local {
        let path = entry.path.as_path();
        let parent = path.parent().unwrap_or(Path::new(""));
        let around = directories.get(parent).copied().unwrap_or(Inside::Kept);
        let (inside, is_deleted) = judge(source, filter, entry, around);
        if entry.kind == LocalKind::Directory {
            directories.insert(path, inside);
        }
        total += usize::from(inside != Inside::Kept);
        if is_deleted {
            candidates.push(entry);
        } else {
            kept_in.insert(parent);
        }
    }
    let mut deletions = Vec::new();
    // What is in a directory stands behind it in the sorted list.
    for entry in candidates.into_iter().rev() {
        let is_directory = entry.kind == LocalKind::Directory;
        if is_directory && kept_in.contains(entry.path.as_path()) {
            kept_in.extend(entry.path.parent());
        } else {
            deletions.push(Deletion { path: entry.path.clone(), is_directory });
        }
    }
    Plan { deletions, total }
}

/// What becomes of what is in `entry`, and whether it is to be deleted itself.
fn judge(source: &Source, filter: &Filter, entry: &LocalEntry, around: Inside) -> (Inside, bool) {
    const KEPT: (Inside, bool) = (Inside::Kept, false);
    let is_directory = matches!(entry.kind, LocalKind::Directory | LocalKind::Closed);
    let name = entry.path.file_name().map_or(&b""[..], OsStr::as_encoded_bytes);
    let is_temporary = name.get(..TEMPORARY.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(TEMPORARY));
    if is_temporary || entry.kind == LocalKind::Closed || filter.excludes(&entry.path, is_directory) {
        return KEPT;
    }
    let has_hidden = match around {
        Inside::Kept => return KEPT,
        Inside::Gone => return (Inside::Gone, true),
        Inside::Mirrored { has_hidden } => has_hidden,
    };
    // What is not UTF-8 has no name at the source.
    let theirs = entry.path.to_str().and_then(|path| source.get(path));
    match (theirs, entry.kind) {
        (Some(SourceKind::Opaque), _) => KEPT,
        (Some(SourceKind::File), LocalKind::File) => (Inside::Gone, false),
        (Some(SourceKind::Directory { has_hidden }), LocalKind::Directory) => {
            (Inside::Mirrored { has_hidden: *has_hidden }, false)
        }
        (None, _) if has_hidden && name.starts_with(b".") => KEPT,
        _ => (Inside::Gone, true),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clap::{Args, Command, FromArgMatches};
    use proptest::prelude::*;

    use super::{Deletion, LocalEntry, LocalKind, Plan, Source, SourceKind, plan};
    use crate::filter::Filter;

    fn filter(args: &[&str]) -> Filter {
        let command = Filter::augment_args(Command::new("test").no_binary_name(true));
        Filter::from_arg_matches(&command.get_matches_from(args)).expect("patterns")
    }

    fn source(entries: &[(&str, SourceKind)]) -> Source {
        entries.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    }

    /// `d/` is a directory, `l@` a link, `c|` a closed directory.
    fn local(names: &[&str]) -> Vec<LocalEntry> {
        let mut entries: Vec<_> = names.iter().map(|name| entry(name)).collect();
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        entries
    }

    fn entry(name: &str) -> LocalEntry {
        let kind = match name.chars().last() {
            Some('/') => LocalKind::Directory,
            Some('@') => LocalKind::Other,
            Some('|') => LocalKind::Closed,
            _ => LocalKind::File,
        };
        LocalEntry { path: PathBuf::from(name.trim_end_matches(['/', '@', '|'])), kind }
    }

    fn deleted(plan: &Plan) -> Vec<&str> {
        plan.deletions.iter().map(|deletion| deletion.path.to_str().expect("text")).collect()
    }

    const SHOWN: SourceKind = SourceKind::Directory { has_hidden: false };
    const HIDING: SourceKind = SourceKind::Directory { has_hidden: true };

    #[test]
    fn what_the_source_lacks_goes_and_contents_before_their_directory() {
        let source = source(&[("", SHOWN), ("a", SourceKind::File), ("d", SHOWN), ("d/b", SourceKind::File)]);
        let local = local(&["a", "d/", "d/b", "d/x", "y/", "y/e/", "y/e/f", "y/g@", "z"]);
        let plan = plan(&source, &local, &Filter::default());
        assert_eq!(deleted(&plan), ["z", "y/g", "y/e/f", "y/e", "y", "d/x"]);
        assert_eq!(plan.total, 9);
        assert!(plan.deletions[3].is_directory && !plan.deletions[1].is_directory);
    }

    #[test]
    fn what_has_another_kind_there_goes() {
        let source = source(&[("", SHOWN), ("f", SourceKind::File), ("d", SHOWN), ("d/x", SourceKind::File)]);
        let local = local(&["d@", "f/", "f/x"]);
        assert_eq!(deleted(&plan(&source, &local, &Filter::default())), ["f/x", "f", "d"]);
    }

    #[test]
    fn what_stays() {
        let source = source(&[("", HIDING), ("l", SourceKind::Opaque), ("d", SHOWN)]);
        let local = local(&[
            ".coracle-a.part",
            ".COracle-index",
            ".hidden",
            "c|",
            "d/",
            "d/.mine",
            "g/",
            "g/deep/",
            "g/deep/keep.me",
            "g/deep/x",
            "h/",
            "h/.coracle-b.part",
            "l/",
            "l/y",
        ]);
        let plan = plan(&source, &local, &filter(&["--exclude", "keep.*"]));
        assert_eq!(deleted(&plan), ["g/deep/x", "d/.mine"]);
    }

    /// A few names, so that the trees overlap.
    fn path() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec!["a", "b", ".c", "keep", ".coracle-d.part"]);
        prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
    }

    fn kind() -> impl Strategy<Value = SourceKind> {
        prop::sample::select(vec![SourceKind::File, SourceKind::File, SHOWN, SHOWN, HIDING, SourceKind::Opaque])
    }

    fn sources() -> impl Strategy<Value = Source> {
        (any::<bool>(), prop::collection::vec((path(), kind()), 0..12)).prop_map(|(has_hidden, entries)| {
            let mut source = Source::from([(String::new(), SourceKind::Directory { has_hidden })]);
            for (path, kind) in entries {
                // Ancestors are directories.
                for (end, _) in path.match_indices('/') {
                    if !matches!(source.get(&path[..end]), Some(SourceKind::Directory { .. })) {
                        source.insert(path[..end].to_owned(), SHOWN);
                    }
                }
                source.entry(path).or_insert(kind);
            }
            source
        })
    }

    fn locals() -> impl Strategy<Value = Vec<LocalEntry>> {
        let kinds = prop::sample::select(vec![
            LocalKind::File,
            LocalKind::File,
            LocalKind::Directory,
            LocalKind::Other,
            LocalKind::Closed,
        ]);
        prop::collection::vec((path(), kinds), 0..16).prop_map(|entries| {
            let mut tree = std::collections::BTreeMap::new();
            for (path, kind) in entries {
                for (end, _) in path.match_indices('/') {
                    tree.insert(PathBuf::from(&path[..end]), LocalKind::Directory);
                }
                tree.entry(PathBuf::from(path)).or_insert(kind);
            }
            tree.into_iter().map(|(path, kind)| LocalEntry { path, kind }).collect()
        })
    }

    /// Whether the rules let `entry` go, by itself and by what it lies in.
    fn may_go(source: &Source, entry: &LocalEntry, local: &[LocalEntry]) -> bool {
        let ancestors: Vec<&Path> = entry.path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        let kind_of = |path: &Path| local.iter().find(|entry| entry.path == path).expect("an entry").kind;
        let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).expect("text").to_owned();
        let is_protected = |path: &&Path| {
            let leaf = name(path);
            let parent = path.parent().and_then(Path::to_str).expect("text");
            let is_hidden = leaf.starts_with('.')
                && source.get(parent) == Some(&HIDING)
                && !source.contains_key(path.to_str().expect("text"));
            let is_linked = source.get(path.to_str().expect("text")) == Some(&SourceKind::Opaque);
            // Hidden or linked only where all that it lies in is a directory on both sides.
            let is_mirrored = path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).all(|path| {
                matches!(source.get(path.to_str().expect("text")), Some(SourceKind::Directory { .. }))
                    && kind_of(path) == LocalKind::Directory
            });
            leaf == "keep"
                || leaf.starts_with(".coracle-")
                || kind_of(path) == LocalKind::Closed
                || (is_mirrored && (is_hidden || is_linked))
        };
        if ancestors.iter().any(is_protected) {
            return false;
        }
        // Gone at the source, or of another kind there, or in something that is.
        let is_same = |path: &Path| {
            matches!(
                (source.get(path.to_str().expect("text")), kind_of(path)),
                (Some(SourceKind::File), LocalKind::File)
                    | (Some(SourceKind::Directory { .. }), LocalKind::Directory)
                    | (Some(SourceKind::Opaque), _)
            )
        };
        ancestors.iter().any(|path| !is_same(path))
    }

    proptest! {
        #[test]
        fn d22_deletes_what_may_go_and_nothing_else(source in sources(), local in locals()) {
            let plan = plan(&source, &local, &filter(&["--exclude", "keep"]));
            let goes = |entry: &LocalEntry| plan.deletions.iter().position(|deletion| deletion.path == entry.path);
            for entry in &local {
                let below: Vec<_> = local.iter().filter(|other| other.path.starts_with(&entry.path) && other.path != entry.path).collect();
                let all_below_go = below.iter().all(|other| goes(other).is_some());
                let expected = may_go(&source, entry, &local) && all_below_go;
                prop_assert_eq!(goes(entry).is_some(), expected, "{:?}", entry);
                if let Some(at) = goes(entry) {
                    prop_assert!(below.iter().all(|other| goes(other).is_some_and(|before| before < at)));
                    let deletion = Deletion { path: entry.path.clone(), is_directory: entry.kind == LocalKind::Directory };
                    prop_assert_eq!(&plan.deletions[at], &deletion);
                }
            }
            prop_assert!(plan.deletions.len() <= plan.total && plan.total <= local.len());
        }

        /// What was deleted is gone, so that a second plan has nothing more to delete.
        #[test]
        fn a_second_run_deletes_nothing(source in sources(), local in locals()) {
            let filter = filter(&["--exclude", "keep"]);
            let first = plan(&source, &local, &filter);
            let gone = |entry: &LocalEntry| first.deletions.iter().any(|deletion| deletion.path == entry.path);
            let rest: Vec<_> = local.into_iter().filter(|entry| !gone(entry)).collect();
            // But for directories that stayed for what is kept in them.
            prop_assert!(plan(&source, &rest, &filter).deletions.is_empty());
        }
    }
}
