//! Keys of many boards, made of one secret: `derive`, `pins`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use coracle::channel::{KeyPair, SecretKey, create_secret_key, read_secret_key};
use coracle::client::Address;
use serde_json::json;

use super::report;
use crate::exit::{Exit, print_error};
use crate::identity::check_name;

/// Make a board's key of the fleet's secret and the board's name
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle key new fleet.key                once; it never leaves this machine, or a safe
  coracle key derive fleet.key bench-12    into bench-12.key; prints the public half
  coracle key derive fleet.key bench-12 --rust > secret.rs

The same name gives the same key each time: HKDF-SHA256 of the fleet's secret. A board, its
image and its flash hold its own key alone, of which no other can be made. Whoever has the
fleet's has all of them.")]
pub struct Derive {
    /// The file with the fleet's secret, as 'coracle key new' makes it
    #[arg(value_hint = ValueHint::FilePath)]
    fleet: PathBuf,

    /// The board's name
    #[arg(value_hint = ValueHint::Other)]
    name: String,

    /// The file for the board's key [default: NAME.key]
    #[arg(value_hint = ValueHint::FilePath, conflicts_with = "rust")]
    file: Option<PathBuf>,

    /// Write no file, and print the secret as an array of Rust, which is to stay secret
    #[arg(long, conflicts_with = "json")]
    rust: bool,

    /// Write a JSON object: file, and public
    #[arg(long)]
    json: bool,
}

/// Make the pins of a fleet's boards, for those who do not hold its secret
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle key pins fleet.key names.txt >> ~/.config/coracle/hosts
  printf 'bench-12 192.168.7.2\\nbench-13\\n' | coracle key pins fleet.key -

A line of FILE is the name of a board, and its address where the name is none; '#' begins a
comment. What is printed are lines of a hosts file: 'NAME ADDRESS pin=ck1...'. They hold no
secret.")]
pub struct MakePins {
    /// The file with the fleet's secret
    #[arg(value_hint = ValueHint::FilePath)]
    fleet: PathBuf,

    /// The file of names; '-' for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    names: PathBuf,

    /// Write a JSON object a line: name, address, and key
    #[arg(long)]
    json: bool,
}

pub fn derive(args: &Derive) -> Exit {
    if let Err(why) = check_name(&args.name) {
        print_error(why);
        return Exit::Usage;
    }
    let fleet = match read_secret_key(&args.fleet) {
        Ok(fleet) => fleet,
        Err(error) => return report::failed(&args.fleet, &error),
    };
    let key = KeyPair::new(SecretKey::derive(&fleet, &args.name));
    if args.rust {
        return report::print(&rust_array(&args.name, &key));
    }
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{}.key", args.name)));
    match create_secret_key(&path, &key) {
        Ok(()) => report::key(&path, Some(&key), args.json),
        Err(error) => report::failed(&path, &error),
    }
}

fn rust_array(name: &str, key: &KeyPair) -> String {
    let rows: Vec<String> = key
        .secret()
        .as_bytes()
        .chunks(8)
        .map(|row| format!("    {}\n", row.iter().map(|byte| format!("0x{byte:02x},")).collect::<Vec<_>>().join(" ")))
        .collect();
    format!(
        "/// The secret key of {name}, whose public half is {}.\npub const SECRET_KEY: [u8; 32] = [\n{}];\n",
        key.public(),
        rows.concat()
    )
}

pub fn pins(args: &MakePins) -> Exit {
    let fleet = match read_secret_key(&args.fleet) {
        Ok(fleet) => fleet,
        Err(error) => return report::failed(&args.fleet, &error),
    };
    let names = match read_names(&args.names) {
        Ok(names) => names,
        Err(error) => {
            print_error(format_args!("{}: {error}", args.names.display()));
            return Exit::LocalFile;
        }
    };
    let mut text = String::new();
    for (number, line) in names.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        let (name, address) = match words[..] {
            [] => continue,
            [name] => (name, name),
            [name, address] => (name, address),
            _ => return malformed(&args.names, number, "a line is NAME, or NAME ADDRESS"),
        };
        if let Err(why) = check_name(name) {
            return malformed(&args.names, number, &why);
        }
        if let Err(error) = address.parse::<Address>() {
            return malformed(&args.names, number, &format!("{address:?}: {error}"));
        }
        let key = KeyPair::new(SecretKey::derive(&fleet, name)).public().to_string();
        text.push_str(&if args.json {
            report::json_line(&json!({ "name": name, "address": address, "key": key }))
        } else {
            format!("{name} {address} pin={key}\n")
        });
    }
    report::print(&text)
}

fn read_names(path: &Path) -> io::Result<String> {
    if path != Path::new("-") {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text)?;
    Ok(text)
}

fn malformed(path: &Path, number: usize, what: &str) -> Exit {
    print_error(format_args!("{}:{}: {what}", path.display(), number + 1));
    Exit::LocalFile
}
