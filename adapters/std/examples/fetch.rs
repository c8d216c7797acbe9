//! Fetches a file from a server: `cargo run -p coracle --example fetch -- HOST[:PORT] NAME PATH`.
//!
//! After an interruption the next run resumes. With HOST alone it lists what the server has.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use coracle::client::{Progress, ProgressEvent};
use coracle::{Address, Client, Escaped, FileName, GetOptions};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fetch: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns what to print.
pub fn run(arguments: &[String]) -> Result<String, Box<dyn Error>> {
    match arguments {
        [address] => {
            let mut names = String::new();
            connect(address)?.list(None, |entry| {
                names += &format!("{}\n", Escaped(entry.name.as_str()));
                Ok(())
            })?;
            Ok(names)
        }
        [address, name, path] => {
            let options = GetOptions::new().with_max_size(Some(1 << 30));
            let name = FileName::new(name)?;
            let summary = connect(address)?.get_to_path(name, Path::new(path), &options, &mut PrintEvents)?;
            Ok(format!("{} bytes, {} of them from an earlier run\n", summary.size, summary.resumed))
        }
        _ => Err("usage: fetch HOST[:PORT] [NAME PATH]".into()),
    }
}

fn connect(address: &str) -> Result<Client, Box<dyn Error>> {
    Ok(Client::new(address.parse::<Address>()?).with_retries(5))
}

struct PrintEvents;

impl Progress for PrintEvents {
    fn event(&mut self, event: &ProgressEvent<'_>) {
        eprintln!("{event}");
    }
}
