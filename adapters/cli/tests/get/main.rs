//! `coracle get`, `ls` and `stat`, run as a program. Names begin with the number of the fault that they are about.

mod again;
mod changes;
mod faults;
mod kernel;
mod listing;
mod outcomes;
mod program;
mod range;
mod serve;
mod support;
mod tree;
mod waiting;
