//! The directory store over real files. Names begin with the number of the fault that they are about.

mod digests;
mod faults;
mod fixture;
mod links;
mod listing;
mod names;
mod reading;
