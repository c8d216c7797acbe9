//! Runs an operation on all hosts: so many at once, in waves, within budgets.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::journal::{Ended, Journal, Past};
use super::operation::{Begun, Operation, Visit, unwritten};
use super::state::{Outcome, State};
use super::table::{Table, counts};
use super::target::Target;
use crate::client_args::NetworkArgs;
use crate::exit::Exit;
use crate::sys::{self, StopSignals};

/// The time between two pictures of the table.
const PICTURE: Duration = Duration::from_millis(200);

/// How a run goes on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Hosts that are talked to at once, at least one.
    pub jobs: usize,
    /// How many hosts are tried, in all, by the end of each wave.
    pub wave_ends: Vec<usize>,
    /// How long hosts are left alone before they are asked again.
    pub bake: Option<Duration>,
    /// Each host is left alone by itself before it is finished; otherwise those of a wave together, before the next one.
    pub bakes_each: bool,
    pub max_failed: usize,
    pub max_unreachable: usize,
}

/// A run.
pub struct Run<'a> {
    pub operation: &'a dyn Operation,
    pub targets: &'a [Target],
    pub network: &'a NetworkArgs,
    pub plan: Plan,
    pub journal: Option<Journal>,
    pub table: Table,
}

/// Why hosts are not tried.
#[derive(Clone, Debug)]
enum Stop {
    /// So many were bad.
    Budget(String),
    Signal(u8),
    OutOfTime,
    /// It is not known any more what was done.
    Journal,
}

/// What became of all hosts.
pub struct Finished {
    /// In the order of the targets.
    pub outcomes: Vec<Outcome>,
    /// The wave of each, counted from 0.
    pub waves: Vec<usize>,
    /// The exit code of what ended the run before its time.
    pub exit: Exit,
}

impl Run<'_> {
    /// Runs it, after what `past` says was done. Prints what goes wrong.
    pub fn run(self, past: &Past) -> Finished {
        let mut state = RunState::new(self.targets, &self.plan, past);
        state.check_budgets(&self.plan);
        if let Some(Stop::Budget(why)) = &state.stop {
            self.table.error(why);
        }
        let shared = Shared { run: &self, state: Mutex::new(state), changed: Condvar::new() };
        shared.show(&shared.lock());
        let signals = StopSignals::catch();
        thread::scope(|scope| {
            let ticker = self.table.is_drawn().then(|| scope.spawn(|| shared.draw()));
            let handle = signals.as_ref().ok().map(StopSignals::handle);
            if let Ok(mut signals) = signals {
                let shared = &shared;
                scope.spawn(move || shared.stop_on(&mut signals));
            }
            thread::scope(|workers| {
                for number in 1..self.plan.jobs.min(self.targets.len()) {
                    let worker = thread::Builder::new().name(format!("host-{number}"));
                    if let Err(error) = worker.spawn_scoped(workers, || shared.work()) {
                        self.table.error(format_args!("fewer at once, since no thread can be started: {error}"));
                        break;
                    }
                }
                shared.work();
            });
            if let Some(handle) = handle {
                handle.close();
            }
            if let Some(ticker) = ticker {
                ticker.thread().unpark();
            }
        });
        self.table.finish();
        let state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.finish(&self.plan)
    }
}

/// What the threads share.
struct Shared<'a> {
    run: &'a Run<'a>,
    state: Mutex<RunState>,
    changed: Condvar,
}

/// Where the run is.
struct RunState {
    outcomes: Vec<Option<Outcome>>,
    /// Something was begun there.
    begun: Vec<bool>,
    wave: usize,
    /// Hosts of this wave that are tried next.
    pending: VecDeque<usize>,
    /// Hosts that are left alone, and until when.
    baking: Vec<(Instant, usize)>,
    /// Hosts that are being talked to.
    active: usize,
    /// The hosts of this wave were left alone, or are.
    was_baked: bool,
    baked_before: Vec<usize>,
    stop: Option<Stop>,
    is_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Begin(usize),
    Finish(usize),
}

impl RunState {
    fn new(targets: &[Target], plan: &Plan, past: &Past) -> Self {
        let outcome = |target: &Target| {
            let ended = past.ended.get(target.name())?;
            Some(Outcome { reason: ended.reason.clone(), exit: ended.exit(), ..Outcome::new(ended.state) })
        };
        let mut state = Self {
            outcomes: targets.iter().map(outcome).collect(),
            begun: targets.iter().map(|target| past.begun.iter().any(|name| name == target.name())).collect(),
            wave: 0,
            pending: VecDeque::new(),
            baking: Vec::new(),
            active: 0,
            was_baked: false,
            baked_before: past.baked.clone(),
            stop: None,
            is_over: false,
        };
        state.fill(plan);
        state
    }

    fn wave_hosts(&self, plan: &Plan) -> std::ops::Range<usize> {
        let begin = self.wave.checked_sub(1).map_or(0, |before| plan.wave_ends[before]);
        begin..plan.wave_ends[self.wave]
    }

    fn fill(&mut self, plan: &Plan) {
        self.pending = self.wave_hosts(plan).filter(|at| self.outcomes[*at].is_none()).collect();
        self.was_baked = self.baked_before.contains(&self.wave);
    }

    fn count(&self, state: State) -> usize {
        self.outcomes.iter().flatten().filter(|outcome| outcome.state == state).count()
    }

    fn check_budgets(&mut self, plan: &Plan) {
        let budgets = [
            (State::Failed, plan.max_failed, "--max-failed"),
            (State::Unreachable, plan.max_unreachable, "--max-unreachable"),
        ];
        for (state, max, option) in budgets {
            let count = self.count(state);
            if count > max && self.stop.is_none() {
                let word = state.word();
                self.stop = Some(Stop::Budget(format!("{count} {word}, and {option} allows {max}: no more are tried")));
            }
        }
    }

    /// What is done now.
    fn take(&mut self, now: Instant) -> Option<Turn> {
        if self.stop.is_some() {
            return None;
        }
        let due = self.baking.iter().enumerate().filter(|(_, (due, _))| *due <= now).min_by_key(|(_, (due, _))| *due);
        let turn = match due.map(|(at, _)| at) {
            Some(at) => Turn::Finish(self.baking.swap_remove(at).1),
            None => Turn::Begin(self.pending.pop_front()?),
        };
        self.active += 1;
        Some(turn)
    }

    /// Goes on to what follows, where all of the wave are done with. Returns the number of a wave that was baked just now.
    fn advance(&mut self, plan: &Plan, now: Instant) -> Option<usize> {
        if self.active > 0 {
            return None;
        }
        if self.stop.is_some() {
            self.is_over = true;
            return None;
        }
        if !(self.pending.is_empty() && self.baking.is_empty()) {
            return None;
        }
        let is_last = self.wave + 1 == plan.wave_ends.len();
        if let (Some(bake), false, false, false) = (plan.bake, plan.bakes_each, is_last, self.was_baked) {
            self.was_baked = true;
            let is_done = |at: &usize| self.outcomes[*at].as_ref().is_some_and(|outcome| outcome.state == State::Done);
            self.baking = self.wave_hosts(plan).filter(is_done).map(|at| (now + bake, at)).collect();
            if !self.baking.is_empty() {
                return None;
            }
        }
        let baked = (self.was_baked && !self.baked_before.contains(&self.wave)).then_some(self.wave);
        if is_last {
            self.is_over = true;
        } else {
            self.wave += 1;
            self.fill(plan);
        }
        baked
    }

    fn finish(mut self, plan: &Plan) -> Finished {
        let exit = match self.stop {
            Some(Stop::Signal(number)) => Exit::Signal(number),
            Some(Stop::OutOfTime) => Exit::Network,
            Some(Stop::Journal) => Exit::LocalFile,
            Some(Stop::Budget(_)) | None => Exit::Done,
        };
        if plan.bakes_each {
            for (_, at) in self.baking {
                self.outcomes[at] = Some(unconfirmed());
            }
        }
        let wave = |at: usize| plan.wave_ends.iter().position(|end| at < *end).unwrap_or(0);
        Finished {
            waves: (0..self.outcomes.len()).map(wave).collect(),
            outcomes: self
                .outcomes
                .into_iter()
                .map(|outcome| outcome.unwrap_or_else(|| Outcome::new(State::NotTried)))
                .collect(),
            exit,
        }
    }
}

/// The outcome of a board that runs what it was given, when no more is done.
fn unconfirmed() -> Outcome {
    Outcome::failed(
        Exit::Refused,
        "it runs the image and was not told to keep it, since the run ended before: it goes back to the one before by itself",
    )
}

/// The outcome of a host at which this program itself failed. Otherwise all others would wait for the end of its visit.
fn panicked() -> Outcome {
    Outcome::failed(
        Exit::LocalFile,
        "a fault of this program, whose message stands above, ended the visit: it is not known what was done there",
    )
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(turn) = self.next() {
            let (Turn::Begin(at) | Turn::Finish(at)) = turn;
            let target = &self.run.targets[at];
            let mut visit = Visit {
                target,
                network: self.run.network,
                journal: self.run.journal.as_ref(),
                was_begun: self.lock().begun[at],
                row: self.run.table.row(target.name()),
            };
            let done = catch_unwind(AssertUnwindSafe(|| match turn {
                Turn::Begin(_) => self.run.operation.begin(&mut visit),
                Turn::Finish(_) => Begun::Ended(self.run.operation.finish(&mut visit)),
            }));
            visit.row.close();
            self.done(at, visit.was_begun, done.unwrap_or_else(|_| Begun::Ended(panicked())));
        }
    }

    /// Waits for something to do; `None` where nothing follows.
    fn next(&self) -> Option<Turn> {
        let plan = &self.run.plan;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if self.run.network.deadline().is_some_and(|deadline| deadline <= now) {
                state.stop.get_or_insert(Stop::OutOfTime);
            }
            if let Some(turn) = state.take(now) {
                self.show(&state);
                return Some(turn);
            }
            let before = state.wave;
            if let (Some(baked), Some(journal)) = (state.advance(plan, now), &self.run.journal)
                && let Err(error) = journal.baked(baked)
            {
                self.fail(&mut state, &unwritten(journal, &error));
            }
            self.show(&state);
            if state.is_over {
                self.changed.notify_all();
                return None;
            }
            if state.wave != before || state.baking.iter().any(|(due, _)| *due <= now) {
                self.changed.notify_all();
                continue;
            }
            let due = state.baking.iter().map(|(due, _)| *due).chain(self.run.network.deadline()).min();
            state = match due.map(|due| due.saturating_duration_since(now)) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn done(&self, at: usize, was_begun: bool, begun: Begun) {
        let name = self.run.targets[at].name();
        let outcome = match begun {
            Begun::Bakes => {
                let mut state = self.lock();
                let bake = self.run.plan.bake.unwrap_or_default();
                state.active -= 1;
                state.begun[at] = was_begun;
                state.baking.push((Instant::now() + bake, at));
                self.changed.notify_all();
                return;
            }
            Begun::Ended(outcome) => outcome,
        };
        // On the disk before it counts.
        let (reason, exit_code) = (outcome.reason.clone(), outcome.exit.code());
        let ended = Ended { state: outcome.state, reason, exit_code };
        let noted = self.run.journal.as_ref().map(|journal| (journal, journal.ended(name, &ended)));
        if !outcome.state.is_good() {
            let reason = outcome.reason.as_deref().unwrap_or_default();
            self.run.table.error(format_args!("{name}: {}: {reason}", outcome.state.word()));
        }
        let mut state = self.lock();
        state.active -= 1;
        state.begun[at] = was_begun;
        if let Some((journal, Err(error))) = noted {
            self.fail(&mut state, &unwritten(journal, &error));
        }
        // What was told of it when it was done stands.
        if !(outcome.state.is_good() && state.outcomes[at].is_some()) {
            state.outcomes[at] = Some(outcome);
        }
        let was_stopped = state.stop.is_some();
        state.check_budgets(&self.run.plan);
        self.show(&state);
        self.changed.notify_all();
        if let (false, Some(Stop::Budget(why))) = (was_stopped, &state.stop) {
            self.run.table.error(why);
        }
    }

    fn fail(&self, state: &mut RunState, outcome: &Outcome) {
        if state.stop.is_none() {
            self.run.table.error(outcome.reason.as_deref().unwrap_or_default());
        }
        state.stop = Some(Stop::Journal);
    }

    fn show(&self, state: &RunState) {
        let mut board = self.run.table.board();
        let plan = &self.run.plan;
        board.counts = counts(state.outcomes.iter().map(|outcome| outcome.as_ref().map(|outcome| outcome.state)));
        let waves = plan.wave_ends.len();
        board.wave = (waves > 1).then(|| (state.wave + 1, waves, plan.wave_ends[state.wave]));
        let first = state.baking.iter().map(|(due, _)| *due).min();
        board.baking = first.map(|due| (state.baking.len(), due));
    }

    fn draw(&self) {
        while !self.lock().is_over {
            self.run.table.draw();
            thread::park_timeout(PICTURE);
        }
    }

    /// Lets no more begin after the first signal, and ends the program after the second.
    fn stop_on(&self, signals: &mut StopSignals) {
        let mut is_stopping = false;
        for signal in signals.forever() {
            if is_stopping {
                // Where that fails the program goes on.
                drop(sys::end_by(signal));
            }
            is_stopping = true;
            let mut state = self.lock();
            state.stop.get_or_insert(Stop::Signal(u8::try_from(signal).unwrap_or(u8::MAX)));
            let active = state.active;
            self.changed.notify_all();
            drop(state);
            let hint = match &self.run.journal {
                Some(journal) => format!("; --continue {} goes on", journal.path().display()),
                None => String::new(),
            };
            self.run
                .table
                .error(format_args!("ending with the {active} under way, a second signal ends at once{hint}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use clap::Parser;

    use super::super::target::targets;
    use super::{Begun, Exit, NetworkArgs, Operation, Outcome, Past, Plan, Run, State, Table, Visit};
    use crate::inventory::members;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        network: NetworkArgs,
    }

    /// Panics at some hosts, and notes how often it was asked for anything.
    struct Faulty {
        begun: AtomicUsize,
        when_begun: &'static str,
        when_finished: &'static str,
    }

    impl Operation for Faulty {
        fn begin(&self, visit: &mut Visit<'_>) -> Begun {
            self.begun.fetch_add(1, Ordering::Relaxed);
            assert_ne!(visit.target.name(), self.when_begun, "as it should");
            Begun::Bakes
        }

        fn finish(&self, visit: &mut Visit<'_>) -> Outcome {
            assert_ne!(visit.target.name(), self.when_finished, "as it should");
            Outcome::new(State::Done)
        }
    }

    #[test]
    fn g1_a_panic_at_one_host_is_its_outcome_and_the_others_go_on() {
        let hosts = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"];
        let arguments = hosts.map(|host| host.parse().expect("a host"));
        let network = Line::parse_from(["coracle"]).network;
        for jobs in [1, 3] {
            let targets = targets(members(&arguments, &[]).expect("four"), &network, jobs).expect("found");
            let operation = Faulty { begun: AtomicUsize::new(0), when_begun: hosts[0], when_finished: hosts[2] };
            let plan = Plan {
                jobs,
                wave_ends: vec![3, 4],
                bake: Some(Duration::from_millis(1)),
                bakes_each: true,
                max_failed: 2,
                max_unreachable: 0,
            };
            let table = Table::new("test", true);
            let run = Run { operation: &operation, targets: &targets, network: &network, plan, journal: None, table };
            let finished = run.run(&Past::default());
            let states: Vec<_> = finished.outcomes.iter().map(|outcome| outcome.state).collect();
            assert_eq!(states, [State::Failed, State::Done, State::Failed, State::Done]);
            assert_eq!(finished.outcomes[0].exit, Exit::LocalFile);
            assert_eq!(operation.begun.load(Ordering::Relaxed), 4);
        }
    }
}
