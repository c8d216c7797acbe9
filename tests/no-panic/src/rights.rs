//! The owner's decisions on what a client may do.

use coracle_core::{Demand, Instant, Permit, Rights, RightsError, ServerSession};

use crate::entries;

type Session = ServerSession<'static, [u8; 512]>;

entries! {
    fn server_permit(session: &mut Session, permit: Permit<'_>, now: Instant) { session.permit(permit, now) }

    fn rights_new<'s>(words: &'s str) -> Result<Rights<'s>, RightsError<'s>> { Rights::new(words) }

    fn rights_permit(rights: &Rights<'_>, demand: &Demand<'_>) -> Permit<'static> { rights.permit(demand) }

    fn rights_can_change(rights: &Rights<'_>) -> bool { rights.can_change() }
}
