//! What the commands print.

use std::path::Path;

use coracle::channel::{KeyFileError, KeyPair};
use coracle::client::Error;
use coracle::escape_json;
use serde_json::Value;

use crate::exit::{Exit, print_error, report_failure};
use crate::identity::FileProblem;
use crate::standard_output;

/// Prints the public half of the key in a file; a pre-shared key has none.
pub fn key(path: &Path, key: Option<&KeyPair>, json: bool) -> Exit {
    let public = key.map(|key| key.public().to_string());
    if !json {
        return print(&public.map_or_else(String::new, |public| format!("{public}\n")));
    }
    let mut object = serde_json::Map::new();
    object.insert("file".into(), path.to_string_lossy().into());
    if let Some(public) = public {
        object.insert("public".into(), public.into());
    }
    print(&json_line(&Value::Object(object)))
}

pub fn json_line(value: &Value) -> String {
    format!("{}\n", escape_json(&value.to_string()))
}

pub fn print(text: &str) -> Exit {
    match standard_output::write(text.as_bytes()).map_err(Error::Write) {
        Ok(()) => Exit::Done,
        Err(error) => report_failure("standard output", &error),
    }
}

pub fn failed(path: &Path, error: &KeyFileError) -> Exit {
    print_error(format_args!("{}: {error}", path.display()));
    Exit::LocalFile
}

pub fn problem(problem: &FileProblem) -> Exit {
    print_error(problem);
    Exit::LocalFile
}

pub fn no_home() -> Exit {
    print_error("neither XDG_CONFIG_HOME nor HOME says where your keys are: name a file");
    Exit::Usage
}
