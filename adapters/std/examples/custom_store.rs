//! Serves a file that is made on request, at 127.0.0.1:8888: `cargo run -p coracle --example custom_store`.

use std::error::Error;
use std::time::Instant;

use coracle::transport::KernelFile;
use coracle::{Entry, EntryKind, FileInfo, FileName, Listed, Server, ServerHandle, Store, StoreError, Version};

/// One file, `uptime`: the seconds since the store was made.
#[derive(Clone)]
struct Uptime(Instant);

/// The contents when the file was opened. The kernel has no such file to send, so the bytes are read.
struct Seconds(String);
impl KernelFile for Seconds {}

impl Store for Uptime {
    type File = Seconds;
    type Listing = std::slice::Iter<'static, FileName<'static>>;

    fn open(&mut self, name: FileName<'_>) -> Result<Seconds, StoreError> {
        let seconds = self.0.elapsed().as_secs().to_string();
        if name == NAMES[0] { Ok(Seconds(seconds)) } else { Err(StoreError::NotFound) }
    }

    fn info(&mut self, file: &Seconds) -> Result<FileInfo, StoreError> {
        // Other contents have another version, so that no client resumes with a part of them.
        let version = Version::new(&file.0).map_err(|_| StoreError::Io)?;
        Ok(FileInfo::new(file.0.len() as u64, version))
    }

    fn read(&mut self, file: &mut Seconds, offset: u64, mut buf: &mut [u8]) -> Result<usize, StoreError> {
        let rest = usize::try_from(offset).ok().and_then(|offset| file.0.as_bytes().get(offset..)).unwrap_or_default();
        std::io::Write::write(&mut buf, rest).map_err(|_| StoreError::Io)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        if path.is_none() { Ok(NAMES.iter()) } else { Err(StoreError::NotFound) }
    }

    fn next<'a>(&mut self, names: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        let Some(&name) = names.next() else { return Ok(Listed::End) };
        let size = self.open(name)?.0.len() as u64;
        Ok(Listed::Entry(Entry::new(name, EntryKind::File { size, modified: None })))
    }
}

const NAMES: [FileName<'static>; 1] = [FileName::from_static("uptime")];

fn main() -> Result<(), Box<dyn Error>> {
    run("127.0.0.1:8888", |handle| println!("listening on {:?}", handle.addresses()))
}

/// Serves until the handle that `started` gets is used to stop the server.
pub fn run(address: &str, started: impl FnOnce(ServerHandle)) -> Result<(), Box<dyn Error>> {
    let server = Server::new(Uptime(Instant::now())).with_address(address.parse()?).bind()?;
    started(server.handle());
    Ok(server.run().map(drop)?)
}
