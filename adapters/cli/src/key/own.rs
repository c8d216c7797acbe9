//! A user's or a server's own key: `new`, `show`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use coracle::channel::{
    KeyFileError, KeyPair, create_psk, create_secret_key, new_psk, new_secret_key, read_secret_key,
};

use super::report;
use crate::exit::Exit;
use crate::identity::own;

/// Make a key, in a file that only you can read, and print its public half
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle key new server.key
  coracle key new --psk bench.psk

A file that exists already is never replaced. The public half, 'ck1...', is no secret: give it to those who
are to know you. A pre-shared key has no public half, and nothing is printed.")]
pub struct New {
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
pub struct Show {
    /// The file [default: ~/.config/coracle/key]
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// Write a JSON object: file, and public
    #[arg(long)]
    json: bool,
}

pub fn new(args: &New) -> Exit {
    let Some(path) = args.file.clone().or_else(|| own(if args.psk { "psk" } else { "key" })) else {
        return report::no_home();
    };
    if args.file.is_none()
        && let Some(directory) = path.parent()
        && let Err(error) = fs::create_dir_all(directory)
    {
        return report::failed(directory, &error.into());
    }
    match make(&path, args.psk) {
        Ok(key) => report::key(&path, key.as_ref(), args.json),
        Err(error) => report::failed(&path, &error),
    }
}

fn make(path: &Path, is_psk: bool) -> Result<Option<KeyPair>, KeyFileError> {
    if is_psk {
        return create_psk(path, &new_psk()?).map(|()| None);
    }
    let key = KeyPair::new(new_secret_key()?);
    create_secret_key(path, &key).map(|()| Some(key))
}

pub fn show(args: &Show) -> Exit {
    let Some(path) = args.file.clone().or_else(|| own("key")) else { return report::no_home() };
    match read_secret_key(&path) {
        Ok(secret) => report::key(&path, Some(&KeyPair::new(secret)), args.json),
        Err(error) => report::failed(&path, &error),
    }
}
