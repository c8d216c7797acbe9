//! Replays the corpus of the fuzzer.

use coracle_fuzz::{TARGETS, corpus};

const CORPUS: [(&str, &str); 9] = [
    ("scanner", include_str!("../corpus/scanner.txt")),
    ("request", include_str!("../corpus/request.txt")),
    ("reply", include_str!("../corpus/reply.txt")),
    ("server", include_str!("../corpus/server.txt")),
    ("client", include_str!("../corpus/client.txt")),
    ("upload", include_str!("../corpus/upload.txt")),
    ("channel-server", include_str!("../corpus/channel-server.txt")),
    ("channel-client", include_str!("../corpus/channel-client.txt")),
    ("volumes", include_str!("../corpus/volumes.txt")),
];

#[test]
fn the_corpus_holds() {
    for ((name, target), (file, text)) in TARGETS.into_iter().zip(CORPUS) {
        assert_eq!(name, file);
        let inputs = corpus::read(text);
        assert!(inputs.len() >= 20, "{name} has {} inputs", inputs.len());
        inputs.iter().for_each(|input| target(input));
        // Also with inputs cut short.
        inputs.iter().for_each(|input| target(&input[..input.len() / 2]));
        println!("{name}: {} inputs", inputs.len());
    }
}
