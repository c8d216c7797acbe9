//! Names as people type them, made into those that servers take.

use coracle_core::FileName;

use crate::exit::{Exit, print_error};

/// A tidied name of a file that servers take.
#[derive(Debug)]
pub struct CheckedName(String);

impl CheckedName {
    /// Prints what is wrong with a name that no server takes.
    pub fn parse(text: &str) -> Result<Self, Exit> {
        let name = tidy(text);
        parse_file_name(&name)?;
        Ok(Self(name))
    }

    pub fn as_file_name(&self) -> FileName<'_> {
        FileName::new(&self.0).expect("it was checked")
    }
}

/// Drops what is of no consequence in a path: `/a`, `./a` and `a//b` become `a` and `a/b`, the root becomes empty. A `/` at
/// the end of another path stays.
pub fn tidy(text: &str) -> String {
    let components = text.split('/').filter(|component| !matches!(*component, "" | "."));
    let mut name = components.collect::<Vec<_>>().join("/");
    if text.ends_with('/') && !name.is_empty() {
        name.push('/');
    }
    name
}

/// Parses the tidied name of a file. Prints what is wrong with it.
pub fn parse_file_name(name: &str) -> Result<FileName<'_>, Exit> {
    checked(name, file_name(name))
}

/// Parses the tidied name of a directory or file, which may end in `/`; `None` for the root. Prints what is wrong with it.
pub fn parse_path(name: &str) -> Result<Option<FileName<'_>>, Exit> {
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() { Ok(None) } else { checked(name, file_name(name)).map(Some) }
}

fn checked<T>(name: &str, parsed: Result<T, String>) -> Result<T, Exit> {
    parsed.map_err(|why| {
        print_error(format_args!("{name:?} is no valid name: {why}"));
        Exit::Usage
    })
}

fn file_name(name: &str) -> Result<FileName<'_>, String> {
    if name.split('/').any(|component| component == "..") {
        return Err("'..' is not followed; names begin at the top of what is served".to_owned());
    }
    if name.ends_with('/') {
        return Err("it ends in '/', as that of a directory, which 'coracle get -r' fetches".to_owned());
    }
    FileName::new(name).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use coracle_core::FileName;

    use super::{file_name, tidy};

    #[test]
    fn names_are_tidied() {
        for (text, name) in [
            ("a.txt", "a.txt"),
            ("/a.txt", "a.txt"),
            ("./a.txt", "a.txt"),
            ("a//b", "a/b"),
            ("//./a/.//./b", "a/b"),
            (".hidden", ".hidden"),
            ("...", "..."),
            ("a/..b", "a/..b"),
        ] {
            assert_eq!(tidy(text), name);
            assert_eq!(tidy(&format!("{text}//")), format!("{name}/"));
            assert!(file_name(name).is_ok(), "{name}");
        }
        for root in ["", "/", ".", "./", "//", "/./"] {
            assert_eq!(tidy(root), "", "{root:?}");
        }
    }

    #[test]
    fn what_is_valid_stays_as_it_is() {
        let longest = "x/".repeat(127) + "x";
        for name in ["a", "a b", "-rf", "café/😀", "~", longest.as_str()] {
            assert!(FileName::new(name).is_ok(), "{name}");
            assert_eq!(tidy(name), name);
        }
    }

    #[test]
    fn what_cannot_be_asked_for() {
        for (text, words) in [
            ("", "empty"),
            ("..", "'..' is not followed"),
            ("../a", "'..' is not followed"),
            ("/a/../b/", "'..' is not followed"),
            ("a\\b", "backslash"),
            ("a\nb", "control character"),
            ("a/", "it ends in '/'"),
            (&"x".repeat(256), "255"),
        ] {
            let tidied = tidy(text);
            let why = file_name(&tidied).expect_err(text);
            assert!(why.contains(words), "{text:?}: {why}");
        }
    }
}
