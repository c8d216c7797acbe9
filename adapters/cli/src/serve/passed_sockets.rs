//! Listening sockets that a service manager passes on, as systemd does for a socket unit (sd_listen_fds(3)).

use std::net::TcpListener;

use listenfd::ListenFd;

/// Takes the sockets that were passed on to this process; none where it was started otherwise.
///
/// # Errors
///
/// The message to show: one of them is no listening TCP socket.
pub fn take() -> Result<Vec<TcpListener>, String> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..passed.len() {
        let taken = passed.take_tcp_listener(index);
        sockets.extend(taken.map_err(|error| {
            format!("socket {} of the service manager is no listening TCP socket: {error}", index + 1)
        })?);
    }
    Ok(sockets)
}
