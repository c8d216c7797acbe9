//! Tests of the server over real sockets, in this process. A test's name begins with the number of its fault.

mod address_limits;
mod admission;
mod client;
mod deadlines;
mod exchanges;
mod faults;
mod fixture;
mod listening;
mod observers;
mod panics;
mod proxies;
mod queue;
mod stopping;
mod text;
mod waiting;
