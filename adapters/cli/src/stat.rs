//! `coracle stat`: the size, time, version and digest of a file.

use clap::{Args, ValueHint};
use coracle::client::Error;
use coracle::local::{Escaped, escape_json};
use coracle_core::{DigestKind, FileName, Header};

use crate::client_args::{ClientArgs, DigestArg};
use crate::exit::{Exit, report_failure};
use crate::names::{parse_file_name, tidy};
use crate::standard_output;
use crate::values::format_time;

/// Show the size, time, version and digest of a file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle stat 192.168.7.2 boot.log
  coracle stat board-7 boot.log --digest sha256 --json

The version stays the same as long as no existing byte changes: a file that only grows keeps it.")]
pub struct Stat {
    #[command(flatten)]
    pub client_args: ClientArgs,

    /// The file
    #[arg(value_hint = ValueHint::Other)]
    name: String,

    /// Ask for this digest of the whole file, for which the server may have to read it
    #[arg(long, value_enum, default_value_t = DigestArg::None)]
    digest: DigestArg,

    /// Write a JSON object: fileName, fileSize, version, modified (seconds since 1970), and the digest's hexadecimal digits
    #[arg(long)]
    json: bool,

    /// Print errors only: no notes on retries
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(args: &Stat) -> Exit {
    let name = tidy(&args.name);
    let name = match parse_file_name(&name) {
        Ok(name) => name,
        Err(exit) => return exit,
    };
    let text =
        args.client_args.telling_client(args.quiet).stat(name, args.digest.kind()).map(|header| match args.json {
            true => json(name, &header),
            false => text(name, &header),
        });
    match text.and_then(|text| standard_output::write(text.as_bytes()).map_err(Error::Write)) {
        Ok(()) => Exit::Done,
        Err(error) => report_failure(name.as_str(), &error),
    }
}

fn text(name: FileName<'_>, header: &Header) -> String {
    let mut text = format!("{}\n", Escaped(name.as_str()));
    let mut line = |title: &str, value: &str| text.push_str(&format!("  {title:<9} {value}\n"));
    line("size", &format!("{} bytes", header.size));
    line("modified", format_time(header.modified).trim_end());
    line("version", header.version.as_str());
    if let Some(digest) = &header.digest {
        line(digest.kind().as_str(), digest.to_hex().as_str());
    }
    text
}

fn json(name: FileName<'_>, header: &Header) -> String {
    let mut object = serde_json::Map::new();
    object.insert("fileName".into(), name.as_str().into());
    object.insert("fileSize".into(), header.size.into());
    object.insert("version".into(), header.version.as_str().into());
    if let Some(modified) = header.modified {
        object.insert("modified".into(), modified.into());
    }
    if let Some(digest) = &header.digest {
        let kind: DigestKind = digest.kind();
        object.insert("digest".into(), kind.as_str().into());
        object.insert(kind.as_str().into(), digest.to_hex().as_str().into());
    }
    format!("{}\n", escape_json(&serde_json::Value::Object(object).to_string()))
}
