//! A server with keys: who is served, what each client may do, and what everybody else gets.

mod attacks;
mod clients;
mod fixture;
mod keys;
mod rights;
