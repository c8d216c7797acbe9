//! `coracle key`: keys of the encrypted channel.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use coracle::channel::{
    KeyFileError, KeyPair, create_psk, create_secret_key, new_psk, new_secret_key, read_secret_key,
};
use coracle::client::Error;
use coracle::escape_json;

use crate::exit::{Exit, print_error, report_failure};
use crate::standard_output;

/// Make and show keys of the encrypted channel
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle key new                          a key of your own, in ~/.config/coracle/key
  coracle key new server.key               a key for a server; prints its public half
  coracle key new --psk bench.psk          a pre-shared key, for all who may reach a server
  coracle key show server.key              the public half again")]
pub struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(New),
    Show(Show),
}

/// Make a key, in a file that only you can read, and print its public half
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle key new server.key
  coracle key new --psk bench.psk

A file that exists already is never replaced. The public half, 'ck1...', is no secret: give it to those who
are to know you. A pre-shared key has no public half, and nothing is printed.")]
struct New {
    /// The file [default: ~/.config/coracle/key, or psk]
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// Make a pre-shared key instead: who lacks it is not answered by a server that has it
    #[arg(long)]
    psk: bool,

    /// Write a JSON object: file, and public
    #[arg(long)]
    json: bool,
}

/// Show the public half of a key
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle key show
  coracle key show server.key --json")]
struct Show {
    /// The file [default: ~/.config/coracle/key]
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// Write a JSON object: file, and public
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Key) -> Exit {
    match &args.command {
        Command::New(args) => new(args),
        Command::Show(args) => show(args),
    }
}

fn new(args: &New) -> Exit {
    let Some(path) = args.file.clone().or_else(|| own(if args.psk { "psk" } else { "key" })) else { return no_home() };
    if args.file.is_none()
        && let Some(directory) = path.parent()
        && let Err(error) = fs::create_dir_all(directory)
    {
        return failed(directory, &error.into());
    }
    match make(&path, args.psk) {
        Ok(key) => print(&path, key.as_ref(), args.json),
        Err(error) => failed(&path, &error),
    }
}

fn make(path: &Path, is_psk: bool) -> Result<Option<KeyPair>, KeyFileError> {
    if is_psk {
        return create_psk(path, &new_psk()?).map(|()| None);
    }
    let key = KeyPair::new(new_secret_key()?);
    create_secret_key(path, &key).map(|()| Some(key))
}

fn show(args: &Show) -> Exit {
    let Some(path) = args.file.clone().or_else(|| own("key")) else { return no_home() };
    match read_secret_key(&path) {
        Ok(secret) => print(&path, Some(&KeyPair::new(secret)), args.json),
        Err(error) => failed(&path, &error),
    }
}

/// Where the user's own keys are, by the XDG Base Directory Specification.
fn own(name: &str) -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let configuration = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(configuration.join("coracle").join(name))
}

fn no_home() -> Exit {
    print_error("neither XDG_CONFIG_HOME nor HOME says where your keys are: name a file");
    Exit::Usage
}

fn failed(path: &Path, error: &KeyFileError) -> Exit {
    print_error(format_args!("{}: {error}", path.display()));
    Exit::LocalFile
}

fn print(path: &Path, key: Option<&KeyPair>, json: bool) -> Exit {
    let public = key.map(|key| key.public().to_string());
    let text = if json {
        let mut object = serde_json::Map::new();
        object.insert("file".into(), path.to_string_lossy().into());
        if let Some(public) = public {
            object.insert("public".into(), public.into());
        }
        format!("{}\n", escape_json(&serde_json::Value::Object(object).to_string()))
    } else {
        public.map_or_else(String::new, |public| format!("{public}\n"))
    };
    match standard_output::write(text.as_bytes()).map_err(Error::Write) {
        Ok(()) => Exit::Done,
        Err(error) => report_failure("standard output", &error),
    }
}
