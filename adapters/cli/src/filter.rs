//! `--exclude` and `--include`: which names of a tree are meant.

use std::path::Path;
use std::str::FromStr;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use globset::{GlobBuilder, GlobMatcher};

/// The rules that were given, in their order. The first one that matches a name decides; what none matches is meant.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    rules: Vec<Rule>,
}

/// A pattern for the names of files.
#[derive(Clone, Debug)]
pub struct NamePattern(GlobMatcher);

#[derive(Clone, Debug)]
struct Rule {
    matcher: GlobMatcher,
    /// The pattern ends in `/`.
    is_of_directories: bool,
    is_included: bool,
}

/// How patterns work, for the help of the commands that take them.
pub const HELP: &str = "\
--exclude and --include may be given several times; the first pattern that matches a name
decides, and what none matches is included. Names are those beneath DIR or NAME. A pattern
  without a '/', as '*.log', matches the last part of a name, at any depth,
  with one, as 'a/b', matches the last parts of a name, and as '/a' those at the top only,
  that ends in '/', as 'cache/', matches directories.
What is in an excluded directory is excluded with it. '*' and '?' stand for any characters
but '/', '**' for any number of directories, [a-z] for one of these letters, {a,b} for a
or b. So --include '*/' --include '*.log' --exclude '*' takes the logs of all directories.";

impl Filter {
    /// Whether the entry `name`, relative to the top of the tree, is left out. Of the directories that it lies in, none is.
    pub fn excludes(&self, name: impl AsRef<Path>, is_directory: bool) -> bool {
        let name = name.as_ref();
        let matches = |rule: &&Rule| (is_directory || !rule.is_of_directories) && rule.matcher.is_match(name);
        self.rules.iter().find(matches).is_some_and(|rule| !rule.is_included)
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Adds a rule behind the others.
    fn push(&mut self, pattern: &str, is_included: bool) -> Result<(), String> {
        self.rules.push(Rule::new(pattern, is_included)?);
        Ok(())
    }
}

impl NamePattern {
    /// Whether the file `name`, a path from the top, matches.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl FromStr for NamePattern {
    type Err = String;

    fn from_str(pattern: &str) -> Result<Self, String> {
        match Rule::new(pattern, true)? {
            rule if rule.is_of_directories => {
                Err(format!("{pattern:?} matches directories: '{pattern}**' matches the files in one"))
            }
            rule => Ok(Self(rule.matcher)),
        }
    }
}

impl Rule {
    fn new(pattern: &str, is_included: bool) -> Result<Self, String> {
        let bare = pattern.strip_suffix('/').unwrap_or(pattern);
        let glob = match bare.strip_prefix('/') {
            Some(anchored) => anchored.to_owned(),
            None => format!("**/{bare}"),
        };
        if bare.trim_start_matches('/').is_empty() {
            return Err("a pattern for names is needed, as '*.log', 'cache/' or '/logs/**'".to_owned());
        }
        let built = GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build();
        let matcher = built.map_err(|error| format!("the pattern {pattern:?}: {}", error.kind()))?.compile_matcher();
        Ok(Self { matcher, is_of_directories: bare.len() < pattern.len(), is_included })
    }
}

// By hand, since the derived form loses the order of two options.
impl Args for Filter {
    fn augment_args(command: Command) -> Command {
        let option = |name: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("GLOB")
                .value_hint(ValueHint::Other)
                .action(ArgAction::Append)
                .value_parser(|pattern: &str| Rule::new(pattern, true).map(|_| pattern.to_owned()))
                .help(help)
                .help_heading("Selection")
        };
        command
            .arg(option("exclude", "Leave out what matches, with all that is in it"))
            .arg(option("include", "Do not leave out what matches, whatever an --exclude behind this says"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Filter {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for (option, is_included) in [("exclude", false), ("include", true)] {
            let indices = matches.indices_of(option).into_iter().flatten();
            let patterns = matches.get_many::<String>(option).into_iter().flatten();
            given.extend(indices.zip(patterns).map(|(index, pattern)| (index, pattern, is_included)));
        }
        given.sort_unstable();
        let mut filter = Self::default();
        for (_, pattern, is_included) in given {
            filter
                .push(pattern, is_included)
                .map_err(|why| clap::Error::raw(clap::error::ErrorKind::ValueValidation, why))?;
        }
        Ok(filter)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::{Filter, NamePattern};

    fn filter(args: &[&str]) -> Result<Filter, clap::Error> {
        let command = Filter::augment_args(Command::new("test").no_binary_name(true));
        Filter::from_arg_matches(&command.try_get_matches_from(args)?)
    }

    /// `d/` is a directory.
    fn excluded<'n>(args: &[&str], names: &[&'n str]) -> Vec<&'n str> {
        let filter = filter(args).expect("patterns");
        let is_excluded = |name: &&str| filter.excludes(name.trim_end_matches('/'), name.ends_with('/'));
        names.iter().copied().filter(is_excluded).collect()
    }

    #[test]
    fn patterns_match_as_in_rsync() {
        let names = ["a.log", "d/", "d/a.log", "d/e/", "d/e/a.log", "log", "x/d/e/", "d/e/f/g"];
        for (pattern, matched) in [
            ("*.log", &["a.log", "d/a.log", "d/e/a.log"][..]),
            ("/*.log", &["a.log"]),
            ("d/*.log", &["d/a.log"]),
            ("d/**/*.log", &["d/a.log", "d/e/a.log"]),
            ("d/e", &["d/e/", "x/d/e/"]),
            ("/d/e", &["d/e/"]),
            ("e/", &["d/e/", "x/d/e/"]),
            ("log", &["log"]),
            ("log/", &[]),
            ("/d/**", &["d/a.log", "d/e/", "d/e/a.log", "d/e/f/g"]),
            ("?", &["d/", "d/e/", "x/d/e/", "d/e/f/g"]),
            ("[k-m]og", &["log"]),
            ("{log,g}", &["log", "d/e/f/g"]),
            (r"\*", &[]),
        ] {
            assert_eq!(excluded(&["--exclude", pattern], &names), matched, "{pattern}");
        }
    }

    #[test]
    fn the_first_that_matches_decides() {
        let names = ["a.log", "keep.log", "d/", "d/keep.log", "z"];
        assert_eq!(excluded(&["--include", "keep.*", "--exclude", "*.log"], &names), ["a.log"]);
        assert_eq!(
            excluded(&["--exclude", "*.log", "--include", "keep.*"], &names),
            ["a.log", "keep.log", "d/keep.log"]
        );
        let only_logs = ["--include", "*/", "--include", "*.log", "--exclude", "*"];
        assert_eq!(excluded(&only_logs, &names), ["z"]);
        assert_eq!(excluded(&[], &names), Vec::<&str>::new());
    }

    #[test]
    fn a_pattern_alone_is_for_files() {
        let pattern: NamePattern = "*.log".parse().expect("a pattern");
        assert!(pattern.is_match("a.log") && pattern.is_match("d/a.log") && !pattern.is_match("a.log/b"));
        let top: NamePattern = "/*.log".parse().expect("a pattern");
        assert!(top.is_match("a.log") && !top.is_match("d/a.log"));
        assert!("logs/".parse::<NamePattern>().is_err_and(|why| why.contains("'logs/**'")));
        assert!("[".parse::<NamePattern>().is_err());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["", "/", "//", "[", "a{b", "{a,{b}"] {
            assert!(filter(&["--exclude", pattern]).is_err(), "{pattern:?}");
        }
    }
}
