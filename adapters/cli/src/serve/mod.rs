//! `coracle serve`.

mod admission;
mod announcement;
mod metrics_page;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use clap::{Args, ValueEnum};
use coracle::metrics::Metrics;
use coracle::server::{Limits, Log, LogFormat, LogLevel, Server};
use coracle::store::{DirectoryStore, SwappableStore};
use coracle::transport::KernelFile;
use coracle_core::{ServerName, Store};
use signal_hook::iterator::Signals;

use crate::exit::{Exit, print_error};
use crate::listen_address::ListenAddress;
use crate::signals::{stop_on_signals, stop_signals};
use crate::values::{DurationArg, parse_chunk_size, parse_rate};
use crate::{console, descriptor_limit};
use admission::AdmissionArgs;
use metrics_page::MetricsPage;

/// Serve a directory
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = LONG_HELP)]
pub struct Serve {
    /// The directory to serve
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Listen on this address; may be given more than once. ADDR alone is port 8888, :PORT is every address [default: [::]:8888, which takes IPv4 too]
    #[arg(long, short, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// How many clients are served at a time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    max_clients: usize,
    /// How many of them may come from one address; on top of those it is told 'busy' [default: as many as there are places]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    max_clients_per_address: Option<usize>,
    /// Bytes of a chunk, as the headers tell them
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_chunk_size)]
    chunk_size: NonZeroU32,
    /// Close connections that rest this long between requests
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    idle_timeout: DurationArg,
    /// How long a request may take to arrive, from its first byte to its last
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    request_timeout: DurationArg,
    /// Drop clients that take no byte of an answer for this long
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    stall_timeout: DurationArg,
    /// Drop clients that take fewer bytes a second than this on average; 0 for none
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_rate)]
    min_rate: u32,
    /// How long answers under way may take when the server is stopped
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    grace: DurationArg,
    /// What this server calls itself to clients (at most 32 bytes)
    #[arg(long, default_value = "", hide_default_value = true, value_parser = server_name)]
    name: String,
    /// Show the clients, the throughput and the log on this terminal, and take keys: start and stop listening, change the directory and the address. Without a terminal it is the plain log
    #[arg(long)]
    console: bool,
    /// Serve files and directories whose names begin with a dot, too
    #[arg(long)]
    hidden: bool,
    #[command(flatten)]
    admission: AdmissionArgs,
    /// Show the server's numbers to Prometheus, at http://ADDR:PORT/metrics
    #[arg(long, value_name = "ADDR:PORT", value_parser = metrics_address)]
    metrics: Option<SocketAddr>,
    /// How the log's lines on standard error look
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: Format,
    /// Log only what goes wrong with the server itself
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// Log clients that come and requests that arrive, too
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

const EXAMPLES: &str = "\
Examples:
  coracle serve                             this directory, on port 8888 of every address
  coracle serve /srv/images -l 127.0.0.1:0  only for this machine, on a free port
  coracle serve --max-clients 16 --idle-timeout 5m --name bench-7
  coracle serve /srv/images --console       watched and steered on this terminal";

const LONG_HELP: &str = "\
Examples:
  coracle serve                             this directory, on port 8888 of every address
  coracle serve /srv/images -l 127.0.0.1:0  only for this machine, on a free port
  coracle serve --max-clients 16 --idle-timeout 5m --name bench-7
  coracle serve /srv/images --console       watched and steered on this terminal

The first lines on standard output name the addresses that are listened on, with
their real ports: 'listening on 127.0.0.1:40123'. The log is on standard error.

With --console the terminal shows them instead, and the log goes to standard error
only where that is no terminal: --console 2>log keeps one.

When every place is taken, the oldest client that has asked nothing for over a
second loses its place to a newcomer; where there is none, the newcomer is told
to try again. With --admission queue newcomers wait instead, and are served in the
order in which they came; --max-clients 1 then serves strictly one after another.

--max-clients-per-address 8 keeps one host from taking all places: its ninth client
is told to try again at once, and so is one that would wait with --admission queue.
There is no such limit unless it is asked for, since all clients behind one address
translator or proxy have one address. Of an IPv6 address the first 64 bits count, as
a host has all of the rest to itself; link-local ones count singly.

--on-text 'reply:got it' answers clients that send plain text, once for each piece
that arrives, and --on-text echo sends it back; each piece is logged.

--metrics 127.0.0.1:9100 shows counters to Prometheus at http://127.0.0.1:9100/metrics
to everybody who reaches that port; its address is the line behind the listening ones.

SIGINT (Ctrl-C), SIGTERM and SIGHUP stop the server: nobody is accepted any more,
and answers under way are finished, for --grace at most. A second signal stops it
at once. Under nohup, SIGHUP is ignored.

Exit codes:
  0        stopped by a signal, in good order
  2        wrong usage
  3        an address cannot be listened on
  5        the directory cannot be served
  128 + N  stopped at once by a second signal N

Durations are numbers with a unit (500ms, 10s, 2m); 0 is never.
Sizes are bytes, or numbers with a unit: 64KiB is 65536, 64k or 64kB is 64000.";

pub fn serve(args: &Serve) -> Exit {
    let store = match DirectoryStore::open(&args.directory) {
        Ok(store) => store.with_hidden(args.hidden),
        Err(error) => return fail(Exit::LocalFile, &error),
    };
    if args.console && console::is_available() {
        return serve_on_console(args, store);
    }
    if args.console {
        print_error("there is no terminal for a console; here is the log");
    }
    let mut addresses = Vec::new();
    for text in &args.listen {
        match ListenAddress::split(text).resolve() {
            Ok(resolved) => addresses.extend(resolved),
            Err(error) => return fail(Exit::Network, &error),
        }
    }
    if let Some(warning) = descriptor_limit::raise(args.max_clients) {
        print_error(warning);
    }
    let (level, format) = log_manner(args);
    let log = match Log::new(io::stderr(), format, level) {
        Ok(log) => log,
        Err(error) => return fail(Exit::LocalFile, &format!("cannot begin a log: {error}")),
    };
    let metrics = Metrics::new();
    let server = prepared(Server::new(&store), args, &metrics).with_observer(log);
    let server = match addresses.into_iter().fold(server, Server::with_address).bind() {
        Ok(server) => server,
        Err(error) => return fail(Exit::Network, &error),
    };
    // Caught before anybody can know that it is time to send one.
    let mut signals = match Signals::new(stop_signals()) {
        Ok(signals) => signals,
        Err(error) => return fail(Exit::LocalFile, &format!("cannot catch signals: {error}")),
    };
    let page = match open_page(args, metrics) {
        Ok(page) => page,
        Err(exit) => return exit,
    };
    announcement::print(&server.addresses(), page.as_ref());
    let (handle, last_signal) = (server.handle(), AtomicU8::new(0));
    let outcome = thread::scope(|scope| {
        let end_of_signals = signals.handle();
        scope.spawn(|| stop_on_signals(&mut signals, &handle, &last_signal));
        let outcome = server.run();
        end_of_signals.close();
        outcome
    });
    match (outcome, last_signal.load(Ordering::Relaxed)) {
        (Err(error), _) => fail(Exit::LocalFile, &format!("cannot serve: {error}")),
        (Ok(_), 0) => Exit::Done,
        (Ok(_), signal) => Exit::Signal(signal),
    }
}

fn serve_on_console(args: &Serve, store: DirectoryStore) -> Exit {
    let listen = match args.listen.as_slice() {
        [] => ListenAddress::default(),
        [text] => ListenAddress::split(text),
        _ => return fail(Exit::Usage, &"the console has one address to listen on: give --listen once"),
    };
    if let Some(warning) = descriptor_limit::raise(args.max_clients) {
        print_error(warning);
    }
    let store = SwappableStore::new(store);
    let (level, format) = log_manner(args);
    let config = console::ConsoleConfig {
        folder: args.directory.clone(),
        hidden: args.hidden,
        listen,
        name: args.name.clone(),
        max_clients: args.max_clients,
        max_clients_per_address: args.max_clients_per_address,
        level,
        format,
    };
    let metrics = Metrics::new();
    let server = prepared(Server::new(store.clone()), args, &metrics);
    // It is there for as long as the server.
    let page = match open_page(args, metrics) {
        Ok(page) => page,
        Err(exit) => return exit,
    };
    let exit = console::run(server, &store, config);
    drop(page);
    exit
}

/// With all that does not depend on where it is shown.
fn prepared<'a, S>(mut server: Server<'a, S>, args: &Serve, metrics: &Metrics) -> Server<'a, S>
where
    S: Store<File: KernelFile> + Clone + Send,
{
    if let Ok(name) = ServerName::new(&args.name) {
        server = server.with_name(name);
    }
    if args.metrics.is_some() {
        server = server.with_observer(metrics.clone());
    }
    server.with_limits(limits(args))
}

fn open_page(args: &Serve, metrics: Metrics) -> Result<Option<MetricsPage>, Exit> {
    let Some(address) = args.metrics else { return Ok(None) };
    let explain = |error| fail(Exit::Network, &format!("cannot show the numbers at {address}: {error}"));
    MetricsPage::open(address, metrics).map(Some).map_err(explain)
}

fn log_manner(args: &Serve) -> (LogLevel, LogFormat) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => LogLevel::Quiet,
        (_, true) => LogLevel::Verbose,
        _ => LogLevel::Normal,
    };
    let format = match args.log_format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    (level, format)
}

fn fail(exit: Exit, message: &dyn std::fmt::Display) -> Exit {
    print_error(message);
    exit
}

fn limits(args: &Serve) -> Limits {
    let mut limits = Limits::default();
    limits.max_clients = args.max_clients;
    limits.max_clients_per_address = args.max_clients_per_address;
    limits.chunk_size = args.chunk_size;
    limits.idle_timeout = args.idle_timeout.0;
    limits.request_timeout = args.request_timeout.0;
    limits.stall_timeout = args.stall_timeout.0;
    limits.min_rate = args.min_rate;
    limits.grace = args.grace.0;
    args.admission.apply(&mut limits);
    limits
}

/// Both have to be said: there is no usual port, and not everybody should see the numbers.
fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    let resolved =
        text.to_socket_addrs().map_err(|error| format!("{error}; an address and a port, as 127.0.0.1:9100"))?;
    resolved.into_iter().next().ok_or_else(|| "no address belongs to that name".to_owned())
}

fn server_name(text: &str) -> Result<String, String> {
    ServerName::new(text).map(|name| name.as_str().to_owned()).map_err(|error| error.to_string())
}
