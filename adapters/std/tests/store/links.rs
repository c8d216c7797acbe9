//! Symbolic and hard links, also ones that change while they are followed.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use coracle::store::DirectoryStore;
use coracle_core::StoreError;

use crate::fixture::{SECRET, Tree, both_ways, contents, listed};

#[test]
fn p12_link_to_outside_is_denied() {
    both_ways(|| {
        let tree = Tree::new();
        tree.make_directory("d");
        tree.link("relative", "../outside/secret");
        tree.link("absolute", tree.outside().join("secret"));
        tree.link("d/deeper", "../../outside/secret");
        tree.link("out-and-in", "../root/inside");
        tree.link("passwd", "/etc/passwd");
        tree.link("parent", "..");
        tree.link("none", "../none");
        tree.link("twice", "relative");
        tree.write("inside", "inside");
        // An absolute link leads outside even when it comes back.
        tree.link("absolute-inside", tree.path("inside"));
        let names =
            ["relative", "absolute", "d/deeper", "out-and-in", "passwd", "parent", "none", "twice", "absolute-inside"];
        for name in names {
            assert_eq!(contents(&tree.store(), name), Err(StoreError::Denied), "{name}");
            assert_eq!(listed(&tree.store(), Some(name)), Err(StoreError::Denied), "{name}");
        }
        assert_eq!(listed(&tree.store(), None), Ok((vec!["d/".into(), "inside 6".into()], names.len() - 1)));
        assert_eq!(listed(&tree.store(), Some("d")), Ok((vec![], 1)));
    });
}

#[test]
fn p13_ancestor_that_is_a_link_to_outside_is_denied() {
    both_ways(|| {
        let tree = Tree::new();
        fs::create_dir(tree.outside().join("d")).expect("outside/d");
        tree.link("relative", "../outside");
        tree.link("absolute", tree.outside());
        tree.link("slash", "/");
        for name in ["relative/secret", "absolute/secret", "slash/etc/passwd", "relative/none"] {
            assert_eq!(contents(&tree.store(), name), Err(StoreError::Denied), "{name}");
        }
        for name in ["relative/d", "absolute/d", "slash/etc"] {
            assert_eq!(listed(&tree.store(), Some(name)), Err(StoreError::Denied), "{name}");
        }
    });
}

#[test]
fn p14_links_that_stay_inside_are_followed() {
    both_ways(|| {
        let tree = Tree::new();
        tree.make_directory("d/e");
        tree.write("file", "in the root");
        tree.write("d/e/file", "deep");
        tree.link("to-file", "d/e/file");
        tree.link("to-directory", "d");
        tree.link("d/up", "../file");
        tree.link("d/e/root", "../..");
        tree.link("chain", "to-directory/e/root/to-file");
        tree.link("around", "d/../file");
        let store = tree.store();
        for (name, expected) in [
            ("to-file", "deep"),
            ("to-directory/e/file", "deep"),
            ("d/up", "in the root"),
            ("d/e/root/file", "in the root"),
            ("to-directory/e/root/d/up", "in the root"),
            ("chain", "deep"),
            ("around", "in the root"),
        ] {
            assert_eq!(contents(&store, name), Ok(expected.into()), "{name}");
        }
        let expected = ["around 11", "chain 4", "d/", "file 11", "to-directory@/", "to-file 4"];
        assert_eq!(listed(&store, None), Ok((expected.map(String::from).to_vec(), 0)));
        let expected = ["to-directory/e/", "to-directory/up 11"];
        assert_eq!(listed(&store, Some("to-directory")), Ok((expected.map(String::from).to_vec(), 0)));
        let expected = ["d/e/file 4", "d/e/root@/"];
        assert_eq!(listed(&store, Some("d/e")), Ok((expected.map(String::from).to_vec(), 0)));
    });
}

#[test]
fn p14_dangling_links_are_skipped() {
    both_ways(|| {
        let tree = Tree::new();
        tree.link("dangling", "nowhere");
        assert_eq!(contents(&tree.store(), "dangling"), Err(StoreError::NotFound));
        assert_eq!(listed(&tree.store(), Some("dangling")), Err(StoreError::NotFound));
        assert_eq!(listed(&tree.store(), None), Ok((vec![], 1)));
    });
}

#[test]
fn p15_loops_are_not_found() {
    both_ways(|| {
        let tree = Tree::new();
        tree.link("itself", "itself");
        tree.link("a", "b");
        tree.link("b", "a");
        tree.link("grows", "grows/x");
        for name in ["itself", "a", "a/x", "grows"] {
            assert_eq!(contents(&tree.store(), name), Err(StoreError::NotFound), "{name}");
            assert_eq!(listed(&tree.store(), Some(name)), Err(StoreError::NotFound), "{name}");
        }
        assert_eq!(listed(&tree.store(), None), Ok((vec![], 4)));
    });
}

#[test]
fn p17_magic_links_are_refused() {
    both_ways(|| {
        let tree = Tree::new();
        tree.link("root", "/proc/self/root");
        tree.link("cwd", "/proc/self/cwd");
        for name in ["root/etc/passwd", "cwd/Cargo.toml"] {
            assert_eq!(contents(&tree.store(), name), Err(StoreError::Denied), "{name}");
        }
        assert_eq!(listed(&tree.store(), None), Ok((vec![], 2)));
        // Served itself, it is full of links that look as if they stayed inside.
        let process = DirectoryStore::open("/proc/self").expect("proc");
        for name in ["root/etc/passwd", "cwd/Cargo.toml", "exe"] {
            let refused = contents(&process, name);
            assert!(matches!(refused, Err(StoreError::Denied | StoreError::NotFound)), "{name}: {refused:?}");
        }
    });
}

/// Not defended: a hard link is a file like any other. The type's documentation says so.
#[test]
fn p20_hard_links_are_files() {
    let tree = Tree::new();
    fs::hard_link(tree.outside().join("secret"), tree.path("hard")).expect("a hard link");
    assert_eq!(contents(&tree.store(), "hard"), Ok(SECRET.to_vec()));
}

/// Whatever moves while a name is resolved: what is read lies inside.
#[test]
fn p13_directory_swapped_for_a_link_while_it_is_opened() {
    both_ways(|| {
        let tree = Tree::new();
        tree.make_directory("d");
        tree.write("d/secret", "inside\n");
        let store = tree.store();
        let (d, aside, link) = (tree.path("d"), tree.path("aside"), tree.path("link"));
        let swap = || {
            symlink("../outside", &link).expect("a link is made");
            fs::rename(&d, &aside).expect("the directory goes");
            fs::rename(&link, &d).expect("the link comes");
            fs::remove_file(&d).expect("the link goes");
            fs::rename(&aside, &d).expect("the directory comes");
        };
        race(swap, || {
            if let Ok((lines, _)) = listed(&store, Some("d")) {
                assert!(lines.iter().all(|line| line == "d/secret 7"), "{lines:?}");
            }
            contents(&store, "d/secret")
        });
    });
}

/// The same for the last component: a file that takes turns with a link to outside.
#[test]
fn p12_file_swapped_for_a_link_while_it_is_opened() {
    both_ways(|| {
        let tree = Tree::new();
        tree.write("f", "inside\n");
        let store = tree.store();
        let (f, next) = (tree.path("f"), tree.path("next"));
        let swap = || {
            symlink("../outside/secret", &next).expect("a link is made");
            fs::rename(&next, &f).expect("the link comes");
            fs::write(&next, "inside\n").expect("a file is made");
            fs::rename(&next, &f).expect("the file comes");
        };
        race(swap, || contents(&store, "f"));
    });
}

/// Swaps in one thread and reads in this one, at least 5,000 times and until both outcomes were met 100 times.
fn race(swap: impl Fn() + Sync, read: impl Fn() -> Result<Vec<u8>, StoreError>) {
    let start = Instant::now();
    let over = AtomicBool::new(false);
    let (mut tries, mut inside, mut denied) = (0, 0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                swap();
            }
        });
        let _stop = Stop(&over);
        while tries < 5_000 || inside < 100 || denied < 100 {
            let outcome = read();
            let good = match &outcome {
                Ok(contents) => contents == b"inside\n",
                Err(error) => matches!(error, StoreError::NotFound | StoreError::Denied),
            };
            inside += u32::from(outcome.is_ok());
            denied += u32::from(outcome == Err(StoreError::Denied));
            tries += 1;
            let in_time = start.elapsed().as_secs() < 60;
            assert!(good && in_time, "{outcome:?} at try {tries}, {inside} read and {denied} denied");
        }
    });
}

/// Ends the swapping also when a check fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
