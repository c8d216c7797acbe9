//! Names, digests, the scanner and the store of slices.

use coracle_core::{
    Code, Digest, DigestKind, FileInfo, FileName, Hasher, Hex, Listed, NameError, ScanError, Scanned, Scanner,
    ServerName, ServerNameError, StaticFile, StaticListing, StaticStore, Store, StoreError, Version, VersionError,
};

use crate::entries;

type File = &'static StaticFile<'static>;

entries! {
    fn scanner_scan(scanner: &mut Scanner, piece: &[u8]) -> Result<Scanned, ScanError> { scanner.scan(piece) }

    fn file_name_new<'s>(name: &'s str) -> Result<FileName<'s>, NameError> { FileName::new(name) }

    fn file_name_components(name: FileName<'_>) -> usize { name.components().count() }

    fn file_name_last<'s>(name: FileName<'s>) -> &'s str { name.last() }

    fn file_name_is_hidden(name: FileName<'_>) -> bool { name.is_hidden() }

    fn server_name_new<'s>(name: &'s str) -> Result<ServerName<'s>, ServerNameError> { ServerName::new(name) }

    fn version_new(text: &str) -> Result<Version, VersionError> { Version::new(text) }

    fn version_as_str<'s>(version: &'s Version) -> &'s str { version.as_str() }

    fn code_from_word(word: &str) -> Option<Code> { Code::from_word(word) }

    fn digest_to_hex(digest: &Digest) -> Hex { digest.to_hex() }

    fn hex_as_str<'s>(hex: &'s Hex) -> &'s str { hex.as_str() }

    fn digest_from_hex(kind: DigestKind, digits: &str) -> Option<Digest> { Digest::from_hex(kind, digits) }

    fn hasher_new(kind: DigestKind) -> Option<Hasher> { Hasher::new(kind) }

    fn hasher_update(hasher: &mut Hasher, bytes: &[u8]) { hasher.update(bytes) }

    fn hasher_finish(hasher: Hasher) -> Digest { hasher.finish() }
}

entries! {
    fn store_open(store: &mut StaticStore<'static>, name: FileName<'_>) -> Result<File, StoreError> { store.open(name) }

    fn store_info(store: &mut StaticStore<'static>, file: File) -> Result<FileInfo, StoreError> { store.info(&file) }

    fn store_read(store: &mut StaticStore<'static>, file: File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        store.read(&mut { file }, offset, buf)
    }

    fn store_list(store: &mut StaticStore<'static>, path: Option<FileName<'_>>) -> Result<StaticListing<'static>, StoreError> {
        store.list(path)
    }

    fn store_next<'s>(store: &mut StaticStore<'static>, listing: &'s mut StaticListing<'static>) -> Result<Listed<'s>, StoreError> {
        store.next(listing)
    }

    fn store_known_digest(store: &mut StaticStore<'static>, file: File, kind: DigestKind) -> Option<Digest> {
        store.known_digest(&file, kind)
    }
}
