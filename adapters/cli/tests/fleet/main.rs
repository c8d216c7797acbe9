//! `coracle fleet` against boards that this process plays on 127.1.x.y.

mod activation;
mod bench;
mod crowd;
mod program;
mod readme;
mod runs;
