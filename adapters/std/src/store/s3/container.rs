//! Keys of a container's role, which a service on its machine hands out: to tasks of ECS and pods of EKS.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusty_s3::Credentials;
use serde::Deserialize;
use ureq::Agent;
use ureq::http::Uri;
use zeroize::Zeroizing;

use super::error::S3Error;

/// The service of ECS.
const ECS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2));
/// The service of EKS.
const EKS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23))];
const TIMEOUT: Duration = Duration::from_secs(5);
/// It is asked no more often, since a request that is refused for another reason has it asked as well.
const INTERVAL: Duration = Duration::from_secs(10);
const MAX_ANSWER_LEN: u64 = 64 * 1024;

/// Where the keys of a container's role are had.
pub(super) struct ContainerRole {
    agent: Agent,
    address: String,
    token: Option<Token>,
    asked: Mutex<Option<Instant>>,
}

/// What the service wants to see.
enum Token {
    Text(Zeroizing<String>),
    /// A file whose contents are replaced now and then.
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    #[serde(borrow)]
    access_key_id: Cow<'a, str>,
    #[serde(borrow)]
    secret_access_key: Cow<'a, str>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
}

impl ContainerRole {
    /// The role that the environment tells of; `None` where it tells of none.
    pub(super) fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, S3Error> {
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        let address = match (variable(RELATIVE), variable(FULL)) {
            (Some(path), _) if path.starts_with('/') => format!("http://{ECS}{path}"),
            (Some(_), _) => return Err(S3Error::Settings(format!("{RELATIVE} does not begin with a '/'"))),
            (None, Some(address)) if is_allowed(&address) => address,
            (None, Some(_)) => {
                return Err(S3Error::Settings(format!(
                    "{FULL} is neither https:// nor an address of this machine, of ECS or of EKS"
                )));
            }
            (None, None) => return Ok(None),
        };
        let file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(|path| Token::File(path.into()));
        let text = || variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(|text| Token::Text(Zeroizing::new(text)));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // It is on this machine.
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .build();
        Ok(Some(Self { agent: config.new_agent(), address, token: file.or_else(text), asked: Mutex::default() }))
    }

    /// Asks for keys; `None` where that was done a moment ago.
    pub(super) fn ask(&self) -> Result<Option<Credentials>, S3Error> {
        // Held, so that threads whose requests were refused at once ask once.
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| asked.elapsed() < INTERVAL) {
            return Ok(None);
        }
        *asked = Some(Instant::now());
        let failed = |why: &dyn fmt::Display| {
            S3Error::Unavailable(format!("the service with the keys of this container's role: {why}"))
        };
        let mut get = self.agent.get(&self.address);
        if let Some(token) = &self.token {
            let token = token.read().map_err(|error| failed(&error))?;
            get = get.header("Authorization", token.trim());
        }
        // An error of HTTP could repeat the address.
        let mut answer = get.call().map_err(|error| match error {
            ureq::Error::Io(error) => failed(&error),
            ureq::Error::Timeout(_) => failed(&"no answer in time"),
            _ => failed(&"the request failed"),
        })?;
        if answer.status() != 200 {
            return Err(failed(&format_args!("status {}", answer.status().as_u16())));
        }
        let text = answer.body_mut().with_config().limit(MAX_ANSWER_LEN).read_to_string().map(Zeroizing::new);
        let text = text.map_err(|_| failed(&"its answer cannot be read"))?;
        let keys: Answer<'_> = serde_json::from_str(&text).map_err(|_| failed(&"no keys in its answer"))?;
        Ok(Some(match keys.token {
            Some(token) => Credentials::new_with_token(keys.access_key_id, keys.secret_access_key, token),
            None => Credentials::new(keys.access_key_id, keys.secret_access_key),
        }))
    }
}

impl fmt::Debug for ContainerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerRole").finish_non_exhaustive()
    }
}

impl Token {
    fn read(&self) -> std::io::Result<Zeroizing<String>> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => fs::read_to_string(path).map(Zeroizing::new),
        }
    }
}

/// Whether keys may be asked for there: by TLS, or without leaving the machine.
fn is_allowed(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback() || ip == ECS || EKS.contains(&ip));
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_here,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::{ContainerRole, S3Error};

    fn role(variables: &[(&str, &str)]) -> Result<Option<ContainerRole>, S3Error> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        ContainerRole::from_variables(&|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

    #[test]
    fn keys_are_asked_for_by_tls_or_on_this_machine_alone() {
        assert!(role(&[]).expect("none").is_none());
        let ecs = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials?id=1"), (FULL, "http://192.0.2.1/")];
        assert_eq!(role(&ecs).expect("good").expect("a role").address, "http://169.254.170.2/v2/credentials?id=1");
        for good in [
            "http://127.0.0.2:80/a",
            "http://[::1]/",
            "http://localhost:1/",
            "https://keys.test/",
            "http://169.254.170.23/v1",
            "http://[fd00:ec2::23]/v1",
        ] {
            assert!(role(&[(FULL, good)]).is_ok_and(|role| role.is_some()), "{good}");
        }
        for bad in [
            "http://192.0.2.1/",
            "http://localhost.test/",
            "ftp://127.0.0.1/",
            "127.0.0.1/",
            "http://127.0.0.1@192.0.2.1/",
            "",
        ] {
            let error = role(&[(FULL, bad)]).expect_err(bad).to_string();
            assert!(error.starts_with("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https:// nor "), "{error}");
        }
        let error =
            role(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@192.0.2.1/")]).expect_err("no path").to_string();
        assert_eq!(error, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a '/'");
    }

    #[test]
    fn keys_are_those_of_the_answer() {
        let directory = tempfile::tempdir().expect("a directory");
        let token = directory.path().join("token");
        fs::write(&token, "token-of-the-pod\n").expect("written");
        let keys = r#"{"AccessKeyId":"A","SecretAccessKey":"secret","Token":"t","Expiration":"2036-01-01T00:00:00Z"}"#;
        for (status, body, expected) in [
            ("200 OK", keys, Ok(("A", "secret", Some("t")))),
            ("200 OK", r#"{"AccessKeyId":"A","SecretAccessKey":"secret"}"#, Ok(("A", "secret", None))),
            ("200 OK", r#"{"code":"NoRole","message":"secret"}"#, Err("no keys in its answer")),
            ("403 Forbidden", keys, Err("status 403")),
            ("302 Found\r\nLocation: http://192.0.2.1/", "", Err("status 302")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = format!("http://{}/role", listener.local_addr().expect("its address"));
            let variables =
                [(FULL, address.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().expect("a path"))];
            let role = role(&variables).expect("good").expect("a role");
            let served = thread::spawn(move || {
                let (mut socket, _) = listener.accept().expect("accepted");
                let lines = BufReader::new(&socket).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let request: Vec<String> = lines.map(|line| line.to_ascii_lowercase()).collect();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                socket.write_all(answer.as_bytes()).expect("sent");
                request
            });
            let asked = role.ask();
            let request = served.join().expect("no panic");
            assert!(request[0].starts_with("get /role http/1.1"), "{request:?}");
            assert!(request.contains(&"authorization: token-of-the-pod".to_owned()), "{request:?}");
            match (asked, expected) {
                (Ok(Some(keys)), Ok(expected)) => assert_eq!((keys.key(), keys.secret(), keys.token()), expected),
                (Err(error), Err(why)) => {
                    let error = error.to_string();
                    assert!(error.contains(why) && !error.contains("secret"), "{error}");
                }
                (asked, expected) => panic!("{asked:?} where {expected:?} was expected"),
            }
            assert!(matches!(role.ask(), Ok(None)), "it is asked again at once");
            assert!(!format!("{role:?}").contains("token"));
        }
    }
}
