//! Serves a file that is made when it is requested: `cargo run -p coracle --example custom_store -- ADDRESS:PORT`.

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
    /// Whether the entry is still to come.
    type Listing = bool;

    fn open(&mut self, name: FileName<'_>) -> Result<Seconds, StoreError> {
        if name.as_str() == "uptime" { Ok(Seconds(self.0.elapsed().as_secs().to_string())) } else { Err(StoreError::NotFound) }
    }

    fn info(&mut self, file: &Seconds) -> Result<FileInfo, StoreError> {
        // Other contents have another version, so that no client resumes with a part of them.
        let version = Version::new(&file.0).map_err(|_| StoreError::Io)?;
        Ok(FileInfo { size: file.0.len() as u64, version, modified: None })
    }

    fn read(&mut self, file: &mut Seconds, offset: u64, mut buf: &mut [u8]) -> Result<usize, StoreError> {
        let rest = usize::try_from(offset).ok().and_then(|offset| file.0.as_bytes().get(offset..)).unwrap_or_default();
        std::io::Write::write(&mut buf, rest).map_err(|_| StoreError::Io)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<bool, StoreError> {
        if path.is_none() { Ok(true) } else { Err(StoreError::NotFound) }
    }

    fn next<'a>(&mut self, listing: &'a mut bool) -> Result<Listed<'a>, StoreError> {
        let kind = EntryKind::File { size: self.open(FileName::from_static("uptime"))?.0.len() as u64, modified: None };
        let entry = Entry { name: FileName::from_static("uptime"), kind };
        Ok(if std::mem::take(listing) { Listed::Entry(entry) } else { Listed::End })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: custom_store ADDRESS:PORT")?;
    run(&address, |handle| println!("listening on {:?}", handle.addresses()))
}

/// Serves until the handle that `started` gets is used to stop the server.
pub fn run(address: &str, started: impl FnOnce(ServerHandle)) -> Result<(), Box<dyn Error>> {
    let server = Server::new(Uptime(Instant::now())).with_address(address.parse()?).bind()?;
    started(server.handle());
    Ok(server.run().map(drop)?)
}
