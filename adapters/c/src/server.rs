//! A server: what its connections share.

use core::num::NonZeroU32;

#[cfg(feature = "channel")]
use coracle_channel::KeyPair;
#[cfg(feature = "manage")]
use coracle_core::ActionWords;
#[cfg(feature = "write")]
use coracle_core::RequestKind;
use coracle_core::{ServerConfig, ServerName};

use crate::ffi::callbacks::{Callbacks, Table};
use crate::types::Config;

/// Settings and callbacks.
pub(crate) struct Server {
    pub(crate) config: ServerConfig<'static>,
    pub(crate) table: Table,
    #[cfg(feature = "channel")]
    pub(crate) key: Option<KeyPair>,
}

/// What a writer can do beside taking files.
#[cfg(feature = "write")]
pub(crate) struct Abilities {
    pub(crate) delete: bool,
    #[cfg(feature = "manage")]
    pub(crate) rename: bool,
    #[cfg(feature = "manage")]
    pub(crate) make_dir: bool,
    #[cfg(feature = "manage")]
    pub(crate) space: bool,
    #[cfg(feature = "manage")]
    pub(crate) actions: ActionWords<'static>,
}

impl Server {
    pub(crate) fn new(config: &Config, name: ServerName<'static>, table: Table) -> Self {
        let at_least_1 = |bytes| NonZeroU32::new(bytes).unwrap_or(NonZeroU32::MIN);
        let settings = ServerConfig::new()
            .with_name(name)
            .with_chunk_size(at_least_1(config.chunk_size))
            .with_send_max(at_least_1(config.send_max))
            .with_idle_ms(config.idle_ms)
            .with_request_ms(config.request_ms)
            .with_stall_ms(config.stall_ms)
            .with_min_rate(config.min_rate)
            .with_busy_retry_ms(config.busy_retry_ms)
            .with_stop_retry_ms(config.stop_retry_ms);
        #[cfg(feature = "wait")]
        let settings = settings.with_wait_max_ms(config.wait_max_ms);
        Self {
            config: settings,
            table,
            #[cfg(feature = "channel")]
            key: None,
        }
    }

    /// Offers what a writer can.
    #[cfg(feature = "write")]
    pub(crate) fn offer(&mut self, abilities: &Abilities) {
        let offers = [
            (true, RequestKind::Put),
            (abilities.delete, RequestKind::Delete),
            #[cfg(feature = "manage")]
            (abilities.rename, RequestKind::Rename),
            #[cfg(feature = "manage")]
            (abilities.make_dir, RequestKind::MakeDir),
            #[cfg(feature = "manage")]
            (abilities.space, RequestKind::Space),
        ];
        for (_, kind) in offers.into_iter().filter(|(is_offered, _)| *is_offered) {
            self.config = self.config.with_offered(kind);
        }
        #[cfg(feature = "manage")]
        {
            self.config = self.config.with_actions(abilities.actions);
        }
    }

    pub(crate) const fn callbacks(&'static self) -> Callbacks {
        Callbacks::of(&self.table)
    }
}
