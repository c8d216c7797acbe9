//! `coracle fleet get`: a file of each host, each to a place of its own.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use coracle::client::GetOptions;
use coracle::local::{Directory, DownloadTarget, LocalError, escape_path};
use coracle_core::FileName;

use super::operation::{Begun, Operation, Visit};
use super::options::{FleetArgs, JournalArgs};
use super::start::{Job, start};
use super::state::{Outcome, State};
use super::target::Target;
use crate::client_args::DigestArg;
use crate::exit::{Exit, print_error};
use crate::inventory::Member;

/// Fetch a file of each host, verify it, and only then give it its name
#[derive(Debug, Args)]
#[command(
    override_usage = "coracle fleet get [OPTIONS] <@FILE|mdns:|HOST>... <NAME>",
    after_help = "\
Examples:
  coracle fleet get @bench.txt boot.log                       to NAME/boot.log of each host
  coracle fleet get @bench.txt boot.log -o 'logs/{name}/'
  coracle fleet get @bench.txt boot.log -o 'logs/{rack}-{name}.log' --jobs 32 -f

'unchanged' has the contents here already. Nothing else is replaced without --force."
)]
pub struct Get {
    #[command(flatten)]
    pub fleet: FleetArgs,

    #[command(flatten)]
    pub journal: JournalArgs,

    /// Where that of each host goes: '{name}' stands for the host's name, '{KEY}' for what its line has; 'DIR/' for a
    /// directory. Missing directories are made
    #[arg(short, long, value_name = "FILE|DIR/", default_value = "{name}/", value_hint = ValueHint::FilePath)]
    output: String,

    /// The digest that verifies the files
    #[arg(long, value_enum, default_value_t = DigestArg::Crc32)]
    digest: DigestArg,

    /// Replace existing files
    #[arg(short, long)]
    force: bool,
}

pub fn get(args: Get) -> Exit {
    let (name, hosts) = match args.fleet.split_file() {
        Ok(words) => words,
        Err(exit) => return exit,
    };
    let name = name.as_file_name();
    let options = GetOptions::new().with_digest(args.digest.kind()).with_force(args.force);
    start(args.fleet, &hosts, Job::fetching("get", name.as_str(), args.journal), |targets| {
        let paths = paths(targets, &args.output, name).map_err(|why| {
            print_error(why);
            Exit::Usage
        })?;
        Ok(Box::new(Fetching { name, options, paths }))
    })
}

/// Fetches a file.
struct Fetching<'a> {
    name: FileName<'a>,
    options: GetOptions,
    /// By the name of the host.
    paths: HashMap<String, PathBuf>,
}

impl Fetching<'_> {
    fn ensure(&self, visit: &mut Visit<'_>) -> Result<State, Outcome> {
        let path = &self.paths[visit.target.name()];
        let mut client = visit.client()?;
        // Before anything is made here, so that a host that cannot be reached leaves no directory.
        let has_file = path.symlink_metadata().is_ok();
        let header = client.stat(self.name, self.options.digest().filter(|_| has_file))?;
        let target = self.target(path)?;
        if let Some(digest) = header.digest.filter(|_| has_file)
            && target.digest(digest.kind())? == Some(digest)
        {
            return Ok(if visit.was_begun { State::Done } else { State::Unchanged });
        }
        visit.note_begun()?;
        visit.row.step("fetching");
        client.get(self.name, &target, &self.options, &mut visit.row)?;
        Ok(State::Done)
    }

    fn target(&self, path: &Path) -> Result<DownloadTarget, LocalError> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let missing: Vec<&Path> =
            parent.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
        for directory in missing.into_iter().rev() {
            Directory::open_or_create(directory)?;
        }
        let leaf = path.file_name().map_or_else(|| OsString::from(self.name.last()), OsString::from);
        Ok(DownloadTarget::new(Arc::new(Directory::open(parent)?), &leaf))
    }
}

impl Operation for Fetching<'_> {
    fn begin(&self, visit: &mut Visit<'_>) -> Begun {
        Begun::Ended(match self.ensure(visit) {
            Ok(state) => {
                Outcome::new(state).with_member("path", self.paths[visit.target.name()].to_string_lossy().into_owned())
            }
            Err(outcome) => outcome,
        })
    }
}

impl From<LocalError> for Outcome {
    fn from(error: LocalError) -> Self {
        coracle::client::Error::from(error).into()
    }
}

/// Where the file of each host goes: two different places for two hosts.
fn paths(targets: &[Target], pattern: &str, name: FileName<'_>) -> Result<HashMap<String, PathBuf>, String> {
    let (mut paths, mut owners) = (HashMap::new(), HashMap::<PathBuf, &str>::new());
    for target in targets {
        let mut path = PathBuf::from(expand(pattern, &target.member)?);
        if pattern.ends_with('/') || path.is_dir() {
            path.push(name.last());
        }
        if let Some(other) = owners.insert(place(&path), target.name()) {
            return Err(format!(
                "-o {pattern:?} gives {other} and {} one place, {}: let it have '{{name}}'",
                target.name(),
                escape_path(&path)
            ));
        }
        paths.insert(target.name().to_owned(), path);
    }
    Ok(paths)
}

/// `pattern` with what the host has in the place of `{KEY}`.
fn expand(pattern: &str, member: &Member) -> Result<String, String> {
    let (mut text, mut rest) = (String::new(), pattern);
    while let Some((before, behind)) = rest.split_once('{') {
        let (key, after) = behind.split_once('}').ok_or_else(|| format!("-o {pattern:?}: a '{{' has no '}}'"))?;
        let value = member
            .attribute(key)
            .ok_or_else(|| format!("-o {pattern:?}: {}: {} has no {key}=", member.place(), member.name))?;
        if value.contains(['/', '\\', '\0']) || value.starts_with('.') {
            return Err(format!("-o {pattern:?}: {}: {key}={value} cannot be a part of a path", member.place()));
        }
        text.push_str(before);
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// The path without what does not count, behind the links of those directories that are there.
fn place(path: &Path) -> PathBuf {
    let there = path.ancestors().skip(1).find_map(|parent| {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        parent.canonicalize().ok().map(|real| (real, path.strip_prefix(parent).unwrap_or(path)))
    });
    let (real, below) = there.unwrap_or_else(|| (PathBuf::new(), path));
    real.join(below.components().filter(|component| *component != Component::CurDir).collect::<PathBuf>())
}

#[cfg(test)]
mod tests {
    use super::{expand, place};
    use crate::inventory::{HostsArg, members};

    #[test]
    fn patterns_stand_for_one_component_each() {
        let host: HostsArg = "bench-7:1".parse().expect("a host");
        let member = &members(&[host], &[]).expect("a member")[0];
        assert_eq!(expand("logs/{name}/", member).as_deref(), Ok("logs/bench-7:1/"));
        assert_eq!(expand("{name}-{name}", member).as_deref(), Ok("bench-7:1-bench-7:1"));
        assert_eq!(expand("logs", member).as_deref(), Ok("logs"));
        assert!(expand("{rack}", member).expect_err("none").contains("bench-7:1 has no rack="));
        assert!(expand("{name", member).expect_err("open").contains("has no '}'"));
    }

    #[test]
    fn g1_a_name_that_leads_elsewhere_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("bench.txt");
        for name in ["..", "a/b", ".ssh", "/etc"] {
            std::fs::write(&path, format!("host name={name}\n")).expect("written");
            let members = members(&[HostsArg::File(path.clone())], &[]).expect("a member");
            let error = expand("logs/{name}", &members[0]).expect_err(name);
            assert!(error.contains("cannot be a part of a path") && error.contains("bench.txt:1"), "{error}");
        }
    }

    #[test]
    fn g1_links_do_not_hide_that_two_places_are_one() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("real")).expect("made");
        std::os::unix::fs::symlink("real", directory.path().join("link")).expect("made");
        let at = |path: &str| place(&directory.path().join(path));
        assert_eq!(at("link/log"), at("real/./log"));
        assert_eq!(at("link/new/log"), at("real/new//log"));
        assert_ne!(at("link/a"), at("real/b"));
    }
}
