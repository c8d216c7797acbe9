//! Chooses the modules of `src/sys` by the operating system that the crate is built for.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CORACLE_SYS");
    println!(r#"cargo::rustc-check-cfg=cfg(coracle_sys, values("{}"))"#, KNOWN.join(r#"", ""#));
    let chosen = match env::var("CORACLE_SYS") {
        Err(_) => by_target(),
        // For a look at what a system is served with that is not known here.
        Ok(plain) if plain == "plain" => &["plain"],
        Ok(other) => {
            println!("cargo::error=CORACLE_SYS is '{other}'; it may be 'plain', or not be set");
            return;
        }
    };
    for name in chosen {
        println!(r#"cargo::rustc-cfg=coracle_sys="{name}""#);
    }
}

const KNOWN: [&str; 7] = ["unix", "linux", "other_unix", "apple", "bsd", "windows", "plain"];

fn by_target() -> &'static [&'static str] {
    let of_target = |variable| env::var(variable).unwrap_or_default();
    if env::var_os("CARGO_CFG_WINDOWS").is_some() {
        return &["windows"];
    }
    // ESP-IDF has the sockets of Unix, and little else.
    match (of_target("CARGO_CFG_TARGET_OS").as_str(), of_target("CARGO_CFG_TARGET_VENDOR").as_str()) {
        _ if env::var_os("CARGO_CFG_UNIX").is_none() => &["plain"],
        ("espidf", _) => &["plain"],
        ("linux", _) => &["unix", "linux"],
        (_, "apple") => &["unix", "other_unix", "apple"],
        _ => &["unix", "other_unix", "bsd"],
    }
}
