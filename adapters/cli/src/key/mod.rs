//! `coracle key`: keys of the encrypted channel, and those of the servers that are known.

mod fleet;
mod own;
mod report;
mod servers;

use clap::{Args, Subcommand};

use crate::exit::Exit;

/// Make keys, show them, and keep those of servers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle key new                          a key of your own, in ~/.config/coracle/key
  coracle key new server.key               a key for a server; prints its public half
  coracle key new --psk bench.psk          a pre-shared key, for all who may reach a server
  coracle key show server.key              the public half again
  coracle key pin 192.168.7.2 ck1...       the server there has this key; talk to it encrypted alone
  coracle key list                         the keys of servers that are known
  coracle key derive fleet.key bench-12    a board's key, made of the fleet's and its name
  coracle key pins fleet.key names.txt     what others need to know the fleet's boards

Files, all in ~/.config/coracle:
  key    your own, by which servers know you: used wherever a server is talked to encrypted
  pins   a line a server, 'HOST:PORT ck1...', as 'coracle key pin' writes them
  hosts  names for servers, to be used wherever HOST stands; you write it, a line a server:
         NAME ADDRESS [psk=FILE] [key=FILE] [pin=ck1...]     '#' begins a comment
         psk= and pin= may stand twice and more; FILEs lie beside the file, unless they begin
         with '/' or '~/'")]
pub struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(own::New),
    Show(own::Show),
    List(servers::List),
    Pin(servers::AddPin),
    Forget(servers::Forget),
    Derive(fleet::Derive),
    Pins(fleet::MakePins),
}

pub fn run(args: &Key) -> Exit {
    match &args.command {
        Command::New(args) => own::new(args),
        Command::Show(args) => own::show(args),
        Command::List(args) => servers::list(args),
        Command::Pin(args) => servers::pin(args),
        Command::Forget(args) => servers::forget(args),
        Command::Derive(args) => fleet::derive(args),
        Command::Pins(args) => fleet::pins(args),
    }
}
