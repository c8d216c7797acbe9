//! The rights of a transcript's client.

use coracle_core::{Demand, Permit, Rights, ServerConfig, Store};

use super::document::Transcript;
use super::store::ScriptedStore;

/// What the owner decides of one client.
pub struct Permits {
    rights: Option<String>,
    unknown: Option<String>,
    pub is_revoked: bool,
}

impl Permits {
    pub fn of(transcript: &Transcript) -> Self {
        Self { rights: transcript.rights.clone(), unknown: transcript.unknown.clone(), is_revoked: false }
    }

    /// The answer to `demand`.
    pub fn permit(&self, demand: &Demand<'_>) -> Permit<'_> {
        if let Some(key) = &self.unknown {
            return Permit::Unknown { key };
        }
        let words = self.rights.as_deref().filter(|_| !self.is_revoked).unwrap_or_default();
        Rights::new(words).expect("the document's words are rights").permit(demand)
    }

    /// The same where nothing else keeps a client with a limited right from links.
    pub fn permit_reading(&self, demand: &Demand<'_>, store: &mut ScriptedStore) -> Permit<'_> {
        let permit = self.permit(demand);
        match permit {
            Permit::Granted(grant) if grant.is_confined() => {
                let is_linkless = demand.name().is_none_or(|name| store.is_linkless(name));
                if is_linkless { permit } else { Permit::Denied }
            }
            permit => permit,
        }
    }
}

/// `config`, which asks at each request where the transcript says what its client may do.
pub fn asking<'a>(config: ServerConfig<'a>, transcript: &Transcript) -> ServerConfig<'a> {
    config.with_permits(transcript.rights.is_some() || transcript.unknown.is_some())
}
