//! Builds the firmware and boots it in the emulator.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

/// How long the emulated board may take for what takes a fraction of a second on an idle machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The repository.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

fn target() -> PathBuf {
    top().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(top()).env("CARGO_TARGET_DIR", target());
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the command can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The image, and the programs of this machine.
pub struct Programs {
    pub firmware: PathBuf,
    pub coracle: PathBuf,
    log_decoder: PathBuf,
}

/// Builds them, once.
pub fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let tool = Command::new("qemu-system-arm").arg("--version").output();
        let is_there = tool.is_ok_and(|output| output.status.success());
        assert!(is_there, "qemu-system-arm is missing. This installs it: sudo apt-get install qemu-system-arm");
        // With what the tests have built of the workspace: the example brings the features that tests want.
        run(cargo()
            .args(["build", "--quiet", "--locked", "--workspace", "--example", "fat_image"])
            .args(["coracle", "coracle-defmt-log"].map(|name| format!("--bin={name}"))));
        let built = target().join("debug");
        Programs {
            firmware: firmware(None, "firmware.elf"),
            coracle: built.join("coracle"),
            log_decoder: built.join("coracle-defmt-log"),
        }
    })
}

/// Builds the firmware with the files of `folder`, or its own, and stores it as `name`.
pub fn firmware(folder: Option<&Path>, name: &str) -> PathBuf {
    build(&[], folder, "firmware", name)
}

/// A firmware in a slot of the flash chip.
pub struct InSlot {
    pub loader: PathBuf,
    pub firmware: PathBuf,
    /// The firmware as it lies in a slot.
    pub image: PathBuf,
}

impl InSlot {
    /// Builds it with the files of `folder`, what serves a card, and its boot loader.
    pub fn build(folder: &Path) -> Self {
        let tool = Command::new("llvm-objcopy").arg("--version").output();
        let is_there = tool.is_ok_and(|output| output.status.success());
        assert!(is_there, "llvm-objcopy is missing. This installs it: sudo apt-get install llvm");
        let loader = build(&["-p", "coracle-firmware-loader"], None, "loader", "loader.elf");
        let firmware = build(&["--bin", "firmware", "--features", "media"], Some(folder), "firmware", "in-slot.elf");
        let image = firmware.with_extension("bin");
        run(Command::new("llvm-objcopy").args(["-O", "binary"]).args([&firmware, &image]));
        Self { loader, firmware, image }
    }
}

/// Builds with these arguments and the files of `folder`, and stores the executable `built` as `name`.
fn build(arguments: &[&str], folder: Option<&Path>, built: &str, name: &str) -> PathBuf {
    // Each build replaces the previous one.
    static LOCK: Mutex<()> = Mutex::new(());
    let _guard = LOCK.lock().expect("no build has panicked");
    let mut command = Command::new(top().join("tests/cross"));
    command.args(["build", "--release", "--locked"]).args(arguments).current_dir(top().join("firmware-example"));
    command.env("CARGO_TARGET_DIR", target()).env_remove("CORACLE_FILES");
    if let Some(folder) = folder {
        command.env("CORACLE_FILES", folder);
    }
    run(&mut command);
    let kept = target().join("board").join(name);
    fs::create_dir_all(kept.parent().expect("a directory")).expect("created");
    // By a rename, since another process may boot the existing file.
    let copy = kept.with_extension(std::process::id().to_string());
    fs::copy(target().join("thumbv7m-none-eabi/release").join(built), &copy).expect("it was built");
    fs::rename(&copy, &kept).expect("the same directory");
    kept
}

/// A running board.
pub struct Board {
    runner: Child,
    port: u16,
    /// What keeps the port for this board.
    held: Option<Socket>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Board {
    /// Boots the firmware, with these arguments, and waits until it serves.
    pub fn start(arguments: &[&str]) -> Self {
        let board = Self::boot(&programs().firmware, arguments);
        board.wait_for("listening on port 8888");
        board
    }

    /// Boots `firmware`, without waiting.
    pub fn boot(firmware: &Path, arguments: &[&str]) -> Self {
        Self::run(Command::new(top().join("firmware-example/run-in-qemu")).arg(firmware).args(arguments))
    }

    /// Boots what is in the chip, whose contents are in the file `chip`, and which gets `in_slot` first; without waiting.
    pub fn boot_chip(in_slot: &InSlot, chip: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(top().join("firmware-example/run-in-qemu"));
        let (chip, factory) = (format!("flash={}", chip.display()), format!("factory={}", in_slot.image.display()));
        command.arg(&in_slot.firmware).args([chip, factory]).args(arguments).env("CORACLE_LOADER", &in_slot.loader);
        Self::run(&mut command)
    }

    /// Cuts the power, boots the firmware again behind the same port, and waits until it serves.
    pub fn restart(mut self, arguments: &[&str]) -> Self {
        self.end();
        let held = self.held.take().expect("a board has a port");
        let mut command = Command::new(top().join("firmware-example/run-in-qemu"));
        command.arg(&programs().firmware).args(arguments);
        let board = Self::run_at(&mut command, held, self.port);
        board.wait_for("listening on port 8888");
        board
    }

    fn run(command: &mut Command) -> Self {
        let (held, port) = held_port();
        Self::run_at(command, held, port)
    }

    fn run_at(command: &mut Command, held: Socket, port: u16) -> Self {
        let mut runner = command
            .env("CORACLE_PORT", port.to_string())
            .env("CORACLE_DEFMT_LOG", &programs().log_decoder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // The emulator ends with its group.
            .process_group(0)
            .spawn()
            .expect("the runner starts");
        let output = BufReader::new(runner.stdout.take().expect("piped"));
        let log = Arc::<Log>::default();
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                writer.lines.lock().expect("not poisoned").push(line);
                writer.changed.notify_all();
            }
        });
        Self { runner, port, held: Some(held), log }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`, for the program's command line.
    pub fn address(&self) -> String {
        SocketAddr::from(([127, 0, 0, 1], self.port)).to_string()
    }

    /// The log so far, without timestamps.
    pub fn log(&self) -> Vec<String> {
        let lines = self.log.lines.lock().expect("not poisoned");
        lines.iter().map(|line| line.split_once(' ').map_or("", |(_, rest)| rest).trim().to_owned()).collect()
    }

    /// Waits until a line of the log contains `text`.
    pub fn wait_for(&self, text: &str) {
        let end = Instant::now() + TIMEOUT;
        let mut lines = self.log.lines.lock().expect("not poisoned");
        while !lines.iter().any(|line| line.contains(text)) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the log lacks '{text}': {lines:#?}");
            (lines, _) = self.log.changed.wait_timeout(lines, left).expect("not poisoned");
        }
    }

    /// Stops, or resumes, reading the developer's log.
    pub fn hold_log(&self, is_held: bool) {
        let is_decoder = |stat: &str| {
            let fields = stat.rsplit_once(") ").map(|(front, rest)| (front, rest.split(' ').nth(2)));
            fields.is_some_and(|(front, group)| {
                front.ends_with("(coracle-defmt-l") && group == Some(&self.runner.id().to_string())
            })
        };
        let processes = fs::read_dir("/proc").expect("Linux").map_while(Result::ok);
        let decoder = processes
            .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
            .find_map(|stat| is_decoder(&stat).then(|| stat.split(' ').next().map(str::to_owned))?);
        let signal = if is_held { "-STOP" } else { "-CONT" };
        run(Command::new("kill").args([signal, &decoder.expect("the decoder runs")]));
    }

    /// Kills the emulator, like a power cut.
    pub fn kill(mut self) {
        self.end();
    }

    /// Waits until the firmware ends by itself.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let end = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.runner.try_wait().expect("it is a child") {
                return (status, self.log());
            }
            assert!(Instant::now() < end, "the firmware runs on: {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(&mut self) {
        if matches!(self.runner.try_wait(), Ok(None)) {
            let group = format!("-{}", self.runner.id());
            // It may have ended meanwhile.
            let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
            self.runner.wait().expect("it is a child");
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("the board's log: {:#?}", self.log());
        }
    }
}

/// A port for the emulator: while the socket is held, the kernel assigns it to no other process, but a listener with
/// SO_REUSEADDR can use it.
fn held_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("loopback has ports");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("bound");
    (socket, address.port())
}
