//! `--dry-run`: says what would be sent, and changes nothing.

use std::io::{self, Write};

use coracle::client::{Client, Error, PutReplace};
use coracle::local::Escaped;
use coracle_core::{Code, DigestKind, FileName, Header};

use super::report;
use super::summary::Summary;
use super::transfer::Job;
use crate::exit::{Exit, print_error, report_failure};
use crate::local_digest::digest_of;

/// What would be sent how.
pub struct Preview<'a> {
    pub replace: &'a PutReplace,
    pub json: bool,
    pub quiet: bool,
}

/// What would become of a file.
enum Fate {
    /// It would be sent, for this reason.
    Sent(&'static str),
    /// It is there already.
    Equal,
    /// The server would refuse it: the protocol's word, and a text.
    Refused(Code, &'static str),
}

/// Prints what would be done of `jobs`.
pub fn run(preview: &Preview<'_>, client: &mut Client, jobs: &[Job]) -> Exit {
    let mut summary = Summary::default();
    let mut first_failure = None;
    let mut rest = jobs.iter();
    for job in rest.by_ref() {
        let (told, failure) = match preview.fate(client, job) {
            Ok(fate) => preview.tell(job, &fate, &mut summary),
            Err(error) => {
                summary.failed += 1;
                let failure = report_failure(&job.name, &error);
                (if preview.json { report::failed(&job.name, &error) } else { Ok(()) }, Some(failure))
            }
        };
        let failure = if told.is_err() { Some(Exit::LocalFile) } else { failure };
        first_failure = first_failure.or(failure);
        // A report that cannot be written has ended, and a server that cannot be reached cannot be asked.
        if told.is_err() || failure == Some(Exit::Network) {
            break;
        }
    }
    summary.not_tried = rest.len();
    let exit = first_failure.unwrap_or(Exit::Done);
    let told = if preview.json { report::summary(&summary, exit) } else { preview.say(format_args!("{summary:#}")) };
    told.map_or(Exit::LocalFile, |()| exit)
}

impl Preview<'_> {
    fn fate(&self, client: &mut Client, job: &Job) -> Result<Fate, Error> {
        let name = FileName::new(&job.name).map_err(|_| Error::Read(io::ErrorKind::InvalidFilename.into()))?;
        let header = match client.stat(name, None) {
            Err(Error::Refused { code: Some(Code::NotFound), .. }) => {
                return Ok(match self.replace {
                    PutReplace::Version(_) => {
                        Fate::Refused(Code::Changed, "there is none, and --if-version asks for one")
                    }
                    _ => Fate::Sent("new"),
                });
            }
            header => header?,
        };
        if header.size == job.size && is_equal(client, name, job)? {
            return Ok(Fate::Equal);
        }
        Ok(self.fate_of_other(&header))
    }

    /// Where the server has other contents by that name.
    fn fate_of_other(&self, header: &Header) -> Fate {
        match self.replace {
            PutReplace::Nothing => {
                Fate::Refused(Code::Exists, "the name is taken, and nothing is replaced without --force")
            }
            PutReplace::Version(version) if *version != header.version => {
                Fate::Refused(Code::Changed, "not in the version of --if-version")
            }
            _ => Fate::Sent("changed"),
        }
    }

    /// Prints the fate of `job`. Returns the exit code of a failure, too.
    fn tell(&self, job: &Job, fate: &Fate, summary: &mut Summary) -> (io::Result<()>, Option<Exit>) {
        let Job { name, path, size, .. } = job;
        match fate {
            Fate::Sent(reason) => {
                summary.sent += 1;
                summary.bytes += size;
                let told = if self.json {
                    report::would_send(name, path, *size, reason)
                } else {
                    self.say(format_args!("send {} ({reason}, {size} bytes)", Escaped(name)))
                };
                (told, None)
            }
            Fate::Equal => {
                summary.unchanged += 1;
                (if self.json { report::equal(name, *size) } else { Ok(()) }, None)
            }
            Fate::Refused(code, text) => {
                summary.failed += 1;
                print_error(format_args!("{}: {text}", Escaped(name)));
                let told = if self.json { report::would_fail(name, *code, text) } else { Ok(()) };
                (told, Some(Exit::Refused))
            }
        }
    }

    fn say(&self, line: std::fmt::Arguments<'_>) -> io::Result<()> {
        if self.quiet { Ok(()) } else { writeln!(io::stdout(), "{line}") }
    }
}

/// Whether the file that the server has by this name, which is as long, has the same contents.
fn is_equal(client: &mut Client, name: FileName<'_>, job: &Job) -> Result<bool, Error> {
    let kind = DigestKind::Sha256;
    let header = match client.stat(name, Some(kind)) {
        Err(Error::Refused { code: Some(Code::Unsupported), .. }) => client.stat(name, Some(DigestKind::Crc32)),
        header => header,
    }?;
    let Some(digest) = header.digest else { return Ok(false) };
    Ok(header.size == job.size && digest_of(&job.path, digest.kind())? == Some(digest))
}
