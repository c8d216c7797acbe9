//! `coracle get`, `ls` and `stat`, run as a program. Names begin with the number of the fault that they are about.

mod again;
mod ahead;
mod changes;
mod faults;
mod growing;
mod kernel;
mod limits;
mod listing;
mod outcomes;
mod program;
mod range;
mod replicas;
mod report;
mod selection;
mod serve;
mod support;
mod sync;
mod sync_put;
mod terminal;
mod tree;
mod waiting;
