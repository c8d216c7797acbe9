//! Whole-system tests of Coracle.
