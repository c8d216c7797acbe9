//! Benchmark client: drives a server and prints the results as one line of JSON. One program for every server, so that its own
//! cost is the same for all.

mod bulk;
mod crowd;
mod dialect;
mod floor;
mod meter;
mod small;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
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
        #[arg(long)]
        name: String,
        /// Bytes that it has
        #[arg(long)]
        size: u64,
        /// Its CRC-32, as eight hexadecimal digits
        #[arg(long, value_parser = hexadecimal)]
        crc32: u32,
        #[arg(long, default_value = "drop")]
        sink: Sink,
    },
    /// Read a listing to the end of the connection
    List {
        #[command(flatten)]
        server: Server,
        /// Bytes that stand once for each entry
        #[arg(long)]
        marker: String,
        /// How often they have to be there
        #[arg(long)]
        count: usize,
    },
    /// Ask for a small file, or send text, again and again
    Small {
        #[command(flatten)]
        server: Server,
        #[arg(long, default_value = "")]
        name: String,
        /// A file that has what every body must be
        #[arg(long)]
        body: Option<PathBuf>,
        #[arg(long, default_value_t = 1)]
        clients: usize,
        /// A new connection for each request
        #[arg(long)]
        fresh: bool,
        #[arg(long, default_value_t = 300)]
        milliseconds: u64,
    },
    /// Connect many clients, wait for a line on standard input, then let each ask once
    Idle {
        #[command(flatten)]
        server: Server,
        #[arg(long)]
        name: String,
        #[arg(long)]
        body: PathBuf,
        #[arg(long)]
        clients: usize,
    },
    /// Let each client ask once a second
    Paced {
        #[command(flatten)]
        server: Server,
        #[arg(long)]
        name: String,
        #[arg(long)]
        body: PathBuf,
        #[arg(long)]
        clients: usize,
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// Serve one file with the fewest system calls
    Floor {
        /// The file
        file: PathBuf,
        /// How its bytes leave
        #[arg(long, default_value = "sendfile")]
        way: floor::Way,
    },
    /// List a directory with the fewest system calls
    FloorList {
        /// The directory
        directory: PathBuf,
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
        Work::Bulk { server, name, size, crc32, sink } => bulk::fetch(&server, &name, size, crc32, sink),
        Work::List { server, marker, count } => bulk::list(&server, &marker, count),
        Work::Small { server, name, body, clients, fresh, milliseconds } => {
            let body = body.map_or_else(|| Ok(dialect::SENTENCE.to_vec()), |path| contents(&path))?;
            let plan = small::Plan { name: &name, body: &body, clients, fresh, milliseconds };
            small::run(&server, &plan)
        }
        Work::Idle { server, name, body, clients } => crowd::idle(&server, &name, &contents(&body)?, clients),
        Work::Paced { server, name, body, clients, seconds } => {
            crowd::paced(&server, &name, &contents(&body)?, clients, seconds)
        }
        Work::Floor { file, way } => floor::serve(&file, way),
        Work::FloorList { directory } => floor::list(&directory),
    }
}

fn contents(path: &PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn hexadecimal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 16).map_err(|error| error.to_string())
}
