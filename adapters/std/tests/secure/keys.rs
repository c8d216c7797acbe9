//! Keys, their files, and what becomes of a server where they are wrong.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use coracle::channel::{
    Authorized, AuthorizedError, LineError, ServerChannel, ServerFiles, create_psk, create_secret_key,
};

use crate::fixture::{PSK, READER, Running, SERVER, STRANGER, key, list, psk};

const STAT: &str = r#"{"type":"stat","fileName":"motd"}"#;

/// The files of a server's keys.
struct KeyFiles(tempfile::TempDir);

impl KeyFiles {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a directory"));
        create_secret_key(&this.path("key"), &key(SERVER)).expect("written");
        create_psk(&this.path("psk"), &psk(PSK)).expect("written");
        this.write("authorized", &list(""));
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Another file under this name, as an editor makes it.
    fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("written");
        #[cfg(unix)]
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("set");
        fs::rename(&new, self.path(name)).expect("renamed");
    }

    fn files(&self) -> ServerFiles {
        ServerFiles::new(self.path("key")).with_psk(self.path("psk")).with_authorized(self.path("authorized"))
    }

    /// Why a server with these files does not begin.
    fn fault(&self) -> String {
        ServerChannel::read(self.files()).expect_err("refused").to_string()
    }
}

#[test]
fn e10_a_file_that_is_wrong_is_named_and_no_server_begins() {
    let keys = KeyFiles::new();
    ServerChannel::read(keys.files()).expect("all are good");
    #[cfg(unix)]
    for (name, mode) in [("key", 0o640), ("psk", 0o604), ("authorized", 0o622)] {
        fs::set_permissions(keys.path(name), fs::Permissions::from_mode(mode)).expect("set");
        let fault = keys.fault();
        assert!(fault.contains(&format!("/{name}: others can")) && fault.contains("chmod"), "{fault}");
        fs::set_permissions(keys.path(name), fs::Permissions::from_mode(0o600)).expect("set");
    }
    for name in ["key", "psk", "authorized"] {
        let good = fs::read_to_string(keys.path(name)).expect("read");
        for text in ["", "ck1\n", "no key at all\n", &good[..good.len() - 1]] {
            // A key needs no line feed.
            if name == "authorized" || !text.starts_with('#') {
                keys.write(name, text);
                let fault = keys.fault();
                assert!(fault.contains(&format!("/{name}: ")), "{fault}");
            }
        }
        fs::remove_file(keys.path(name)).expect("removed");
        assert!(keys.fault().contains(&format!("/{name}: No such file")), "{}", keys.fault());
        fs::create_dir(keys.path(name)).expect("made");
        assert!(keys.fault().contains("is no regular file"), "{}", keys.fault());
        fs::remove_dir(keys.path(name)).expect("removed");
        keys.write(name, &good);
    }
    let nine = (0..9).fold(ServerFiles::new(keys.path("key")), |files, _| files.with_psk(keys.path("psk")));
    assert!(ServerChannel::read(nine).expect_err("too many").to_string().contains("at most 8"));
    ServerChannel::read(keys.files()).expect("all are good again");
}

#[test]
fn e5_a_line_that_is_wrong_is_named() {
    let (first, second) = (*key(1).public(), *key(2).public());
    let line = |text: &str| match Authorized::parse(text) {
        Err(AuthorizedError::Line { number, why }) => (number, why),
        other => panic!("{text:?}: {other:?}"),
    };
    assert_eq!(line(&format!("{first} read\n\n{second} raed # x\n")), (3, LineError::Right("raed".to_owned())));
    assert_eq!(line(&format!("{first} read\n# x\n{first} write\n")), (3, LineError::Doubled(1)));
    assert_eq!(line("plain read\nplain read\n"), (2, LineError::Doubled(1)));
    for text in ["read\n", &format!("{first}read\n"), "cs1qqqq read\n", "\u{feff}plain read\n"] {
        assert!(matches!(line(text), (1, LineError::Key(_))), "{text}");
    }
    for text in ["", "plain read", "\n\nplain"] {
        assert!(matches!(Authorized::parse(text), Err(AuthorizedError::Cut)), "{text:?}");
    }
    let list = format!("# clients\r\n\n  {first}\tread  write=a/  #  Ada # b \n{second}\n");
    let list = Authorized::parse(&list).expect("good");
    let ada = list.client(&first).expect("there");
    assert_eq!((ada.name(), ada.rights().as_str(), list.len()), ("Ada # b", "read  write=a/", 2));
    assert_eq!(list.client(&second).map(|client| client.rights().as_str()), Some(""));
    assert!(list.client(key(3).public()).is_none() && list.plain().is_none());
}

/// Plain clients change nothing unless the owner says so for the server, too.
#[test]
fn e10_a_list_does_not_let_plain_clients_write_by_itself() {
    let keys = KeyFiles::new();
    for right in ["write", "delete=in/", "do=restart"] {
        keys.write("authorized", &list(&format!("plain read {right}\n")));
        let fault = keys.fault();
        assert!(fault.contains("line 3: clients without encryption would change"), "{fault}");
        ServerChannel::read(keys.files().with_plain_changes(true)).expect("allowed");
    }
}

#[test]
fn e5_files_are_read_again_and_a_wrong_one_changes_nothing() {
    let keys = KeyFiles::new();
    let server = Running::with(ServerChannel::read(keys.files()).expect("good"), |_| {});
    let stranger = |server: &Running| server.client(STRANGER).code(STAT);
    assert_eq!(stranger(&server), "denied");
    keys.write("authorized", &format!("{} raed\n", key(STRANGER).public()));
    server.log.wait_for("(the old ones stay in force)");
    assert!(server.log.text().contains("authorized: line 1: raed: a right is"), "{}", server.log.text());
    assert_eq!(stranger(&server), "denied");
    assert_eq!(server.client(READER).code(STAT), "");
    keys.write("authorized", &format!("{} read\n", key(STRANGER).public()));
    server.log.wait_for("reloaded keys of 1 clients");
    assert_eq!(stranger(&server), "");
    assert_eq!(server.client(READER).code(STAT), "denied");

    // So is a pre-shared key.
    fs::remove_file(keys.path("psk")).expect("removed");
    create_psk(Path::new(&keys.path("psk")), &psk(PSK + 1)).expect("written");
    let made = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        server.try_client(STRANGER, Some(PSK + 1)).is_ok()
    });
    assert!(made, "{}", server.log.text());
    assert!(server.try_client(STRANGER, Some(PSK)).is_err());
}

#[test]
fn every_one_of_eight_pre_shared_keys_will_do() {
    let psks: Vec<_> = (0..8).map(|number| psk(PSK + number)).collect();
    let channel = ServerChannel::new(key(SERVER)).with_psks(psks.clone()).expect("eight");
    let server = Running::with(channel, |_| {});
    for number in [0, 3, 7] {
        let mut client = server.try_client(READER, Some(PSK + number)).expect("one of them");
        assert_eq!(client.code(STAT), "");
    }
    assert!(server.try_client(READER, Some(PSK + 8)).is_err() && server.try_client(READER, None).is_err());
    let nine = [psks, vec![psk(PSK + 8)]].concat();
    assert!(ServerChannel::new(key(SERVER)).with_psks(nine).is_err());
}
