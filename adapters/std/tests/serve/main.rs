//! The server over real sockets: as a library and as the program. Names begin with the number of the fault that they are
//! about.

mod admission;
mod deadlines;
mod exchanges;
mod faults;
mod fixture;
mod kernel;
mod listening;
mod observing;
mod panics;
mod program;
mod queue;
mod shares;
mod soak;
mod stopping;
mod text;
