//! Benchmark client: drives a server and prints the results as one line of JSON. One program for every server, so that its own
//! cost is the same for all.

mod bulk;
mod burst;
mod content;
mod crowd;
mod dialect;
mod encrypted;
mod idle;
mod meter;
mod poll;
mod small;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use content::Content;
use coracle_channel::PublicKey;
use dialect::Dialect;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Fetch one file
    Bulk {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        file: LargeFile,
        #[arg(long, default_value = "drop")]
        sink: Sink,
    },
    /// Fetch one file with many clients at once, each over a new connection
    Burst {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        file: LargeFile,
        #[arg(long)]
        clients: usize,
        /// How often they do that, one time after the other
        #[arg(long)]
        times: u32,
        /// Also check every byte. For a run that is not timed
        #[arg(long)]
        check: bool,
    },
    /// Fetch one file with many clients of the library, each over a new connection, and again when the server says so
    Crowd {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        file: LargeFile,
        /// Fetches of all clients together
        #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
        fetches: usize,
        /// How many clients there are at a time, each with one fetch after the other; without it all come within the second
        #[arg(long)]
        clients: Option<usize>,
    },
    /// Read a listing to the end of the connection
    List {
        #[command(flatten)]
        server: Server,
        /// The directory
        #[arg(long)]
        name: String,
        /// Bytes that stand once for each entry
        #[arg(long)]
        marker: String,
        /// How often they have to be there
        #[arg(long)]
        count: usize,
    },
    /// Ask for small files, or send text, again and again
    Small {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        files: SmallFiles,
        #[arg(long, default_value_t = 1)]
        clients: usize,
        /// A new connection for each request
        #[arg(long)]
        fresh: bool,
        #[arg(long, default_value_t = 300)]
        milliseconds: u64,
        /// Stop after so many requests; the files are then fetched in their order instead of at random
        #[arg(long)]
        requests: Option<usize>,
    },
    /// Make handshakes of encrypted connections, one after the other
    Handshakes {
        #[command(flatten)]
        server: Server,
        #[arg(long, default_value_t = 300)]
        milliseconds: u64,
    },
    /// Connect many clients, wait for a line on standard input, then let each ask once
    Idle {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        files: SmallFiles,
        #[arg(long)]
        clients: usize,
    },
    /// Read the beginning of a file from this machine
    ReadFile {
        file: PathBuf,
        /// Bytes to read
        #[arg(long)]
        length: u64,
    },
    /// Carry packets between two TUN devices, which are standard input and standard output
    Wire {
        /// How long a packet is under way, in milliseconds
        #[arg(long)]
        delay_ms: u64,
        /// Megabits a second, each way
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        megabits: u32,
    },
}

#[derive(clap::Args)]
struct Server {
    #[arg(long)]
    dialect: Dialect,
    #[arg(long)]
    address: SocketAddr,
    /// The server's processes, whose processor time is measured
    #[arg(long)]
    pid: Vec<i32>,
    /// Its public key, of small files and handshakes: the connections are encrypted
    #[arg(long)]
    key: Option<PublicKey>,
}

#[derive(clap::Args)]
struct LargeFile {
    #[arg(long)]
    name: String,
    /// Bytes that it has
    #[arg(long)]
    size: u64,
    /// Its CRC-32, as eight hexadecimal digits
    #[arg(long, value_parser = hexadecimal)]
    crc32: u32,
}

#[derive(clap::Args)]
struct SmallFiles {
    /// The directory of numbered files; without it text is sent
    #[arg(long)]
    directory: Option<String>,
    /// How many files are in it
    #[arg(long, default_value_t = 1)]
    count: u64,
}

/// What is done with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sink {
    /// Read and dropped.
    Drop,
    /// Spliced to /dev/null: it never enters the client.
    Splice,
    /// Read and checked. For a run that is not timed.
    Check,
}

fn main() -> ExitCode {
    match run(Args::parse().work) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(work: Work) -> Result<serde_json::Value, String> {
    match work {
        Work::Bulk { server, file, sink } => bulk::fetch(&server, &file, sink),
        Work::Burst { server, file, clients, times, check } => {
            let plan = burst::Plan { clients, times, check };
            burst::run(&server, &file, &plan)
        }
        Work::Crowd { server, file, fetches, clients } => {
            crowd::run(&server, &file, &crowd::Plan { fetches, clients, within: Duration::from_secs(1) })
        }
        Work::List { server, name, marker, count } => bulk::list(&server, &name, &marker, count),
        Work::Small { server, files, clients, fresh, milliseconds, requests } => {
            small::run(&server, files.content(), &small::Plan { clients, fresh, milliseconds, requests })
        }
        Work::Handshakes { server, milliseconds } => encrypted::handshakes(&server, milliseconds),
        Work::Idle { server, files, clients } => idle::run(&server, files.content(), clients),
        Work::ReadFile { file, length } => bulk::read_file(&file, length),
        Work::Wire { delay_ms, megabits } => wire::carry(delay_ms, megabits),
    }
}

impl SmallFiles {
    fn content(self) -> Content {
        self.directory.map_or(Content::Text, |directory| Content::Files { directory, count: self.count.max(1) })
    }
}

fn hexadecimal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 16).map_err(|error| error.to_string())
}
