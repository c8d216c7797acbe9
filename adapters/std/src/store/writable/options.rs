//! What clients may write.

use coracle_core::FileName;

/// What clients of a [`WritableDirectoryStore`](super::WritableDirectoryStore) may write.
///
/// ```
/// use coracle::FileName;
/// use coracle::store::WriteOptions;
///
/// let options = WriteOptions::new()
///     .with_max_file(Some(64 << 20))
///     .with_quota(Some(1 << 30))
///     .with_write_only(FileName::from_static("incoming"));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WriteOptions {
    /// The largest file in bytes; `None`: what the file system takes.
    pub max_file: Option<u64>,
    /// How many bytes all files beneath the directory may have together, unfinished uploads with their whole size; `None`: no
    /// limit.
    pub quota: Option<u64>,
    /// How many unfinished uploads there may be at a time.
    pub max_uploads: usize,
    /// Directories in which files can be written, and neither read nor listed.
    pub write_only: Vec<String>,
    /// Whether files can be written outside of [`WriteOptions::write_only`] too.
    pub everywhere: bool,
}

impl WriteOptions {
    /// The default of [`WriteOptions::max_uploads`].
    pub const DEFAULT_MAX_UPLOADS: usize = 1024;

    /// Files of any size anywhere beneath the directory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_file: None,
            quota: None,
            max_uploads: Self::DEFAULT_MAX_UPLOADS,
            write_only: Vec::new(),
            everywhere: true,
        }
    }

    /// Sets [`WriteOptions::max_file`].
    #[must_use]
    pub fn with_max_file(self, max_file: Option<u64>) -> Self {
        Self { max_file, ..self }
    }

    /// Sets [`WriteOptions::quota`].
    #[must_use]
    pub fn with_quota(self, quota: Option<u64>) -> Self {
        Self { quota, ..self }
    }

    /// Sets [`WriteOptions::max_uploads`].
    #[must_use]
    pub fn with_max_uploads(self, max_uploads: usize) -> Self {
        Self { max_uploads, ..self }
    }

    /// Adds a directory to [`WriteOptions::write_only`].
    #[must_use]
    pub fn with_write_only(mut self, path: FileName<'_>) -> Self {
        self.write_only.push(path.as_str().to_owned());
        self
    }

    /// Sets [`WriteOptions::everywhere`].
    #[must_use]
    pub fn with_everywhere(self, everywhere: bool) -> Self {
        Self { everywhere, ..self }
    }

    /// Whether `name` is, or lies beneath, a directory that cannot be read.
    pub(super) fn is_write_only(&self, name: FileName<'_>) -> bool {
        let name = name.as_str();
        self.write_only
            .iter()
            .any(|path| name.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self::new()
    }
}
