//! `coracle index --check`: a tree compared with its manifest.

use std::io;

use coracle::local::{Escaped, escape_json};
use coracle::store::{DirectoryStore, Manifest, ManifestFile};
use coracle_core::FileName;
use serde_json::json;

use super::contents::{self, Contents, Unread, contents_of, modified};
use super::tree::Tree;
use crate::exit::{Exit, print_error};
use crate::progress::ProgressDisplay;
use crate::standard_output;

/// How a file differs from the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// It is not there.
    Missing,
    /// It has another size.
    Size,
    /// It has other contents of the same size.
    Contents,
    /// The manifest does not have it.
    Added,
}

/// Prints each file of `tree` that is not as `manifest` says.
pub fn run(store: &DirectoryStore, tree: &Tree, manifest: &Manifest, is_json: bool, is_quiet: bool) -> Exit {
    let display = ProgressDisplay::of_tree(is_quiet);
    display.expect(manifest.len() as u64, manifest.files().map(|(_, file)| file.size).sum());
    let (mut differences, mut failed, mut outdated) = (0_u64, tree.failed, 0_u64);
    let mut print = |name: &str, difference: Difference| -> io::Result<()> {
        differences += 1;
        let line = if is_json { difference.as_json(name) } else { difference.as_text(name) };
        display.suspend(|| standard_output::write(line.as_bytes()))
    };
    let mut check = || -> io::Result<()> {
        for (name, listed) in manifest.files() {
            match compare(store, name, listed, &display) {
                Ok((None, is_current)) => outdated += u64::from(!is_current),
                Ok((Some(difference), _)) => print(name, difference)?,
                Err(error) => {
                    failed += 1;
                    display.suspend(|| print_error(format_args!("{name}: {error}")));
                }
            }
            display.file_done(0);
        }
        tree.files
            .keys()
            .filter(|name| manifest.get(name).is_none())
            .try_for_each(|name| print(name, Difference::Added))
    };
    let printed = check();
    display.finish();
    match printed {
        // The reader of standard output wants no more, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Refused,
        Err(error) => {
            print_error(format_args!("standard output: {error}"));
            return Exit::LocalFile;
        }
        Ok(()) => {}
    }
    if !is_quiet {
        print_error(format_args!("{differences} differences, {} files in the manifest", manifest.len()));
        if outdated > 0 {
            print_error(format_args!(
                "{outdated} files have other times than in the manifest, so that servers do not use it for them: \
                 'coracle index' writes it anew"
            ));
        }
    }
    match (failed, differences) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Refused,
        _ => Exit::LocalFile,
    }
}

/// How the file `name` differs from what is `listed`, and whether it has its time.
fn compare(
    store: &DirectoryStore,
    name: &str,
    listed: &ManifestFile,
    display: &ProgressDisplay,
) -> Result<(Option<Difference>, bool), Unread> {
    let missing = Ok((Some(Difference::Missing), false));
    let Ok(name) = FileName::new(name) else { return missing };
    for _ in 0..3 {
        let file = match contents::open(store, name) {
            Err(Unread::Gone) => return missing,
            opened => opened?,
        };
        let metadata = file.as_std().metadata()?;
        if metadata.len() != listed.size {
            return Ok((Some(Difference::Size), false));
        }
        match contents_of(&file, &metadata, &mut display.bar(name.as_str()))? {
            Contents::Changed => {}
            Contents::Read(sha256) if sha256 == listed.sha256 => {
                return Ok((None, modified(&metadata) == listed.modified));
            }
            Contents::Read(_) => return Ok((Some(Difference::Contents), false)),
        }
    }
    Err(Unread::Changing)
}

impl Difference {
    fn as_text(self, name: &str) -> String {
        let what = match self {
            Self::Missing => "missing",
            Self::Size => "other size",
            Self::Contents => "other contents",
            Self::Added => "not in the manifest",
        };
        format!("{}: {what}\n", Escaped(name))
    }

    fn as_json(self, name: &str) -> String {
        let word = match self {
            Self::Missing => "missing",
            Self::Size => "size",
            Self::Contents => "contents",
            Self::Added => "added",
        };
        format!("{}\n", escape_json(&json!({ "fileName": name, "difference": word }).to_string()))
    }
}
