//! What the generated completions offer.

use std::fs;
use std::process::Command;

fn script(shell: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_coracle")).args(["completions", shell]).output().expect("the program");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn bash_completes_names_with_spaces() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("with some space"), "").expect("written");
    fs::create_dir(directory.path().join("with a directory")).expect("created");
    // Longer than an argument may be.
    let sourced = tempfile::NamedTempFile::new().expect("a file");
    fs::write(sourced.path(), script("bash")).expect("written");
    // The options of a completion can be set only while one is under way.
    let ask = "compopt() { :; }; COMP_WORDS=(coracle get host name -o with); COMP_CWORD=5
        _coracle coracle with -o; printf '%s\\n' \"${COMPREPLY[@]}\" | sort";
    let output = Command::new("bash")
        .args(["--norc", "-c", &format!("source {}\n{ask}", sourced.path().display())])
        .current_dir(directory.path())
        .output()
        .expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "with a directory\nwith some space\n", "{output:?}");
}

/// Names of the server's are not completed with those of local files.
#[test]
fn other_shells_know_what_is_a_local_path() {
    let zsh = script("zsh");
    let hint_of = |argument: &str| {
        let line = zsh.lines().find(|line| line.contains(argument)).unwrap_or_else(|| panic!("{argument}: {zsh}"));
        line.rsplit_once(':').expect("a hint").1.trim_end_matches([' ', '\\']).trim_end_matches('\'').to_owned()
    };
    assert_eq!(hint_of("':host -- "), "_hosts");
    assert_eq!(hint_of("'::path -- The directory to serve"), "_files");
    assert_eq!(hint_of("'--output="), "_files");
    assert_eq!(hint_of("'--to="), "_files -/");
    for local in ["'*::words -- The hosts", "'--continue=", "--like=", "'--digests=", "'--manifest="] {
        assert_eq!(hint_of(local), "_files");
    }
    for of_server in ["'::path -- The directory or file", "'*::names -- ", "':name -- "] {
        assert_eq!(hint_of(of_server), "");
    }
    let fish = script("fish");
    let output = fish.lines().find(|line| line.contains("-l output")).expect("an option");
    assert!(output.contains("-r -F"), "{output}");
}
