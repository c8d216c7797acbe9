//! The program, and what it says at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A program that runs for longer hangs, however slow the machine is.
const TIMEOUT: Duration = Duration::from_secs(180);

/// `coracle fleet` in `directory`, without the user's own keys and hosts.
pub fn fleet(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.arg("fleet").args(arguments).current_dir(directory).env("XDG_CONFIG_HOME", directory.join("configuration"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn run(directory: &Path, arguments: &[&str]) -> Ended {
    Ended::of(fleet(directory, arguments).output().expect("the program"))
}

/// How the program ended, and what it said of each host.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The objects of `--json`: of the hosts by their names, and the last one.
    pub fn objects(&self) -> (BTreeMap<String, Value>, Value) {
        let parsed = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let mut objects: Vec<Value> = self.stdout.lines().map(parsed).collect();
        let summary = objects.pop().unwrap_or_else(|| panic!("no summary: {self:?}"));
        assert_eq!(summary["outcome"], "summary", "{self:?}");
        let named = |object: Value| (object["name"].as_str().expect("a name").to_owned(), object);
        let count = objects.len();
        let objects: BTreeMap<String, Value> = objects.into_iter().map(named).collect();
        assert_eq!(objects.len(), count, "each host once");
        (objects, summary)
    }

    /// The state of each host, by name.
    pub fn states(&self) -> BTreeMap<String, String> {
        let (objects, _) = self.objects();
        let state = |object: &Value| object["outcome"].as_str().expect("an outcome").to_owned();
        objects.iter().map(|(name, object)| (name.clone(), state(object))).collect()
    }

    #[track_caller]
    pub fn assert_states(&self, expected: &[&str]) {
        let named = expected.iter().enumerate().map(|(number, state)| (format!("b{number}"), (*state).to_owned()));
        assert_eq!(self.states(), named.collect(), "{}", self.stderr);
    }
}

/// Waits until `happens`, while `child` runs. Returns whether it does still.
pub fn wait_until(child: &mut Child, happens: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while !happens() {
        if child.try_wait().expect("a status").is_some() {
            return false;
        }
        assert!(begin.elapsed() < TIMEOUT, "it hangs");
        thread::sleep(Duration::from_millis(2));
    }
    true
}
