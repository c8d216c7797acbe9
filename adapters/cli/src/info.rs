//! `coracle info`: what a server says about itself.

use clap::Args;
use coracle::client::Error;
use coracle::local::{Escaped, escape_json};
use coracle_core::Hello;
use serde_json::{Value, json};

use crate::client_args::ClientArgs;
use crate::exit::{Exit, report_failure};
use crate::standard_output;
use crate::values::format_time;

/// Show what a server says about itself
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle info 192.168.7.2
  coracle info board-7 --json")]
pub struct Info {
    #[command(flatten)]
    pub client_args: ClientArgs,

    /// Write a JSON object, with the members of the protocol's 'hello'
    #[arg(long)]
    json: bool,

    /// Print errors only: no notes on retries
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(args: &Info) -> Exit {
    let mut client = args.client_args.telling_client(args.quiet);
    let told = client.hello(|hello| if args.json { as_json(hello) } else { as_text(hello) });
    match told.and_then(|text| standard_output::write(text.as_bytes()).map_err(Error::Write)) {
        Ok(()) => Exit::Done,
        Err(error) => report_failure("hello", &error),
    }
}

fn as_text(hello: &Hello<'_>) -> String {
    let mut text = format!("{}\n", Escaped(if hello.name.is_empty() { "(no name)" } else { hello.name }));
    let mut line = |title: &str, value: &str| text.push_str(&format!("  {title:<12} {value}\n"));
    line("program", &Escaped(hello.server).to_string());
    line("protocol", &hello.protocol.to_string());
    line("time", if hello.time.is_some() { format_time(hello.time) } else { "unknown".to_owned() }.trim_end());
    line("requests", &words(features(hello)));
    line("digests", &words(digests(hello)));
    line("longest", &format!("{} bytes a request", hello.max_request));
    line("chunks", &format!("{} bytes", hello.chunk_size));
    line(
        "time-outs",
        &format!(
            "idle {}, request {}, stall {}",
            duration(hello.idle_ms),
            duration(hello.request_ms),
            duration(hello.stall_ms)
        ),
    );
    text
}

fn as_json(hello: &Hello<'_>) -> String {
    let mut object = json!({
        "protocol": hello.protocol,
        "server": hello.server,
        "name": hello.name,
        "maxRequest": hello.max_request,
        "chunkSize": hello.chunk_size,
        "idle_ms": hello.idle_ms,
        "request_ms": hello.request_ms,
        "stall_ms": hello.stall_ms,
        "features": features(hello),
        "digests": digests(hello),
    });
    if let Some(time) = hello.time {
        object["time"] = Value::from(time);
    }
    format!("{}\n", escape_json(&object.to_string()))
}

fn features(hello: &Hello<'_>) -> Vec<&'static str> {
    let has = hello.features;
    let known = [
        ("list", has.list),
        ("stat", has.stat),
        ("get", has.get),
        ("put", has.put),
        ("delete", has.delete),
        ("rename", has.rename),
        ("makeDir", has.make_dir),
        ("space", has.space),
        ("do", has.actions),
    ];
    known.into_iter().filter(|(_, has)| *has).map(|(word, _)| word).collect()
}

fn digests(hello: &Hello<'_>) -> Vec<&'static str> {
    let known = [("crc32", hello.digests.crc32), ("sha256", hello.digests.sha256)];
    known.into_iter().filter(|(_, has)| *has).map(|(word, _)| word).collect()
}

fn words(words: Vec<&str>) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// 0 is never.
fn duration(ms: u64) -> String {
    if ms == 0 {
        "never".to_owned()
    } else {
        humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
    }
}
