//! An open file of a server: the store's own, or one whose name belongs to another file by now.

use std::fs::File;

use coracle_core::Version;

use super::followed::Shared;
use crate::transport::KernelFile;

/// An open file.
pub(super) enum ServedFile<F> {
    Own(F),
    /// One that was replaced, which several connections read to its end.
    Kept {
        file: Shared<F>,
        /// Whether another file has its name.
        is_replaced: bool,
        /// The version of the one that got it at once.
        next: Option<Version>,
    },
}

impl<F: KernelFile> KernelFile for ServedFile<F> {
    fn kernel_file(&self) -> Option<&File> {
        match self {
            Self::Own(file) => file.kernel_file(),
            Self::Kept { .. } => None,
        }
    }
}
