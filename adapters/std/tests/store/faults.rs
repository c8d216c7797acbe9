//! System calls that fail.

use std::process::Command;

use coracle::store::DirectoryStore;
use coracle_core::{FileName, Listed, Store, StoreError};

use crate::fixture::{NO_OPENAT2, Tree, contents, listed, with_fault};

#[test]
fn k9_opening_fails() {
    let tree = Tree::new();
    tree.write("f", "contents");
    let store = tree.store();
    for (errno, expected) in [
        (libc::EACCES, StoreError::Denied),
        (libc::EMFILE, StoreError::Busy),
        (libc::ENFILE, StoreError::Busy),
        (libc::ENOSPC, StoreError::Io),
        (libc::ESTALE, StoreError::Io),
        (libc::EIO, StoreError::Io),
        (libc::ENXIO, StoreError::NotFile),
        (libc::EINVAL, StoreError::Io),
    ] {
        with_fault(&[libc::SYS_openat2], errno, || {
            assert_eq!(contents(&store, "f"), Err(expected), "{errno}");
            if errno != libc::ENXIO {
                assert_eq!(listed(&store, None), Err(expected), "{errno}");
            }
        });
        assert_eq!(contents(&store, "f"), Ok(b"contents".to_vec()), "it recovers");
    }
    with_fault(&[libc::SYS_openat2], libc::EIO, || {
        let error = DirectoryStore::open(tree.root()).expect_err("no store").to_string();
        assert!(error.starts_with("cannot serve /") && error.contains("Input/output error"), "{error}");
    });
}

#[test]
fn s7_reading_fails() {
    let tree = Tree::new();
    tree.write("f", "contents");
    let store = tree.store();
    with_fault(&[libc::SYS_pread64], libc::EIO, || {
        assert_eq!(contents(&store, "f"), Err(StoreError::Io));
    });
}

#[test]
fn s7_a_file_whose_status_cannot_be_read() {
    let tree = Tree::new();
    tree.write("f", "contents");
    let store = tree.store();
    with_fault(&[libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx], libc::EIO, || {
        assert_eq!(contents(&store, "f"), Err(StoreError::Io));
        assert_eq!(listed(&store, None), Err(StoreError::Io));
    });
    let file = (&store).open(FileName::from_static("f")).expect("opened");
    assert!((&store).info(&file).is_ok());
    let file = std::sync::Mutex::new(file);
    with_fault(&[libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx], libc::EIO, || {
        let file = file.lock().expect("the file");
        assert_eq!((&store).info(&file).map(|info| info.size), Err(StoreError::Io));
    });
}

#[test]
fn s7_a_listing_that_fails_is_over() {
    let tree = Tree::new();
    for number in 0..1_000 {
        tree.write(number.to_string(), "");
    }
    let store = tree.store();
    with_fault(&[libc::SYS_getdents64], libc::EIO, || {
        let mut store = &store;
        let mut listing = store.list(None).expect("a listing");
        assert_eq!(store.next(&mut listing), Err(StoreError::Io));
        assert_eq!(store.next(&mut listing), Ok(Listed::End));
    });
    assert_eq!(listed(&store, None).map(|(lines, skipped)| (lines.len(), skipped)), Ok((1_000, 0)));
}

/// Kernels before 5.6 and some sandboxes say that there is no such call.
#[test]
fn k9_everything_about_links_without_openat2() {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .arg("links::")
        .env(NO_OPENAT2, "1")
        .output()
        .expect("the tests run once more");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("running 0 tests"), "{text}");
}
