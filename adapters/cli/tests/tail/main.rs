//! `coracle tail`, run as a program. Names begin with the number of the fault that they are about.

mod contents;
mod hosts;
mod logs;
mod older;
mod outages;
mod support;
