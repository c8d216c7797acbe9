//! `coracle completions` and `coracle man`: files that packagers install beside the program.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command, ValueHint};
use clap_complete::Shell;

use crate::exit::{Exit, print_error};
use crate::standard_output;

/// Write the completions of a shell to standard output
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle completions bash > ~/.local/share/bash-completion/completions/coracle
  coracle completions fish > ~/.config/fish/completions/coracle.fish")]
pub struct Completions {
    /// The shell to complete for
    shell: Shell,
}

/// Write the manual page to standard output, or one page for each command to a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coracle man | man -l -                   read it
  coracle man --to /usr/share/man/man1     install one page for each command")]
pub struct Man {
    /// Write coracle.1, coracle-serve.1 and so on into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    to: Option<PathBuf>,
}

pub fn completions(args: &Completions, program: &mut Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, program, "coracle", &mut script);
    exit_code(standard_output::write(&script))
}

pub fn man(args: &Man, program: Command) -> Exit {
    match &args.to {
        Some(directory) => exit_code(clap_mangen::generate_to(program, directory)),
        None => {
            let mut page = Vec::new();
            exit_code(clap_mangen::Man::new(program).render(&mut page).and_then(|()| standard_output::write(&page)))
        }
    }
}

fn exit_code(written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Done,
        Err(error) => {
            print_error(error);
            Exit::LocalFile
        }
    }
}
