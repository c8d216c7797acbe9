//! Arguments of `coracle serve` about clients that write, and the sweep of what they leave unfinished.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use clap::{Args, ValueHint};
use coracle::server::OnText;
use coracle::store::{WritableDirectoryStore, WriteOptions};
use coracle_core::FileName;

use crate::exit::print_error;
use crate::values::{DurationArg, parse_size};

/// How often uploads that were left unfinished are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// What clients may write.
#[derive(Debug, Args)]
#[command(next_help_heading = "Writing")]
pub struct WriteArgs {
    /// Let clients put, delete and rename files, and make directories
    #[arg(long)]
    write: bool,
    /// Let clients put files beneath this directory, where nothing can be read or listed; may be given more than once
    #[arg(long, value_name = "DIR/", value_hint = ValueHint::Other, value_parser = parse_directory)]
    write_only: Vec<String>,
    /// Needed for writing without encryption: everybody who reaches the port can then change the files, or with --authorized do what its line 'plain' says
    #[arg(long)]
    allow_plain_writes: bool,
    /// The largest file that can be put [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, value_hint = ValueHint::Other)]
    max_file: Option<u64>,
    /// How many bytes all files may have together, unfinished uploads included [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, value_hint = ValueHint::Other)]
    quota: Option<u64>,
    /// How long an unfinished upload is kept to be continued
    #[arg(long, value_name = "DURATION", default_value = "24h", value_hint = ValueHint::Other)]
    keep_partial: DurationArg,
}

impl WriteArgs {
    /// Whether clients may write anything.
    pub fn is_on(&self) -> bool {
        self.write || !self.write_only.is_empty()
    }

    /// Whether clients may write without encryption.
    pub const fn allows_plain(&self) -> bool {
        self.allow_plain_writes
    }

    /// Checks that writing may be offered beside the other arguments.
    pub fn check(&self, on_text: &OnText, is_encrypted: bool) -> Result<(), String> {
        if !self.is_on() {
            return Ok(());
        }
        if !self.allow_plain_writes && !is_encrypted {
            return Err("writing is not encrypted: everybody who reaches the port could change the files. \
                        Add --allow-plain-writes where all of them may, or a --key"
                .to_owned());
        }
        if *on_text != OnText::Reject {
            return Err(
                "with --write, --on-text can only be 'reject': a web page could send requests as text".to_owned()
            );
        }
        Ok(())
    }

    pub fn options(&self) -> WriteOptions {
        let mut options =
            WriteOptions::new().with_max_file(self.max_file).with_quota(self.quota).with_everywhere(self.write);
        options.write_only.clone_from(&self.write_only);
        options
    }

    /// Removes old unfinished uploads at once, and every hour until the other end of `stopped` is dropped.
    pub fn sweep(&self, store: &WritableDirectoryStore, stopped: &Receiver<()>) {
        let age = self.keep_partial.0.unwrap_or(Duration::MAX);
        loop {
            if let Err(error) = store.sweep(age) {
                print_error(format_args!("cannot look for unfinished uploads: {error}"));
            }
            if stopped.recv_timeout(SWEEP_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }
}

fn parse_directory(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
    let name =
        FileName::new(path).map_err(|error| format!("{error}; a directory beneath the served one, as incoming/"))?;
    Ok(name.as_str().to_owned())
}
