//! Measures time, and the processor time of other processes.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// Measures from its creation on.
pub struct Meter {
    clocks: Vec<ClockId>,
    busy: Duration,
    started: Instant,
}

impl Meter {
    /// For the processes `pids`, their ended threads included.
    pub fn start(pids: &[i32]) -> Result<Self, String> {
        let clocks = pids.iter().map(|pid| clock_getcpuclockid(Pid::from_raw(*pid)));
        let clocks = clocks.collect::<Result<Vec<_>, _>>().map_err(|error| format!("a process's clock: {error}"))?;
        let busy = total(&clocks)?;
        Ok(Self { clocks, busy, started: Instant::now() })
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Seconds of processor time that the processes took since the start.
    pub fn busy(&self) -> Result<f64, String> {
        Ok(total(&self.clocks)?.saturating_sub(self.busy).as_secs_f64())
    }
}

fn total(clocks: &[ClockId]) -> Result<Duration, String> {
    clocks.iter().try_fold(Duration::ZERO, |total, clock| {
        let time = clock.now().map_err(|error| format!("a process's clock: {error}"))?;
        Ok(total + Duration::from(time))
    })
}
