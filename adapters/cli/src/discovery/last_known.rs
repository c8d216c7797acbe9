//! Where hosts were when they were found: `~/.cache/coracle/found`, which may be deleted at any time.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coracle::discover::Service;

use super::is_host_name;

/// The hosts that were found last are kept.
const MAX_HOSTS: usize = 1_000;
/// How long a host is taken to be where it was found: commands that follow each other need not wait, as what was answered within
/// the last second is not answered again (RFC 6762, section 6).
const RECENT: Duration = Duration::from_secs(15);
/// More than so many lines take.
const MAX_LEN: u64 = 1 << 20;

/// Hosts that were found, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastKnown(Vec<LastKnownHost>);

/// A line of the file: `NAME ADDRESS:PORT SECONDS`, of which the last is the time since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastKnownHost {
    pub name: String,
    pub address: SocketAddr,
    pub seen: SystemTime,
}

impl LastKnown {
    /// Reads the file. What cannot be read is not known.
    pub fn load() -> Self {
        path().map_or_else(Self::default, |path| Self::parse(&read(&path).unwrap_or_default()))
    }

    /// Adds hosts that were found now, in place of those that had their names. Does nothing where that cannot be kept.
    pub fn remember(services: &[Service]) {
        let Some(path) = path() else { return };
        let mut known = Self::parse(&read(&path).unwrap_or_default());
        known.add(services, SystemTime::now());
        // A cache: nothing depends on it.
        let _ = write(&path, &known.to_text());
    }

    /// Those of this name: more than one where they were found together.
    pub fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a LastKnownHost> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = name.strip_suffix(".local").unwrap_or(name).to_owned();
        self.0.iter().filter(move |host| host.name.eq_ignore_ascii_case(&name))
    }

    pub fn iter(&self) -> impl Iterator<Item = &LastKnownHost> {
        self.0.iter()
    }

    fn add(&mut self, services: &[Service], now: SystemTime) {
        self.0.retain(|host| !services.iter().any(|service| service.name.eq_ignore_ascii_case(&host.name)));
        let kept = services.iter().filter(|service| is_host_name(&service.name));
        let hosts = kept.filter_map(|service| {
            Some(LastKnownHost { name: service.name.clone(), address: *service.addresses.first()?, seen: now })
        });
        self.0.splice(..0, hosts);
        self.0.truncate(MAX_HOSTS);
    }

    fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(parse_line).take(MAX_HOSTS).collect())
    }

    fn to_text(&self) -> String {
        let line = |host: &LastKnownHost| {
            let seen = host.seen.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            format!("{} {} {seen}\n", host.name, host.address)
        };
        self.0.iter().map(line).collect()
    }
}

impl LastKnownHost {
    /// Whether it was found so short a time ago that it need not be looked for.
    pub fn is_recent(&self) -> bool {
        // A time to come is that of another clock.
        self.seen.elapsed().is_ok_and(|age| age <= RECENT)
    }
}

fn parse_line(line: &str) -> Option<LastKnownHost> {
    let mut words = line.split(' ');
    let (name, address, seen) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let seen = UNIX_EPOCH.checked_add(Duration::from_secs(seen))?;
    (is_host_name(name) && words.next().is_none()).then(|| LastKnownHost { name: name.to_owned(), address, seen })
}

/// By the XDG Base Directory Specification.
fn path() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join("coracle").join("found"))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_LEN).read_to_string(&mut text)?;
    Ok(text)
}

/// Replaces the file, so that another run never reads half of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    use super::{LastKnown, read, write};

    #[test]
    fn n2_lines_that_are_no_hosts_are_skipped() {
        let text =
            "bench-7 192.0.2.7:8888 1763769600\nbench-7\na b c\nx 1.2.3.4 5\nb\u{1b} 1.2.3.4:5 6\nc [::1]:5 6 7\n";
        let known = LastKnown::parse(text);
        assert_eq!(known.to_text(), "bench-7 192.0.2.7:8888 1763769600\n");
        let host = known.named("BENCH-7.local").next().expect("a host");
        assert_eq!(host.seen, UNIX_EPOCH + Duration::from_secs(1_763_769_600));
        assert_eq!(known.named("bench").count(), 0);
    }

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("new/found");
        for text in ["one\n", "two\n"] {
            write(&path, text).expect("written");
            assert_eq!(read(&path).expect("read"), text);
        }
        assert_eq!(fs::read_dir(directory.path().join("new")).expect("read").count(), 1);
    }
}
