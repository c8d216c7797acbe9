//! Coracle on a PC: the protocol core over real sockets, threads and directories.
