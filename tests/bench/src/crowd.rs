//! Many clients that come within a moment to a server with few places, as the library's own client: each waits as it is told, and
//! comes again until it is served.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use coracle::client::{Address, Client, GetOptions};
use coracle_core::FileName;
use serde_json::{Value, json};

use crate::{LargeFile, Server};

/// Enough for a client, which has its buffers on the heap.
const STACK_SIZE: usize = 256 * 1024;

/// The work.
pub struct Plan {
    /// Fetches of all clients together, one each.
    pub fetches: usize,
    /// How many clients there are at a time; `None`: as many as fetches.
    pub clients: Option<usize>,
    /// The time within which all come.
    pub within: Duration,
}

/// Lets all clients come and be served.
pub fn run(server: &Server, file: &LargeFile, plan: &Plan) -> Result<Value, String> {
    let threads = plan.clients.unwrap_or(plan.fetches);
    let next = AtomicUsize::new(0);
    let start = Instant::now() + Duration::from_millis(200);
    let work = || {
        let mut times = Vec::new();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= plan.fetches {
                return Ok(times);
            }
            let share = u32::try_from(turn).unwrap_or(u32::MAX);
            let all = u32::try_from(plan.fetches).unwrap_or(u32::MAX);
            let due = start + if plan.clients.is_none() { plan.within * share / all } else { Duration::ZERO };
            thread::sleep(due.saturating_duration_since(Instant::now()));
            times.push(fetch(server, file)?);
        }
    };
    let times = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().stack_size(STACK_SIZE).spawn_scoped(scope, work);
        let spawned: Result<Vec<_>, io::Error> = (0..threads).map(spawn).collect();
        let spawned = spawned.map_err(|error| format!("a thread: {error}"))?;
        let joined = spawned.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a panic".to_owned())));
        joined.collect::<Result<Vec<Vec<Duration>>, String>>()
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let mut times: Vec<f64> = times.into_iter().flatten().map(|time| time.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    let bytes = times.len() as u64 * file.size;
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(json!({
        "seconds": seconds, "bytes": bytes, "fetches": times.len(), "median_seconds": median, "slowest_seconds": slowest,
    }))
}

/// Fetches the file once, with as many attempts as it takes, and returns how long that was.
fn fetch(server: &Server, file: &LargeFile) -> Result<Duration, String> {
    let begun = Instant::now();
    let address: Address = server.address.to_string().parse().map_err(|error| format!("the address: {error}"))?;
    let name = FileName::new(&file.name).map_err(|error| error.to_string())?;
    let mut body = Vec::new();
    let summary = Client::new(address).get_to_writer(name, &mut body, &GetOptions::new(), &mut ());
    summary.map_err(|error| format!("fetching: {error}"))?;
    if body.len() as u64 != file.size || crc32fast::hash(&body) != file.crc32 {
        return Err(format!("another content of {} bytes", body.len()));
    }
    Ok(begun.elapsed())
}
