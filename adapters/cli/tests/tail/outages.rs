//! Servers and connections that come and go.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{LOG, Serve, Tail};

/// A link to a server that can be cut, and that can stand still.
struct Link {
    address: String,
    stands_still: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    connections: Arc<AtomicUsize>,
}

impl Link {
    fn new(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let link = Self {
            address: listener.local_addr().expect("its address").to_string(),
            stands_still: Arc::default(),
            streams: Arc::default(),
            connections: Arc::default(),
        };
        let (server, stands_still) = (server.to_owned(), Arc::clone(&link.stands_still));
        let (streams, connections) = (Arc::clone(&link.streams), Arc::clone(&link.connections));
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a client");
                let Ok(server) = TcpStream::connect(&server) else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                let both = || (client.try_clone().expect("a clone"), server.try_clone().expect("a clone"));
                streams.lock().expect("the streams").extend(<[_; 2]>::from(both()));
                let ((from_client, to_server), (to_client, from_server)) = (both(), both());
                pump(from_client, to_server, Arc::clone(&stands_still));
                pump(from_server, to_client, Arc::clone(&stands_still));
            }
        });
        link
    }

    fn cut(&self) {
        for stream in self.streams.lock().expect("the streams").drain(..) {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, stands_still: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut buf = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buf) {
            // What comes then is lost, as where a machine on the way is gone.
            if !stands_still.load(Ordering::SeqCst) && to.write_all(buf.get(..len).expect("a part")).is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Both));
    });
}

#[test]
fn l4_restarts_and_cuts_are_told_and_cost_no_line() {
    for args in [&[][..], &["--append", "*.log"]] {
        let mut serve = Serve::new(args);
        serve.write(LOG, "first\n");
        let link = Link::new(&serve.address);
        let tail = Tail::start(&["-f", &link.address, LOG]);
        let mut printed = "first\n".to_owned();
        tail.prints(&printed);
        // A connection that is cut is replaced at once, and nobody is told.
        for number in 0..3 {
            link.cut();
            let line = format!("cut {number}\n");
            serve.append(&line);
            printed.push_str(&line);
            tail.prints(&printed);
        }
        assert_eq!(tail.err(), "");
        serve.stop();
        tail.tells("-- unreachable, trying again --", 1);
        serve.append("while it was away\n");
        serve.restart();
        printed.push_str("while it was away\n");
        tail.prints(&printed);
        tail.tells("-- going on --", 1);
        // Restarted, and the log rotated meanwhile.
        serve.stop();
        tail.tells("-- unreachable, trying again --", 2);
        serve.write(LOG, "another\n");
        serve.restart();
        printed.push_str("another\n");
        tail.prints(&printed);
        tail.tells("-- boot.log begins anew --", 1);
    }
}

#[test]
fn l4_a_server_that_is_not_there_yet_is_waited_for() {
    let mut serve = Serve::new(&[]);
    serve.write(LOG, "first\n");
    serve.stop();
    let tail = serve.follow(&[]);
    tail.tells("-- unreachable, trying again --", 1);
    serve.restart();
    tail.prints("first\n");
    // Without -f it is tried a few times, and that is an error.
    serve.stop();
    let output = Serve::run(&[&serve.address, LOG, "--retries", "0"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
}

#[test]
fn l5_a_server_that_is_gone_without_a_word_is_noticed() {
    let serve = Serve::new(&[]);
    serve.write(LOG, "first\n");
    let link = Link::new(&serve.address);
    let tail = Tail::start(&["-f", &link.address, LOG, "--stall-timeout", "300ms"]);
    tail.prints("first\n");
    let connections = link.connections.load(Ordering::SeqCst);
    link.stands_still.store(true, Ordering::SeqCst);
    tail.tells("-- unreachable, trying again --", 1);
    assert!(link.connections.load(Ordering::SeqCst) > connections);
    serve.append("second\n");
    link.stands_still.store(false, Ordering::SeqCst);
    tail.prints("first\nsecond\n");
    tail.tells("-- going on --", 1);
}
