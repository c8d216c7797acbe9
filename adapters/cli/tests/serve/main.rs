//! `coracle serve`, run as a program. Names begin with the number of the fault that they are about.

mod admission;
mod balancer;
#[path = "../../../std/tests/serve/client.rs"]
mod client;
mod fixture;
mod kernel;
mod program;
mod secure;
mod soak;
