//! The program: runs seeds of the simulation and adds up what happened.

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

use coracle_simulation::batches::{self, BatchCounts};
use coracle_simulation::puts::{self, PutCounts};
use coracle_simulation::{Counts, run, scale};

const HELP: &str = "\
Usage: simulation [--sessions N] [--from SEED]
       simulation --seed SEED
       simulation --within N
       simulation --alive N

Simulates servers, clients, their disks and the links between them, in one process and one thread, by a virtual clock. The
rules that are checked stand at the top of src/lib.rs. The same seed is the same run.

  --sessions N  run one seed after the other, until there were N sessions (200000)
  --from SEED   begin with this seed (0)
  --seed SEED   run this seed alone, and print what happens
  --within N    run seeds until one breaks a rule, N at most: for a build with a planted fault
  --alive N     hold N sessions at once, each in the middle of a request or of a body, and finish all of them

Examples:
  cargo run --profile checked -p coracle-simulation -- --sessions 10000000
  cargo run --profile checked -p coracle-simulation -- --seed 4711

Exit codes: 0 every rule held (with --within: one was broken), 1 the opposite, 2 usage.
";

fn main() -> ExitCode {
    let mut numbers = [("--sessions", None), ("--from", None), ("--seed", None), ("--within", None), ("--alive", None)];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "-h" || argument == "--help" {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        let Some((_, place)) = numbers.iter_mut().find(|(name, _)| *name == argument) else {
            eprintln!("simulation: unknown argument '{argument}'; --help lists what there is");
            return ExitCode::from(2);
        };
        *place = arguments.next().and_then(|number| number.parse::<u64>().ok());
        if place.is_none() {
            eprintln!("simulation: {argument} needs a number");
            return ExitCode::from(2);
        }
    }
    let [(_, sessions), (_, from), (_, seed), (_, within), (_, alive)] = numbers;
    let from = from.unwrap_or(0);
    if let Some(seed) = seed {
        print_counts(&run(seed, true).lines());
        print_counts(&batches::run(seed).lines());
        print_counts(&puts::run(seed, true).lines());
    } else if let Some(count) = alive {
        scale::run(usize::try_from(count).expect("64 bits"));
    } else if let Some(most) = within {
        return find(from, most);
    } else {
        return all(from, sessions.unwrap_or(200_000));
    }
    ExitCode::SUCCESS
}

/// Runs seeds until there were enough sessions.
fn all(from: u64, sessions: u64) -> ExitCode {
    let begun = Instant::now();
    let (mut counts, mut batch_counts, mut put_counts) =
        (Counts::default(), BatchCounts::default(), PutCounts::default());
    let mut seed = from;
    while counts.sessions < sessions {
        match panic::catch_unwind(|| (run(seed, false), batches::run(seed), puts::run(seed, false))) {
            Ok((more, more_batches, more_puts)) => {
                counts.add(&more);
                batch_counts.add(&more_batches);
                put_counts.add(&more_puts);
            }
            Err(_) => {
                eprintln!(
                    "simulation: seed {seed} broke a rule. The run again, with its trace: simulation --seed {seed}"
                );
                return ExitCode::FAILURE;
            }
        }
        seed += 1;
    }
    print_counts(&counts.lines());
    print_counts(&batch_counts.lines());
    print_counts(&put_counts.lines());
    let seconds = begun.elapsed().as_secs_f64();
    let (cut, changed) = (counts.cut * 100 / counts.sessions, counts.met_change * 100 / counts.sessions);
    let rate = counts.sessions as f64 / seconds;
    println!("seeds {from} to {}: {seconds:.1} s, {rate:.0} sessions a second", seed - 1);
    let writers = put_counts.sessions;
    let Counts { sessions, files, resumes, power_cuts, .. } = counts;
    println!(
        "figure: {sessions} simulated sessions, {cut} % cut, {changed} % met a changed file, {resumes} resumes, \
         {power_cuts} power cuts, {files} files reported, {writers} more sessions that write: every rule held"
    );
    if cut < 30 || changed < 20 {
        eprintln!("simulation: at least 30 % have to be cut, and 20 % to meet a changed file");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Runs seeds until one breaks a rule.
fn find(from: u64, most: u64) -> ExitCode {
    panic::set_hook(Box::new(|_| {}));
    for seed in from..from + most {
        let Err(broken) =
            panic::catch_unwind(AssertUnwindSafe(|| (run(seed, false), batches::run(seed), puts::run(seed, false))))
        else {
            continue;
        };
        let literal = broken.downcast_ref::<&str>().map(ToString::to_string);
        let words = broken.downcast_ref::<String>().cloned().or(literal).unwrap_or_default();
        println!("seed {seed}: {}", words.lines().collect::<Vec<_>>().join(" "));
        return ExitCode::SUCCESS;
    }
    eprintln!("simulation: nothing went wrong in {most} seeds");
    ExitCode::FAILURE
}

fn print_counts(lines: &[(&str, u64)]) {
    for (words, count) in lines {
        println!("{count:>12}  {words}");
    }
}
