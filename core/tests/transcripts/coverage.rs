//! Checks that every exchange, member and error code of the protocol is in a transcript that succeeds with it, and in a table
//! of `core/PROTOCOL.md`.

use std::collections::BTreeSet;

#[cfg(feature = "manage")]
use coracle_core::Code;
use serde_json::Value;

use super::document::{Step, Transcript};
use super::{PROTOCOL, document};

/// Requests and their members besides `type`. A new exchange or member belongs here, in the document's tables and in a
/// transcript.
const REQUESTS: &[(&str, &[&str])] = &[
    ("hello", &[]),
    ("list", &["path"]),
    ("stat", &["fileName", "digest", "absolute"]),
    ("get", &["fileName", "offset", "length", "version", "digest", "digestFrom", "wait_ms", "absolute"]),
    ("put", &["fileName", "fileSize", "crc32", "sha256", "version", "parents", "modified", "deferred"]),
    ("delete", &["fileName", "path", "version", "partial"]),
    ("rename", &["fileName", "to", "version"]),
    ("makeDir", &["path"]),
    ("space", &[]),
    ("do", &["action"]),
    ("sync", &[]),
];

/// The server's lines and their members besides `type`.
const ANSWERS: &[(&str, &[&str])] = &[
    (
        "hello",
        &[
            "protocol",
            "server",
            "name",
            "maxRequest",
            "chunkSize",
            "idle_ms",
            "request_ms",
            "stall_ms",
            "time",
            "features",
            "digests",
            "actions",
        ],
    ),
    ("entry", &["fileName", "fileSize", "modified", "directory", "link"]),
    (
        "file",
        &[
            "fileName",
            "fileSize",
            "offset",
            "length",
            "chunkSize",
            "readCnt",
            "lastSize",
            "version",
            "digest",
            "first",
            "next",
            "modified",
            "crc32",
            "sha256",
        ],
    ),
    ("ready", &["fileName", "fileSize", "offset", "length", "chunkSize"]),
    ("space", &["total", "free", "maxFile"]),
    ("end", &["count", "skipped", "unnameable", "hidden", "crc32", "sha256", "fileName", "version"]),
    ("error", &["code", "message", "retry_ms", "crc32", "sha256", "first", "max", "free"]),
];

/// The messages of the classic dialect, by their `type`, and their members besides that.
const CLASSIC: &[(&str, &[&str])] =
    &[("1", &["fileName", "data"]), ("2", &["data", "fileName", "readCnt", "lastSize"])];

#[test]
fn every_request_and_member_succeeds_somewhere() {
    let mut seen = BTreeSet::new();
    for transcript in document().transcripts {
        for (request, answer) in exchanges(&transcript) {
            if !request["type"].is_number() && answer["type"] != "error" {
                let kind = text(&request["type"]);
                seen.extend(request.as_object().into_iter().flatten().map(|(member, _)| format!("{kind}.{member}")));
            }
        }
    }
    assert_missing_none(REQUESTS, &seen);
}

#[test]
fn every_answer_and_member_is_shown_and_no_other() {
    let mut seen = BTreeSet::new();
    for line in document().transcripts.iter().flat_map(lines) {
        let kind = text(&line["type"]);
        seen.extend(line.as_object().into_iter().flatten().map(|(member, _)| format!("{kind}.{member}")));
    }
    let known = assert_missing_none(ANSWERS, &seen);
    assert_eq!(seen, known, "a member that this test does not know");
}

#[test]
fn the_classic_dialect_is_shown() {
    let mut seen = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for transcript in document().transcripts {
        let mut selected = None;
        for (step, next) in transcript.steps.iter().zip(transcript.steps.iter().skip(1)) {
            match (step, next) {
                (Step::Send(asked), Step::Message(message)) => {
                    let asked: Value = serde_json::from_slice(last_object(asked)).expect("a request");
                    let message: Value = serde_json::from_str(message).expect("the document's messages are JSON");
                    assert_eq!(asked["type"], message["type"]);
                    let members = message.as_object().expect("an object").keys();
                    seen.extend(members.map(|member| format!("{}.{member}", message["type"])));
                    match (message["type"].as_u64(), message["data"].as_i64()) {
                        (Some(1), _) => drop(shown.insert("list")),
                        (_, Some(0..)) => {
                            shown.insert("select");
                            selected = message["fileName"].as_str().map(String::from);
                        }
                        _ => drop(shown.insert("a select that fails")),
                    }
                }
                (Step::Send(text), Step::Bytes(_) | Step::Slice { .. })
                    if selected.as_ref().is_some_and(|name| *text == name.as_bytes()) =>
                {
                    shown.insert("confirm");
                }
                (Step::Send(text), Step::Wait(_))
                    if selected.as_ref().is_some_and(|name| name.as_bytes().starts_with(text)) =>
                {
                    shown.insert("a name that is held");
                }
                (Step::Wait(1), Step::Bytes(_)) => drop(shown.insert("a name that is held no longer")),
                _ => {}
            }
        }
    }
    assert_eq!(assert_missing_none(CLASSIC, &seen), seen, "a member that this test does not know");
    let all =
        ["a name that is held", "a name that is held no longer", "a select that fails", "confirm", "list", "select"];
    assert_eq!(Vec::from_iter(shown), all);
}

#[test]
fn every_text_policy_is_shown() {
    let transcripts = document().transcripts;
    let answers = |policy: Option<&str>, answer: &dyn Fn(&[u8], &Step) -> bool| {
        let of_policy = transcripts.iter().filter(|transcript| transcript.text.as_deref() == policy);
        let mut pairs = of_policy.flat_map(|transcript| transcript.steps.windows(2));
        pairs.any(|pair| matches!(pair, [Step::Send(text), step] if !text.starts_with(b"{") && answer(text, step)))
    };
    assert!(answers(None, &|_, step| matches!(step, Step::Line(line) if line.contains("badRequest"))));
    assert!(answers(Some("echo"), &|text, step| matches!(step, Step::Bytes(bytes) if bytes == text)));
    let replies: Vec<&str> = transcripts.iter().filter_map(|one| one.text.as_deref()?.strip_prefix("reply:")).collect();
    let reply = replies.first().expect("a transcript with a reply");
    let policy = format!("reply:{reply}");
    assert!(answers(Some(&policy), &|_, step| matches!(step, Step::Bytes(bytes) if bytes == reply.as_bytes())));
    for section in ["Text", "Classic dialect"] {
        assert!(PROTOCOL.contains(&format!("\n## {section}\n")), "{section}");
    }
}

/// In a build that has all codes.
#[cfg(feature = "manage")]
#[test]
fn every_error_code_is_shown() {
    let told: Vec<Value> = document().transcripts.iter().flat_map(lines).collect();
    let told: BTreeSet<String> = told.iter().filter_map(|line| line["code"].as_str()).map(String::from).collect();
    let known: BTreeSet<String> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(told, known);
}

/// In a build that has all codes.
#[cfg(feature = "manage")]
#[test]
fn the_tables_are_complete() {
    let rows: BTreeSet<&str> = PROTOCOL
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .flat_map(|(first, _)| first.split(", "))
        .filter_map(|word| word.strip_prefix('`')?.strip_suffix('`'))
        .collect();
    let members = REQUESTS.iter().chain(ANSWERS).chain(CLASSIC).flat_map(|(_, members)| members.iter().copied());
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let wanted: BTreeSet<&str> = members.chain(codes).chain(["type"]).collect();
    assert_eq!(rows, wanted);
    for (exchange, _) in REQUESTS {
        assert!(PROTOCOL.contains(&format!("\n### {exchange}\n")), "{exchange}");
    }
}

/// `hello` lists the exchanges of the requests here, where all are offered.
#[test]
fn hello_lists_the_exchanges() {
    let lines: Vec<Value> = document().transcripts.iter().flat_map(lines).collect();
    let features = lines
        .iter()
        .filter(|line| line["type"] == "hello")
        .map(|hello| hello["features"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>());
    let most = features.max_by_key(Vec::len).expect("a hello");
    let known: Vec<&str> = REQUESTS.iter().map(|(exchange, _)| *exchange).filter(|word| *word != "hello").collect();
    assert_eq!(most, known);
}

fn assert_missing_none(table: &[(&str, &[&str])], seen: &BTreeSet<String>) -> BTreeSet<String> {
    let all = table
        .iter()
        .flat_map(|(kind, members)| members.iter().chain(&["type"]).map(move |member| format!("{kind}.{member}")));
    let all: BTreeSet<String> = all.collect();
    let missing: Vec<&String> = all.difference(seen).collect();
    assert!(missing.is_empty(), "in no transcript: {missing:?}");
    all
}

/// The text after a name, or all of it.
fn last_object(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| *byte == b'{').unwrap_or(0);
    bytes.get(start..).unwrap_or_default()
}

/// The server's lines.
fn lines(transcript: &Transcript) -> Vec<Value> {
    let lines = transcript.steps.iter().filter_map(|step| match step {
        Step::Line(line) => Some(serde_json::from_str(line).expect("the document's lines are JSON")),
        _ => None,
    });
    lines.collect()
}

/// Requests, each with the last line of its response: an exchange with an error there has not succeeded.
fn exchanges(transcript: &Transcript) -> Vec<(Value, Value)> {
    let mut input = Vec::new();
    for step in &transcript.steps {
        if let Step::Send(bytes) = step {
            input.extend_from_slice(bytes);
        }
    }
    let requests = serde_json::Deserializer::from_slice(&input).into_iter::<Value>().map_while(Result::ok);
    let mut answers = lines(transcript).into_iter();
    let mut exchanges = Vec::new();
    for request in requests {
        let is_last = |line: &Value| match text(&line["type"]) {
            "entry" => false,
            "file" => request["type"] == "stat",
            _ => true,
        };
        if let Some(answer) = answers.find(is_last) {
            exchanges.push((request, answer));
        }
    }
    exchanges
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}
