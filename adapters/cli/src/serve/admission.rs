//! Arguments of `coracle serve` about new clients and about plain text.

use clap::{Args, ValueEnum};
use coracle::server::{Admission, Limits, OnText};

use crate::values::DurationArg;

/// How new clients are admitted, and how plain text is answered.
#[derive(Debug, Args)]
pub struct AdmissionArgs {
    /// What happens to a new client when all places are taken
    #[arg(long, value_name = "HOW", default_value = "busy")]
    admission: AdmissionPolicy,
    /// How many clients may wait for a place; further ones are told 'busy'
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(..=65_536))]
    queue_length: usize,
    /// How long a client may wait for a place before it is told 'busy'
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    queue_timeout: DurationArg,
    /// How bytes that are not a request are answered: reject, echo, or reply:TEXT, once for each arrival
    #[arg(long, value_name = "WHAT", default_value = "reject")]
    on_text: OnText,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AdmissionPolicy {
    /// It takes the place of a client that has been idle for over a second, or is told to try again
    Busy,
    /// It waits, and is served in order of arrival
    Queue,
}

impl AdmissionArgs {
    pub const fn on_text(&self) -> &OnText {
        &self.on_text
    }

    /// Sets the arguments in `limits`.
    pub fn apply_to(&self, limits: &mut Limits) {
        limits.admission = match self.admission {
            AdmissionPolicy::Busy => Admission::Busy,
            AdmissionPolicy::Queue => Admission::Queue { length: self.queue_length, timeout: self.queue_timeout.0 },
        };
        limits.on_text = self.on_text.clone();
        limits.classic = true;
    }
}
