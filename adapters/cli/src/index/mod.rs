//! `coracle index`: the manifest of a directory, with the digest of each file.

mod check;
mod contents;
mod tree;

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use coracle::store::{DirectoryStore, Manifest, ManifestError, ManifestFile};
use coracle_core::FileName;

use crate::exit::{Exit, print_error};
use crate::progress::ProgressDisplay;
use contents::{Contents, Unread, contents_of, is_settled, modified, wait_until_settled};
use tree::Tree;

/// Write the manifest of a directory, with the SHA-256 of each file, or check the files by it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = LONG_HELP)]
pub struct Index {
    /// The directory
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    directory: PathBuf,
    /// The manifest [default: .coracle-manifest in DIR]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    manifest: Option<PathBuf>,
    /// Write nothing: read all files, and print each that is not as the manifest says
    #[arg(long)]
    check: bool,
    /// Read all files, also those whose size and time are those of the manifest
    #[arg(long, conflicts_with = "check")]
    rehash: bool,
    /// Also files and directories whose names begin with a dot, as 'serve --hidden' serves them
    #[arg(long)]
    hidden: bool,
    /// With --check, print a JSON object a line, with fileName and difference: missing, size, contents or added
    #[arg(long, requires = "check")]
    json: bool,
    /// Print errors only: no progress, no summary
    #[arg(short, long)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  coracle index /srv/images            write /srv/images/.coracle-manifest, or bring it up to date
  coracle index /srv/images --check    compare all files with it
  rsync -a /srv/images/ two:/srv/images/   the manifest is as good at the other server";

const LONG_HELP: &str = "\
Examples:
  coracle index /srv/images            write /srv/images/.coracle-manifest, or bring it up to date
  coracle index /srv/images --check    compare all files with it
  rsync -a /srv/images/ two:/srv/images/   the manifest is as good at the other server

'coracle serve' takes the digests of files from the manifest of its directory, as long as their
sizes and times are those in it, so that nothing is hashed when clients ask; it reads a new one
within a second. The manifest is a file of JSON lines with fileName, fileSize, modified (seconds
since 1970), modified_ns and sha256, and a last line with their count. Written is a whole one or
none. A file that was changed less than two seconds ago is waited for.

Directories behind links are left out, as are files that no client can ask for.

Exit codes:
  0  done; with --check all files are as the manifest says
  1  with --check some are not, or there are others
  2  wrong usage
  5  a file cannot be read, or the manifest cannot be read or written; the rest was done";

pub fn run(args: &Index) -> Exit {
    let store = match DirectoryStore::open(&args.directory) {
        Ok(store) => store.with_hidden(args.hidden),
        Err(error) => {
            let why = error.to_string().replacen("cannot serve", "cannot read", 1);
            return fail(&why);
        }
    };
    let path = args.manifest.clone().unwrap_or_else(|| args.directory.join(Manifest::NAME));
    let before = match Manifest::read(&path) {
        Ok(manifest) => manifest,
        Err(ManifestError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound && !args.check => Manifest::new(),
        // It began as one: what is left of it is of no use, and worth nothing.
        Err(error @ (ManifestError::Line(_) | ManifestError::Truncated)) if !args.check => {
            print_error(format_args!("{}: {error}: all files are read", path.display()));
            Manifest::new()
        }
        Err(error) => return fail(&format!("{}: {error}", path.display())),
    };
    let mut tree = Tree::list(&store);
    if let Some(name) = name_below(&path, &args.directory) {
        tree.leave_out(&name);
    }
    if args.check {
        // Hidden files that the manifest has are compared, whether others are listed or not.
        return check::run(&store.with_hidden(true), &tree, &before, args.json, args.quiet);
    }
    write(args, &store, &tree, &before, &path)
}

fn write(args: &Index, store: &DirectoryStore, tree: &Tree, before: &Manifest, path: &Path) -> Exit {
    let mut work = Work {
        store,
        before,
        is_rehashing: args.rehash,
        display: ProgressDisplay::of_tree(args.quiet),
        manifest: Manifest::new(),
        hashed: 0,
        failed: tree.failed,
    };
    work.display.expect(tree.files.len() as u64, tree.bytes);
    // Those that were changed a moment ago come last, when that is longer ago.
    let recent: Vec<&str> = tree.files.keys().map(String::as_str).filter(|name| !work.add(name, false)).collect();
    for name in recent {
        work.add(name, true);
    }
    work.display.finish();
    let Work { manifest, hashed, failed, .. } = work;
    if let Err(error) = manifest.write(path) {
        return fail(&format!("cannot write {}: {error}", path.display()));
    }
    if !args.quiet {
        print_error(format_args!("{} files, of which {hashed} were read", manifest.len()));
    }
    if failed > 0 { fail(&format!("{failed} files or directories are not in the manifest")) } else { Exit::Done }
}

/// A manifest that is being made.
struct Work<'a> {
    store: &'a DirectoryStore,
    before: &'a Manifest,
    is_rehashing: bool,
    display: ProgressDisplay,
    manifest: Manifest,
    hashed: u64,
    failed: u64,
}

impl Work<'_> {
    /// Adds the file `name`. Returns false for one that was changed a moment ago, which `waits` says to wait for.
    fn add(&mut self, name: &str, waits: bool) -> bool {
        match self.file(name, waits) {
            Ok(Some(file)) => self.manifest.insert(name, file),
            Ok(None) => return false,
            // Removed since it was listed.
            Err(Unread::Gone) => {}
            Err(error) => {
                self.failed += 1;
                self.display.suspend(|| print_error(format_args!("{name}: {error}")));
            }
        }
        self.display.file_done(0);
        true
    }

    fn file(&mut self, name: &str, waits: bool) -> Result<Option<ManifestFile>, Unread> {
        let name = FileName::new(name).map_err(|_| Unread::Gone)?;
        let mut bar = self.display.bar(name.as_str());
        for _ in 0..3 {
            let file = contents::open(self.store, name)?;
            let metadata = file.as_std().metadata()?;
            let known =
                self.before.get(name.as_str()).filter(|known| !self.is_rehashing && known.size == metadata.len());
            if let Some(known) = known.filter(|known| known.modified == modified(&metadata)) {
                contents::count_known(&mut bar, known.size);
                return Ok(Some(*known));
            }
            if !is_settled(&metadata) && !waits {
                return Ok(None);
            }
            if wait_until_settled(&metadata)? {
                // What it is now is another question.
                continue;
            }
            if let Contents::Read(sha256) = contents_of(&file, &metadata, &mut bar)? {
                self.hashed += 1;
                return Ok(Some(ManifestFile::new(metadata.len(), modified(&metadata), sha256)));
            }
        }
        Err(Unread::Changing)
    }
}

/// The name of `file` below `directory`, where it lies there.
fn name_below(file: &Path, directory: &Path) -> Option<String> {
    let (file, directory) = (file.canonicalize().ok()?, directory.canonicalize().ok()?);
    file.strip_prefix(directory).ok()?.to_str().map(str::to_owned)
}

fn fail(why: &str) -> Exit {
    print_error(why);
    Exit::LocalFile
}
