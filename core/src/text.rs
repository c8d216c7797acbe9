//! JSON strings: decoding of escapes, and writing of names in pieces.
