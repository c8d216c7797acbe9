//! `coracle serve`.

mod admission;
mod announcement;
mod discovery;
mod encryption;
mod help;
mod metrics_page;
mod objects;
mod passed_sockets;
mod writing;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::thread;

use clap::{Args, ValueEnum, ValueHint};
use coracle::channel::ServerChannel;
use coracle::client::AddressFamily;
use coracle::discover::Announcement;
use coracle::metrics::Metrics;
use coracle::server::{Limits, Log, LogFormat, LogLevel, ServedStore, Server};
use coracle::store::{DirectoryStore, SingleFileStore, SwappableStore, WritableDirectoryStore};
use coracle_core::{FileName, ServerName};

use crate::append::AppendArgs;
use crate::exit::{Exit, print_error};
use crate::listen_address::ListenAddress;
use crate::signals::stop_on_signals;
use crate::sys::StopSignals;
use crate::values::{DurationArg, parse_chunk_size, parse_limit, parse_rate};
use crate::versions::VersionArgs;
use crate::{console, descriptor_limit};
use admission::AdmissionArgs;
use discovery::AnnounceArgs;
use encryption::EncryptionArgs;
use help::{EXAMPLES, LONG_HELP};
use metrics_page::MetricsPage;
use objects::ObjectArgs;
use writing::WriteArgs;

/// What is opened before anything else.
struct Opened {
    /// Where connections are encrypted.
    channel: Option<Arc<ServerChannel>>,
    /// Passed on by a service manager.
    sockets: Vec<TcpListener>,
}

/// Serve a directory, one file, or the objects of a bucket
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = LONG_HELP)]
pub struct Serve {
    /// The directory to serve; or a file, and nothing else that lies beside it; or s3://BUCKET/PREFIX, the objects of a bucket
    #[arg(value_name = "DIR|FILE|URL", default_value = ".", value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    /// Listen on this address; may be given more than once. ADDR alone is port 8888, :PORT is every address [default: [::]:8888, which takes IPv4 too]
    #[arg(long, short, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Listen on IPv4 addresses only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Listen on IPv6 addresses only
    #[arg(short = '6', long)]
    ipv6: bool,
    /// How many clients are served at a time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    max_clients: usize,
    /// How many clients may come from one address; further ones are told 'busy' [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    max_clients_per_address: Option<usize>,
    /// The chunk size that response headers announce
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_chunk_size)]
    chunk_size: NonZeroU32,
    /// Close connections that are idle for this long between requests
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    idle_timeout: DurationArg,
    /// How long a request may take to arrive, from its first byte to its last
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    request_timeout: DurationArg,
    /// Drop clients that receive no byte of an answer for this long
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    stall_timeout: DurationArg,
    /// Drop clients that receive fewer bytes a second than this on average; 0 for no minimum
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_rate)]
    min_rate: u32,
    /// Send at most this many bytes a second to all clients together
    #[arg(long, value_name = "SIZE", value_parser = parse_limit)]
    limit_rate: Option<NonZeroU64>,
    /// Send at most this many bytes a second over each connection
    #[arg(long, value_name = "SIZE", value_parser = parse_limit)]
    limit_rate_per_client: Option<NonZeroU64>,
    /// How long answers under way may take when the server is stopped
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    grace: DurationArg,
    /// When clients that are told that the server stops come again; 0: they are not told
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    retry_after: DurationArg,
    /// The name of this server, which clients are told (at most 32 bytes)
    #[arg(long, default_value = "", hide_default_value = true, value_parser = parse_server_name)]
    name: String,
    #[command(flatten)]
    announcing: AnnounceArgs,
    /// Show the clients, the throughput and the log on this terminal, and take keys: start and stop listening, change the directory and the address. Without a terminal, only the log is written
    #[arg(long)]
    console: bool,
    /// Also serve files and directories whose names begin with a dot
    #[arg(long)]
    hidden: bool,
    #[command(flatten)]
    append: AppendArgs,
    #[command(flatten)]
    admission: AdmissionArgs,
    #[command(flatten)]
    writing: WriteArgs,
    #[command(flatten)]
    versions: VersionArgs,
    #[command(flatten)]
    objects: ObjectArgs,
    #[command(flatten)]
    encryption: EncryptionArgs,
    /// Serve metrics for Prometheus at http://ADDR:PORT/metrics
    #[arg(long, value_name = "ADDR:PORT", value_parser = metrics_page::parse_address)]
    metrics: Option<SocketAddr>,
    /// The format of the log on standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: Format,
    /// Log only errors of the server itself
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// Also log clients that connect or only say hello, requests that arrive, and what listings leave out
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A line of text
    Text,
    /// A JSON object a line
    Json,
}

pub fn serve(args: &Serve) -> Exit {
    let encryption = &args.encryption;
    let checked = encryption.check(args.writing.is_on()).and_then(|()| encryption.check_places(&args.path));
    let checked = checked.and_then(|()| args.versions.check(args.writing.is_on()));
    if let Err(why) = checked.and_then(|()| args.writing.check(args.admission.on_text(), encryption.is_on())) {
        return fail(Exit::Usage, &why);
    }
    // While there is no other thread, since it changes the environment.
    let sockets = match passed_sockets::take() {
        Ok(sockets) => sockets,
        Err(error) => return fail(Exit::Network, &error),
    };
    // Before anything is served: without its keys there is no server.
    match encryption.open(args.writing.allows_plain()) {
        Ok(channel) => serve_with(args, Opened { channel, sockets }),
        Err(exit) => exit,
    }
}

fn serve_with(args: &Serve, opened: Opened) -> Exit {
    if let Some(location) = objects::location(&args.path) {
        return serve_objects(args, opened, location);
    }
    // What is missing is taken for a directory.
    if fs::metadata(&args.path).is_ok_and(|metadata| !metadata.is_dir()) {
        return match SingleFileStore::open(&args.path) {
            Ok(_) if args.console => {
                fail(Exit::Usage, &"the console shows a directory: serve the one that the file is in")
            }
            Ok(_) if args.writing.is_on() => {
                fail(Exit::Usage, &"clients write to a directory: serve the one that the file is in")
            }
            Ok(store) => match open_log(args) {
                Ok(log) => match args.versions.apply_to_file(args.append.apply_to_file(store), &args.path) {
                    Ok(store) => serve_store(args, Server::new(&store), opened, Some(store.name()), log),
                    Err(why) => fail(Exit::LocalFile, &why),
                },
                Err(exit) => exit,
            },
            Err(error) => fail(Exit::LocalFile, &error),
        };
    }
    let store = DirectoryStore::open(&args.path).map_err(|error| error.to_string());
    let store = match store.and_then(|store| args.versions.apply(args.append.apply(store), &args.path)) {
        Ok(store) => store.with_hidden(args.hidden),
        Err(why) => return fail(Exit::LocalFile, &why),
    };
    if args.console && args.writing.is_on() {
        return fail(Exit::Usage, &"the console changes the directory: it cannot be combined with writing");
    }
    if args.console && !opened.sockets.is_empty() {
        return fail(Exit::Usage, &"the console listens itself: it takes no sockets of a service manager");
    }
    if args.console && console::is_available() {
        return serve_on_console(args, store, opened.channel);
    }
    if args.console {
        print_error("there is no terminal for a console: only the log is written");
    }
    let log = match open_log(args) {
        Ok(log) => log,
        Err(exit) => return exit,
    };
    let store = store.with_skip_observer(log.skip_observer());
    if !args.writing.is_on() {
        return serve_store(args, Server::new(&store), opened, None, log);
    }
    let store = match WritableDirectoryStore::new(store, args.writing.options()) {
        Ok(store) => store,
        Err(error) => return fail(Exit::LocalFile, &format!("cannot read {}: {error}", args.path.display())),
    };
    thread::scope(|scope| {
        // Dropped at the end, which ends the sweeper.
        let (_running, stopped) = mpsc::channel();
        scope.spawn(|| args.writing.sweep(&store, &{ stopped }));
        serve_store(args, Server::writable(&store), opened, None, log)
    })
}

/// Serves the objects at `location`.
fn serve_objects(args: &Serve, opened: Opened, location: &str) -> Exit {
    let refused = match (args.writing.is_on(), args.console) {
        (true, _) => Some("clients cannot write to a bucket: serve a directory for that"),
        (_, true) => Some("the console shows a directory: a bucket is served without it"),
        _ if args.append.is_given() || args.versions.is_given() => Some(
            "objects have their ETags as versions: --append, --version-by, --manifest and --digests are for directories and files",
        ),
        _ => None,
    };
    if let Some(why) = refused {
        return fail(Exit::Usage, &why);
    }
    #[cfg(feature = "s3")]
    return match args.objects.open(location) {
        Ok(store) => match open_log(args) {
            Ok(log) => serve_store(args, Server::new(&store.with_hidden(args.hidden)), opened, None, log),
            Err(exit) => exit,
        },
        Err((exit, why)) => fail(exit, &why),
    };
    #[cfg(not(feature = "s3"))]
    {
        drop(opened);
        fail(Exit::Usage, &objects::missing(location))
    }
}

fn open_log(args: &Serve) -> Result<Log, Exit> {
    let (level, format) = log_settings(args);
    let log = Log::new(io::stderr(), format, level);
    log.map_err(|error| fail(Exit::LocalFile, &format!("cannot begin a log: {error}")))
}

/// Runs `server` until a signal comes. `name` is that of the one file in its store, where it is a store of one.
fn serve_store<'a, S>(args: &Serve, server: Server<'a, S>, opened: Opened, name: Option<FileName<'_>>, log: Log) -> Exit
where
    S: ServedStore,
{
    let mut addresses = Vec::new();
    let Opened { channel, sockets } = opened;
    let listen: Vec<_> = args.listen.iter().map(|text| ListenAddress::split(text)).collect();
    let is_default = listen.is_empty() && sockets.is_empty();
    for address in if is_default { vec![ListenAddress::default()] } else { listen } {
        match address.resolve(family(args)) {
            Ok(resolved) => addresses.extend(resolved),
            Err(error) => return fail(Exit::Network, &error),
        }
    }
    if let Some(warning) = descriptor_limit::raise(args.max_clients, args.admission.max_waiting(args.max_clients)) {
        print_error(warning);
    }
    let metrics = Metrics::new();
    let key = channel.as_ref().map(|channel| *channel.public());
    let server = configure(server, args, channel, &metrics).with_observer(log);
    let server = sockets.into_iter().fold(server, Server::with_listener);
    let server = match addresses.into_iter().fold(server, Server::with_address).bind() {
        Ok(server) => server,
        Err(error) => return fail(Exit::Network, &error),
    };
    // Caught before the announcement, which tells others that signals may be sent.
    let mut signals = match StopSignals::catch_for_server() {
        Ok(signals) => signals,
        Err(error) => return fail(Exit::LocalFile, &format!("cannot catch signals: {error}")),
    };
    let page = match open_metrics_page(args, metrics) {
        Ok(page) => page,
        Err(exit) => return exit,
    };
    let found_as = match args.announcing.start(&args.name, &server.addresses(), args.ipv6) {
        Ok(announced) => announced,
        Err(why) => return fail(Exit::Usage, &why),
    };
    let found_name = found_as.as_ref().map(Announcement::name);
    announcement::print(&server.addresses(), args.ipv6, page.as_ref(), key.as_ref(), name, found_name.as_deref());
    let (handle, last_signal) = (server.handle(), AtomicU8::new(0));
    let outcome = thread::scope(|scope| {
        let signals_handle = signals.handle();
        scope.spawn(|| stop_on_signals(&mut signals, &handle, &last_signal));
        let outcome = server.run();
        drop(found_as);
        signals_handle.close();
        outcome
    });
    match (outcome, last_signal.load(Ordering::Relaxed)) {
        (Err(error), _) => fail(Exit::LocalFile, &format!("cannot serve: {error}")),
        (Ok(_), 0) => Exit::Done,
        (Ok(_), signal) => Exit::Signal(signal),
    }
}

fn serve_on_console(args: &Serve, store: DirectoryStore, channel: Option<Arc<ServerChannel>>) -> Exit {
    let listen = match args.listen.as_slice() {
        [] => ListenAddress::default(),
        [text] => ListenAddress::split(text),
        _ => return fail(Exit::Usage, &"the console has one address to listen on: give --listen once"),
    };
    if let Some(warning) = descriptor_limit::raise(args.max_clients, args.admission.max_waiting(args.max_clients)) {
        print_error(warning);
    }
    let store = SwappableStore::new(store);
    let (level, format) = log_settings(args);
    let config = console::ConsoleConfig {
        folder: args.path.clone(),
        hidden: args.hidden,
        append: args.append.clone(),
        versions: args.versions.clone(),
        listen,
        family: family(args),
        name: args.name.clone(),
        max_clients: args.max_clients,
        max_clients_per_address: args.max_clients_per_address,
        level,
        format,
    };
    let metrics = Metrics::new();
    let server = configure(Server::new(store.clone()), args, channel, &metrics);
    // Dropped after the server has ended.
    let page = match open_metrics_page(args, metrics) {
        Ok(page) => page,
        Err(exit) => return exit,
    };
    let exit = console::run(server, &store, config);
    drop(page);
    exit
}

/// Applies the arguments that both ways of running have in common.
fn configure<'a, S>(
    mut server: Server<'a, S>,
    args: &Serve,
    channel: Option<Arc<ServerChannel>>,
    metrics: &Metrics,
) -> Server<'a, S>
where
    S: ServedStore,
{
    let given = args.announcing.given_name().filter(|_| args.name.is_empty());
    if let Ok(name) = ServerName::new(given.unwrap_or(&args.name)) {
        server = server.with_name(name);
    }
    if let Some(channel) = channel {
        server = server.with_channel(channel);
    }
    if args.metrics.is_some() {
        server = server.with_observer(metrics.clone());
    }
    let server = server.with_proxy_protocol(args.admission.proxies().iter().copied());
    server.with_ipv6_only(args.ipv6).with_limits(limits(args))
}

/// The only kind of addresses to listen on, if not both.
fn family(args: &Serve) -> Option<AddressFamily> {
    match (args.ipv4, args.ipv6) {
        (true, _) => Some(AddressFamily::V4),
        (_, true) => Some(AddressFamily::V6),
        _ => None,
    }
}

fn open_metrics_page(args: &Serve, metrics: Metrics) -> Result<Option<MetricsPage>, Exit> {
    let Some(address) = args.metrics else { return Ok(None) };
    let report = |error| fail(Exit::Network, &format!("cannot serve metrics at {address}: {error}"));
    MetricsPage::open(address, metrics).map(Some).map_err(report)
}

fn log_settings(args: &Serve) -> (LogLevel, LogFormat) {
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
    limits.rate_limit = args.limit_rate;
    limits.connection_rate_limit = args.limit_rate_per_client;
    limits.grace = args.grace.0;
    limits.retry_after_stop = args.retry_after.0;
    args.admission.apply_to(&mut limits);
    limits
}

fn parse_server_name(text: &str) -> Result<String, String> {
    ServerName::new(text).map(|name| name.as_str().to_owned()).map_err(|error| error.to_string())
}
