//! Descriptors, threads and memory after many clients. `tests/load/soak` does it for ten minutes.

use std::fs;

use crate::fixture::{Program, code, wait_for};

fn descriptors(program: &Program) -> usize {
    fs::read_dir(format!("/proc/{}/fd", program.child.id())).expect("it runs").count()
}

/// One for the listener, two for signals, and two to wake the thread that watches followed files.
const AT_REST: usize = 5;

/// The descriptors that are sockets.
fn sockets(program: &Program) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", program.child.id())).expect("it runs").flatten();
    let targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Clients that behave and others that do not, one of each kind after the other.
fn visits(program: &Program, rounds: usize) {
    for _ in 0..rounds {
        let mut client = program.connect();
        client.hello();
        client.send(r#"{"type":"get","fileName":"a"}"#).line();
        assert_eq!(client.bytes(5), b"alpha");
        client.line();
        assert!(client.send(r#"{"type":"list"}"#).line().contains("entry") && client.line().contains("end"));
        let rest = client.send(r#"{"type":"get","fileName":"none"}"#).half_close().rest();
        assert_eq!(code(rest.trim_end()), "notFound");
        assert_eq!(code(&program.connect().send("no request").rest()), "badRequest");
        program.connect().send("{");
        program.connect().reset();
    }
}

#[test]
fn x6_many_clients_leave_nothing_behind() {
    let program = Program::start(&["-v"]);
    program.connect().hello();
    // The line is logged shortly before the socket is closed.
    wait_for(|| (program.log().contains("disconnected") && sockets(&program) == AT_REST).then_some(()));
    visits(&program, 1);
    wait_for(|| (sockets(&program) == AT_REST).then_some(()));
    let idle = descriptors(&program);
    let everybody_left = || wait_for(|| (descriptors(&program) == idle).then_some(()));
    visits(&program, 100);
    everybody_left();
    let before = program.status("VmRSS:");
    visits(&program, 400);
    everybody_left();
    let after = program.status("VmRSS:");
    // A leaked page per client would be 6,400 KiB.
    assert!(after < before + 1024, "from {before} to {after} KiB");
}
