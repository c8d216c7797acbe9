//! Arguments of `coracle serve` about the versions of files, and where their digests come from.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};
use coracle::store::{DigestFile, DirectoryStore, Manifest, ManifestEvent, SingleFileStore, VersionBy};

use crate::exit::print_error;

/// What versions are made of.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Replicas")]
pub struct VersionArgs {
    /// What tells one state of a file from another: with 'mtime' and 'content' a client that was cut off at one server goes on at another one that has a copy of the file
    #[arg(long, value_name = "WHAT", default_value = "inode")]
    version_by: Kind,
    /// Take SHA-256 digests from this manifest, from 'coracle index', where size and time agree [default: .coracle-manifest in the directory, if it is there]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    manifest: Option<PathBuf>,
    /// Keep the digests that '--version-by content' computes in this file, for the next start [default: .coracle-digests in the directory, if it can be written]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    digests: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Inode number, size and times: a copy is another file
    Inode,
    /// Size and time of modification: copies by rsync -a and cp -a are the same file
    Mtime,
    /// SHA-256 of the contents: all copies are the same file
    Content,
}

impl VersionArgs {
    /// Whether any of them is given, and not as it is by default.
    pub fn is_given(&self) -> bool {
        self.version_by != Kind::Inode || self.manifest.is_some() || self.digests.is_some()
    }

    /// Checks the arguments against each other; `is_writing`: clients may write.
    pub fn check(&self, is_writing: bool) -> Result<(), String> {
        if is_writing && self.version_by != Kind::Inode {
            return Err("where clients write, --version-by can only be 'inode': who replaces a file counts on a new version after each change"
                .to_owned());
        }
        if self.digests.is_some() && self.version_by != Kind::Content {
            return Err("--digests keeps what '--version-by content' computes: add that, or leave both out".to_owned());
        }
        Ok(())
    }

    /// Tells `store`, which is the directory `path`.
    ///
    /// # Errors
    ///
    /// A file that was named cannot be used.
    pub fn apply(&self, store: DirectoryStore, path: &Path) -> Result<DirectoryStore, String> {
        let manifest = self.manifest(path)?;
        let observer = observer(&manifest);
        let store = store.with_version_by(self.version_by.into()).with_manifest(manifest, observer);
        Ok(match self.digest_file(Some(path))? {
            Some(file) => store.with_digest_file(file),
            None => store,
        })
    }

    /// Tells `store`, whose file is `path`. Its digest is kept only in a file that was named, since the directory around it is not
    /// served.
    ///
    /// # Errors
    ///
    /// A file that was named cannot be used.
    pub fn apply_to_file(&self, store: SingleFileStore, path: &Path) -> Result<SingleFileStore, String> {
        let manifest = self.manifest(path.parent().unwrap_or(Path::new("")))?;
        let observer = observer(&manifest);
        let store = store.with_version_by(self.version_by.into()).with_manifest(manifest, observer);
        Ok(match self.digest_file(None)? {
            Some(file) => store.with_digest_file(file),
            None => store,
        })
    }

    /// The file of digests: the one that was named, or that of the served directory, which need not be usable.
    fn digest_file(&self, directory: Option<&Path>) -> Result<Option<DigestFile>, String> {
        if let Some(path) = &self.digests {
            return DigestFile::open(path).map(Some).map_err(|error| format!("{}: {error}", path.display()));
        }
        let Some(directory) = directory.filter(|_| self.version_by == Kind::Content) else { return Ok(None) };
        let path = directory.join(DigestFile::NAME);
        Ok(DigestFile::open(&path).map_err(|error| tell_not_kept(&path, &error)).ok())
    }

    /// The manifest of `directory`. One that was named has to be there.
    fn manifest(&self, directory: &Path) -> Result<PathBuf, String> {
        match &self.manifest {
            None => Ok(directory.join(Manifest::NAME)),
            Some(file) if file.is_file() => Ok(file.clone()),
            Some(file) => Err(format!("{}: there is no such file; 'coracle index' writes it", file.display())),
        }
    }
}

/// Says what becomes of the manifest `path`.
fn observer(path: &Path) -> impl Fn(&ManifestEvent<'_>) + Send + Sync + 'static {
    let path = path.to_owned();
    move |event| {
        if !matches!(event, ManifestEvent::Read { .. }) {
            print_error(format_args!("{}: {event}", path.display()));
        }
    }
}

fn tell_not_kept(path: &Path, error: &io::Error) {
    print_error(format_args!(
        "{}: {error}: digests are computed anew after a restart, unless --digests names another file",
        path.display()
    ));
}

impl From<Kind> for VersionBy {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Inode => Self::Inode,
            Kind::Mtime => Self::Mtime,
            Kind::Content => Self::Content,
        }
    }
}
