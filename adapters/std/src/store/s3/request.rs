//! Requests to an object store: signed, sent, and repeated where the service is out of order for a moment.

use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action};
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::error::S3Error;
use super::settings::S3Settings;

/// How long a signature is good; clocks may differ by minutes.
const SIGNED_FOR: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until an answer begins.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two pieces of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Before each repetition.
const PAUSES_MS: [u64; 3] = [50, 200, 800];
/// What has failed for so long is not repeated: the client comes again.
const REPEATED_FOR: Duration = Duration::from_secs(5);
/// Connections that are kept for the next requests.
const MAX_IDLE: usize = 32;
const BUF_LEN: usize = 64 * 1024;
/// Of an answer that explains a refusal.
const MAX_REFUSAL_LEN: u64 = 16 * 1024;

/// What is asked of the service.
#[derive(Clone, Debug)]
pub(super) enum S3Request<'a> {
    /// What an object is.
    Head { key: &'a str },
    /// Bytes of an object, if it still is `etag`.
    Get { key: &'a str, etag: &'a str, range: Range<u64> },
    /// At most `max_keys` objects and directories whose keys begin with `prefix`, from `token` on.
    List { prefix: &'a str, token: Option<&'a str>, max_keys: usize },
}

/// A bucket, and connections to its service.
#[derive(Debug)]
pub(super) struct S3Client {
    agent: Agent,
    bucket: Bucket,
    settings: S3Settings,
}

/// Pauses between attempts.
pub(super) struct Repetition {
    begun: Instant,
    number: usize,
}

impl S3Client {
    pub(super) fn new(bucket: Bucket, settings: S3Settings) -> Self {
        let roots = settings.certificates.as_deref().map_or(RootCerts::WebPki, RootCerts::new_with_certs);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_send_request(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .max_idle_connections(MAX_IDLE)
            .max_idle_connections_per_host(MAX_IDLE)
            .input_buffer_size(BUF_LEN)
            .output_buffer_size(BUF_LEN / 4)
            .build();
        Self { agent: config.new_agent(), bucket, settings }
    }

    /// Sends `request` and returns the answer, whose body is still to be read; again where the service is out of order for a
    /// moment.
    pub(super) fn run(&self, request: &S3Request<'_>) -> Result<Response<Body>, S3Error> {
        let mut repetition = Repetition::new();
        loop {
            let keys = self.settings.keys.current();
            let error = match self.attempt(request, &keys) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Temporary keys end, and their successors are where they came from.
            let is_repeated = (error.may_be_of_keys() && self.settings.keys.replace(&keys))
                || (error.is_temporary() && repetition.pause());
            if !is_repeated {
                return Err(error);
            }
        }
    }

    fn attempt(&self, request: &S3Request<'_>, keys: &Credentials) -> Result<Response<Body>, S3Error> {
        let keys = Some(keys);
        let sent = match *request {
            S3Request::Head { key } => {
                let address = self.bucket.head_object(keys, key).sign(SIGNED_FOR);
                self.agent.head(address.as_str()).call()
            }
            S3Request::Get { key, etag, ref range } => {
                let address = self.bucket.get_object(keys, key).sign(SIGNED_FOR);
                let last = range.end.saturating_sub(1);
                let get = self.agent.get(address.as_str()).header("Range", format!("bytes={}-{last}", range.start));
                get.header("If-Match", etag).call()
            }
            S3Request::List { prefix, token, max_keys } => {
                let mut list = ListObjectsV2::new(&self.bucket, keys);
                list.with_delimiter("/");
                list.with_prefix(prefix);
                list.with_max_keys(max_keys);
                if let Some(token) = token {
                    list.with_continuation_token(token);
                }
                self.agent.get(list.sign(SIGNED_FOR).as_str()).call()
            }
        };
        let answer = sent.map_err(|error| describe(&error))?;
        match answer.status().as_u16() {
            200 | 206 => Ok(answer),
            status @ (408 | 429 | 500 | 502 | 503 | 504) => {
                Err(S3Error::Unavailable(format!("the object store answers with status {status}")))
            }
            status => Err(refusal(status, answer)),
        }
    }
}

impl Repetition {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), number: 0 }
    }

    /// Waits before the next attempt; false where there is none.
    pub(super) fn pause(&mut self) -> bool {
        let Some(pause_ms) = PAUSES_MS.get(self.number) else { return false };
        if self.begun.elapsed() > REPEATED_FOR {
            return false;
        }
        self.number += 1;
        // So that those who failed together come one after the other.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        sleep(Duration::from_millis(pause_ms + u64::from(now.subsec_micros()) % pause_ms));
        true
    }
}

/// What failed on the way; nothing of the address, since that has a signature.
pub(super) fn describe(error: &ureq::Error) -> S3Error {
    S3Error::Unavailable(match error {
        ureq::Error::Io(error) => format!("the connection to the object store failed: {error}"),
        ureq::Error::Timeout(_) => "the object store did not answer in time".to_owned(),
        ureq::Error::HostNotFound => "the host of the object store is not known".to_owned(),
        ureq::Error::Rustls(error) => format!("no encrypted connection to the object store: {error}"),
        ureq::Error::Tls(error) => format!("no encrypted connection to the object store: {error}"),
        ureq::Error::ConnectProxyFailed(error) => format!("the proxy before the object store refuses: {error}"),
        ureq::Error::Protocol(error) => format!("the object store does not speak HTTP: {error}"),
        _ => "the request to the object store failed".to_owned(),
    })
}

fn refusal(status: u16, mut answer: Response<Body>) -> S3Error {
    let region = answer.headers().get("x-amz-bucket-region").and_then(|value| value.to_str().ok()).map(str::to_owned);
    // AWS also names it where the region is right.
    let region = region.filter(|_| matches!(status, 301 | 307 | 400));
    let text = answer.body_mut().with_config().limit(MAX_REFUSAL_LEN).read_to_string().unwrap_or_default();
    S3Error::Refused { status, code: code(&text).map(str::to_owned), region }
}

/// The code in S3's answer to a refused request. Nothing else of it is taken: some repeat the request with its signature.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_code =
        (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    is_code.then_some(code)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::super::credentials::{KeyFiles, KeySource};
    use super::{S3Client, S3Request, S3Settings, code};

    /// To HEAD S3 says no more than that it is a bad request.
    #[test]
    fn b5_keys_that_have_expired_are_read_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("credentials");
        let write = |key: &str| {
            let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n");
            fs::write(&path, text).expect("written");
        };
        write("OLD");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let mut settings = S3Settings::new("", "", None).with_endpoint(&endpoint);
        let files = KeyFiles { sections: vec![(path.clone(), "default".to_owned())] };
        settings.keys = KeySource::find(files, None).expect("keys");
        let bucket = settings.bucket(&"s3://images".parse().expect("a location")).expect("an address");
        let client = S3Client::new(bucket, settings);
        write("NEW");
        let served = thread::spawn(move || {
            ["400 Bad Request", "200 OK"].map(|status| {
                let (mut socket, _) = listener.accept().expect("accepted");
                let mut lines = BufReader::new(&socket).lines().map_while(Result::ok);
                let request = lines.next().expect("a request");
                assert!(lines.any(|line| line.is_empty()), "its end");
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).expect("sent");
                request
            })
        });
        assert_eq!(client.run(&S3Request::Head { key: "a" }).expect("with the new keys").status(), 200);
        let requests = served.join().expect("no panic");
        assert!(requests[0].contains("X-Amz-Credential=OLD%2F"), "{requests:?}");
        assert!(requests[1].contains("X-Amz-Credential=NEW%2F"), "{requests:?}");
    }

    #[test]
    fn of_a_refusal_its_code_is_taken() {
        let text =
            "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><StringToSign>AWS4</StringToSign></Error>";
        assert_eq!(code(text), Some("SignatureDoesNotMatch"));
        for text in ["", "<Code></Code>", "<Code>a", "<Code>a b</Code>", &format!("<Code>{}</Code>", "a".repeat(65))] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
