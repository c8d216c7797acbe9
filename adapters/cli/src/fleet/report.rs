//! What is told at the end of a run.

use std::io;

use coracle::local::escape_json;
use serde_json::{Value, json};

use super::run::Finished;
use super::state::{Outcome, State};
use super::target::Target;
use crate::exit::{Exit, print_error, report_failure};
use crate::standard_output;

/// What the help of `--json` says.
pub const HELP: &str = "\
With --json a line stands on standard output for each host, in the order of the inventory, with name,
host, wave (from 1), outcome, and reason, for people, where it is not as it should be. outcome is
'done', 'unchanged', 'failed', 'unreachable' or 'notTried'. ls adds entries, stat fileSize, version,
modified and the digest, get path, check the sha256 of what differs. The last line has outcome
'summary', and done, unchanged, failed, unreachable, notTried and exitCode.";

/// Tells what became of the hosts. Returns the exit code.
pub fn tell(targets: &[Target], finished: &Finished, exit: Exit, as_json: bool, is_quiet: bool) -> Exit {
    let count = |state| finished.outcomes.iter().filter(|outcome| outcome.state == state).count();
    let mut text = String::new();
    if as_json {
        for ((target, outcome), wave) in targets.iter().zip(&finished.outcomes).zip(&finished.waves) {
            push(&mut text, &line(target, outcome, wave + 1));
        }
        let mut summary = json!({ "outcome": "summary", "exitCode": exit.code() });
        for state in State::ALL {
            summary[word(state)] = count(state).into();
        }
        push(&mut text, &summary);
    } else {
        text.extend(finished.outcomes.iter().map(|outcome| outcome.text.as_str()));
    }
    if !text.is_empty()
        && let Err(error) = standard_output::write(text.as_bytes())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return report_failure("standard output", &coracle::client::Error::Write(error));
    }
    if !is_quiet && !as_json {
        let counts: Vec<String> = State::ALL.map(|state| format!("{} {}", count(state), state.word())).to_vec();
        print_error(counts.join(", "));
    }
    exit
}

fn line(target: &Target, outcome: &Outcome, wave: usize) -> Value {
    let mut line = json!({
        "name": target.name(),
        "host": target.address(),
        "wave": wave,
        "outcome": word(outcome.state),
    });
    if let Some(reason) = &outcome.reason {
        line["reason"] = reason.as_str().into();
    }
    for (name, value) in &outcome.members {
        line[name] = value.clone();
    }
    line
}

/// The word for programs.
fn word(state: State) -> String {
    serde_json::to_value(state).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn push(text: &mut String, line: &Value) {
    text.push_str(&escape_json(&line.to_string()).to_string());
    text.push('\n');
}
