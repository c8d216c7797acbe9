//! The local directory of a mirror: what is in it, and how that is deleted. No symbolic link beneath it is followed, so that
//! nothing outside of it is looked at or deleted, whatever other programs do meanwhile.

use std::io;
use std::path::{Path, PathBuf};

use super::plan::{Deletion, LocalEntry, LocalKind};
use crate::sys::{EntryKind, OpenDirectory};

/// The local directory, held open.
pub struct LocalTree {
    root: OpenDirectory,
    /// The directory of the last deletion.
    parent: Option<(PathBuf, OpenDirectory)>,
}

/// What [`LocalTree::walk`] found.
#[derive(Debug, Default)]
pub struct Walked {
    /// Sorted by path.
    pub entries: Vec<LocalEntry>,
    /// Directories that could not be read.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

impl LocalTree {
    /// Opens `path`, and follows symbolic links in it; `None` where there is no such directory.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        Ok(OpenDirectory::open(path)?.map(|root| Self { root, parent: None }))
    }

    /// Reads the directory and all that is beneath it.
    pub fn walk(&self) -> io::Result<Walked> {
        let mut walked = Walked::default();
        let mut waiting = vec![PathBuf::new()];
        while let Some(path) = waiting.pop() {
            match self.read(&path, &mut walked.entries, &mut waiting) {
                Ok(()) => {}
                Err(error) if path.as_os_str().is_empty() => return Err(error),
                // Removed in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => walked.unreadable.push((path, error)),
            }
        }
        walked.entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        for (path, _) in &walked.unreadable {
            if let Ok(at) = walked.entries.binary_search_by(|entry| entry.path.cmp(path)) {
                walked.entries[at].kind = LocalKind::Closed;
            }
        }
        Ok(walked)
    }

    /// Deletes an entry; one that is gone already is no error.
    pub fn delete(&mut self, deletion: &Deletion) -> io::Result<()> {
        let parent = deletion.path.parent().unwrap_or(Path::new(""));
        if self.parent.as_ref().is_none_or(|(path, _)| path != parent) {
            self.parent = Some((parent.to_owned(), self.root.open_below(parent)?));
        }
        let (Some((_, directory)), Some(leaf)) = (&self.parent, deletion.path.file_name()) else { return Ok(()) };
        match directory.remove(leaf, deletion.is_directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted,
        }
    }

    fn read(&self, path: &Path, entries: &mut Vec<LocalEntry>, waiting: &mut Vec<PathBuf>) -> io::Result<()> {
        let directory = self.root.open_below(path)?;
        for entry in directory.entries()? {
            let (name, kind) = entry?;
            let path = path.join(name);
            let kind = match kind {
                EntryKind::File => LocalKind::File,
                EntryKind::Directory => LocalKind::Directory,
                EntryKind::Mount => LocalKind::Closed,
                EntryKind::Other => LocalKind::Other,
            };
            if kind == LocalKind::Directory {
                waiting.push(path.clone());
            }
            entries.push(LocalEntry { path, kind });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::LocalTree;
    use crate::sync::plan::{Deletion, LocalKind};

    fn file(path: &str) -> Deletion {
        Deletion { path: PathBuf::from(path), is_directory: false }
    }

    #[test]
    fn walks_without_following_links() {
        let root = tempfile::tempdir().expect("a directory");
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("secret"), "").expect("written");
        fs::create_dir_all(root.path().join("d/e")).expect("created");
        fs::write(root.path().join("d/f"), "").expect("written");
        symlink(outside.path(), root.path().join("d/out")).expect("a link");
        symlink("nowhere", root.path().join("l")).expect("a link");
        let walked = LocalTree::open(root.path()).expect("open").expect("there").walk().expect("read");
        let seen: Vec<_> =
            walked.entries.iter().map(|entry| (entry.path.to_str().expect("text"), entry.kind)).collect();
        let expected = [
            ("d", LocalKind::Directory),
            ("d/e", LocalKind::Directory),
            ("d/f", LocalKind::File),
            ("d/out", LocalKind::Other),
            ("l", LocalKind::Other),
        ];
        assert_eq!(seen, expected);
        assert!(walked.unreadable.is_empty());
        assert!(LocalTree::open(&root.path().join("none")).expect("looked").is_none());
        assert!(LocalTree::open(&root.path().join("d/f")).is_err());
    }

    /// A directory that is replaced by a link to the outside between the walk and the deletion.
    #[test]
    fn d22_nothing_outside_is_deleted() {
        let root = tempfile::tempdir().expect("a directory");
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("f"), "").expect("written");
        fs::create_dir(root.path().join("d")).expect("created");
        fs::write(root.path().join("d/f"), "").expect("written");
        let mut tree = LocalTree::open(root.path()).expect("open").expect("there");
        fs::rename(root.path().join("d"), root.path().join("moved")).expect("renamed");
        symlink(outside.path(), root.path().join("d")).expect("a link");
        assert!(tree.delete(&file("d/f")).is_err());
        assert!(tree.delete(&file("../x")).is_err());
        assert!(outside.path().join("f").exists());
        // The link itself goes.
        tree.delete(&file("d")).expect("deleted");
        assert!(!root.path().join("d").exists() && outside.path().join("f").exists());
        tree.delete(&file("moved/f")).expect("deleted");
        tree.delete(&file("moved/f")).expect("gone already");
        tree.delete(&Deletion { path: PathBuf::from("moved"), is_directory: true }).expect("deleted");
        assert_eq!(fs::read_dir(root.path()).expect("a directory").count(), 0);
    }
}
