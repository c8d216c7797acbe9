//! Several hosts at once.

use std::fs;

use serde_json::Value;

use crate::support::{LOG, Serve, Tail};

#[test]
fn lines_of_several_hosts_have_their_names_in_front() {
    let mut servers = [Serve::new(&[]), Serve::new(&[])];
    let list = tempfile::NamedTempFile::new().expect("a file");
    let text =
        format!("{} name=one rack=a\n{} name=three rack=b # by the door\n", servers[0].address, servers[1].address);
    fs::write(list.path(), text).expect("written");
    for serve in &servers {
        serve.write(LOG, "");
    }
    let file = format!("@{}", list.path().display());
    let tail = Tail::start(&["-f", "-n", "all", &file, LOG]);
    let mut printed = String::new();
    for (index, label) in [(0, "one  "), (1, "three"), (0, "one  ")] {
        // A line without its end waits for it.
        servers[index].append("first half,");
        servers[1 - index].append("between\n");
        let other = if index == 0 { "three" } else { "one  " };
        printed.push_str(&format!("{other} | between\n"));
        tail.prints(&printed);
        servers[index].append(" second half\n");
        printed.push_str(&format!("{label} | first half, second half\n"));
        tail.prints(&printed);
    }
    servers[1].write(LOG, "new\n");
    tail.prints(printed + "three | new\n");
    tail.tells("three: -- boot.log begins anew --", 1);
    servers[0].stop();
    tail.tells("one: -- unreachable, trying again --", 1);
    let output = Serve::run(&["-n", "1", &file, LOG, "--where", "rack=b"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "new\n");
}

#[test]
fn json_has_the_host_and_what_happened() {
    let serve = Serve::new(&[]);
    serve.write(LOG, "a \"word\"\n");
    let tail = serve.follow(&["--json", "-q"]);
    let lines = |count: usize| {
        loop {
            let out = tail.out();
            if out.iter().filter(|byte| **byte == b'\n').count() >= count {
                let text = String::from_utf8(out).expect("UTF-8");
                return text.lines().map(|line| serde_json::from_str(line).expect(line)).collect::<Vec<Value>>();
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    };
    assert_eq!(lines(1)[0]["line"], "a \"word\"");
    serve.write(LOG, "new\n");
    let lines = lines(3);
    assert_eq!((&lines[1]["notice"], &lines[1]["knownTo"]), (&"beginsAnew".into(), &9.into()));
    assert_eq!((&lines[2]["line"], lines[2]["host"].as_str()), (&"new".into(), Some(serve.address.as_str())));
    assert_eq!(tail.err(), "");
}
