//! Each command that talks to a server does so encrypted, with the keys of its options and with those of the hosts file.

use crate::support::{Server, User, key, psk};

/// What stands behind the program's name, with HOST for the server.
const COMMANDS: [&[&str]; 19] = [
    &["ls", "HOST"],
    &["stat", "HOST", "motd"],
    &["info", "HOST"],
    &["get", "HOST", "motd", "--force"],
    &["tail", "HOST", "motd"],
    &["sync", "HOST", "/", "copy"],
    &["put", "HOST", "sent"],
    &["rm", "HOST", "motd"],
    &["mv", "HOST", "motd", "other"],
    &["mkdir", "HOST", "made"],
    &["df", "HOST"],
    &["do", "HOST", "restart"],
    &["load", "HOST", "-n", "1"],
    &["fleet", "ls", "HOST", "/"],
    &["fleet", "stat", "HOST", "motd"],
    &["fleet", "check", "HOST", "motd", "--like", "sent"],
    &["fleet", "get", "HOST", "motd", "-o", "{name}-motd"],
    &["fleet", "put", "HOST", "sent"],
    &["fleet", "delete", "HOST", "motd"],
];

/// Runs each command, which has to come by a handshake as the user; whether the server can do it is another question.
#[track_caller]
fn come_encrypted(user: &User, server: &Server, host: &str, options: &[&str]) {
    for command in COMMANDS {
        let mut arguments: Vec<&str> = command.iter().map(|word| if *word == "HOST" { host } else { word }).collect();
        arguments.extend(options);
        let before = server.clients.lock().expect("no panic").len();
        let ended = user.run(&arguments);
        let clients = server.clients.lock().expect("no panic");
        assert!(clients.len() > before, "{command:?} has not come: {ended:?}");
        assert!(clients[before..].iter().all(|client| client == key(0x61).public()), "{command:?}: {ended:?}");
    }
    server.wait_for_failures(0);
}

#[test]
fn each_command_takes_keys_from_its_options_and_from_the_hosts_file() {
    let (server, user) = (Server::start(0x51, vec![psk(0x71)]), User::new());
    user.keep_key("mine", 0x61);
    user.keep_psk("bench.psk", 0x71);
    std::fs::write(user.path("sent"), "sent").expect("written");
    let (address, pin) = (server.address(), key(0x51).public().to_string());
    come_encrypted(&user, &server, &address, &["--key", "mine", "--psk", "bench.psk", "--pin", &pin]);
    user.configure("hosts", &format!("bench {address} psk=~/bench.psk key=~/mine pin={pin}\n"));
    come_encrypted(&user, &server, "bench", &[]);
}

#[test]
fn no_command_that_takes_a_server_is_left_out() {
    let user = User::new();
    for group in [&[][..], &["fleet"]] {
        let help = user.run(&[group, &["--help"]].concat()).out;
        let listed = help.split_once("Commands:\n").expect("commands").1.split_once("\n\n").expect("an end").0;
        // Descriptions that go on are indented further.
        let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let mut found = 0;
        for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
            let command = [group, &[name]].concat();
            let usage = user.run(&[&command[..], &["--help"]].concat()).out;
            if usage.lines().any(|line| line.starts_with("Usage:") && line.contains("HOST")) {
                assert!(COMMANDS.iter().any(|known| known.starts_with(&command)), "{command:?} is not tried");
                found += 1;
            }
        }
        assert!(found > 5, "{found} commands of {group:?}");
    }
}
