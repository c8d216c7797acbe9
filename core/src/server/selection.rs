//! State of the classic dialect: text that arrives, and the selected file.

use heapless::String;

use crate::types::file_name::FileName;
use crate::types::version::Version;

/// Text that arrives, and the file that a classic client has selected.
#[derive(Debug)]
pub(super) struct Selection {
    /// Bytes of the current arrival that were not taken yet.
    pub(super) arrival: usize,
    /// The current arrival has had its reply.
    pub(super) is_replied: bool,
    /// Text has begun and no request since: white space is text.
    pub(super) is_in_text: bool,
    /// The next bytes may be the selected file's name.
    pub(super) may_begin: bool,
    /// Bytes that were taken and are a prefix of that name.
    pub(super) held: usize,
    pub(super) file: Option<SelectedFile>,
}

/// The file that was selected.
#[derive(Debug)]
pub(super) struct SelectedFile {
    pub(super) name: String<{ FileName::MAX_LEN }, u8>,
    pub(super) version: Version,
    /// Its size in bytes when it was selected.
    pub(super) size: u64,
}

impl Selection {
    pub(super) const fn new() -> Self {
        Self { arrival: 0, is_replied: false, is_in_text: false, may_begin: false, held: 0, file: None }
    }
}
