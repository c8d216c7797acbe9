//! What `coracle serve` is told about clients who find no place, and about bytes that are no request.

use clap::{Args, ValueEnum};
use coracle::server::{Admission, Limits, OnText};

use crate::values::DurationArg;

/// How clients are let in, and what those get who send plain text.
#[derive(Debug, Args)]
pub struct AdmissionArgs {
    /// What becomes of a client when every place is taken
    #[arg(long, value_name = "HOW", default_value = "busy")]
    admission: AdmissionPolicy,
    /// How many clients may wait for a place; who comes on top of them is told 'busy'
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(..=65_536))]
    queue_length: usize,
    /// How long a client may wait for a place before it is told 'busy'
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    queue_timeout: DurationArg,
    /// What is done with bytes that are no request: reject, echo, or reply:TEXT, one reply for each arrival
    #[arg(long, value_name = "WHAT", default_value = "reject")]
    on_text: OnText,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AdmissionPolicy {
    /// One that has asked nothing for over a second loses its place, or else the newcomer is told to try again
    Busy,
    /// It waits; who came first is served first
    Queue,
}

impl AdmissionArgs {
    /// Notes it all in `limits`.
    pub fn apply(&self, limits: &mut Limits) {
        limits.admission = match self.admission {
            AdmissionPolicy::Busy => Admission::Busy,
            AdmissionPolicy::Queue => Admission::Queue { length: self.queue_length, timeout: self.queue_timeout.0 },
        };
        limits.on_text = self.on_text.clone();
    }
}
