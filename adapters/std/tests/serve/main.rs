//! The server over real sockets, in this process. Names begin with the number of the fault that they are about.

mod admission;
mod client;
mod deadlines;
mod exchanges;
mod faults;
mod fixture;
mod listening;
mod observing;
mod panics;
mod queue;
mod shares;
mod stopping;
mod text;
