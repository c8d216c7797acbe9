//! Arguments of `coracle serve` about new clients and about plain text.

use clap::{Args, ValueEnum, ValueHint};
use coracle::server::{Admission, Limits, OnText, ProxyNetwork};

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
    /// The addresses of proxies or balancers, whose connections begin with a header of the PROXY protocol, version 2: the client that it names is the one that limits, log and metrics see. May be given more than once
    #[arg(long, value_name = "ADDRESS[/PREFIX]", value_delimiter = ',', value_hint = ValueHint::Other)]
    proxy_protocol: Vec<ProxyNetwork>,
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

    /// The addresses of proxies.
    pub fn proxies(&self) -> &[ProxyNetwork] {
        &self.proxy_protocol
    }

    /// Clients that may have a socket and no place, where `max_clients` are served: those that wait for one, and those of proxies
    /// that are not known yet.
    pub fn max_waiting(&self, max_clients: usize) -> usize {
        let unknown = if self.proxy_protocol.is_empty() { 0 } else { max_clients.max(64) };
        self.admission().max_waiting().saturating_add(unknown)
    }

    /// Sets the arguments in `limits`.
    pub fn apply_to(&self, limits: &mut Limits) {
        limits.admission = self.admission();
        limits.on_text = self.on_text.clone();
        limits.classic = true;
    }

    fn admission(&self) -> Admission {
        match self.admission {
            AdmissionPolicy::Busy => Admission::Busy,
            AdmissionPolicy::Queue => Admission::Queue { length: self.queue_length, timeout: self.queue_timeout.0 },
        }
    }
}
