//! How an object store is reached, and with which keys.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rusty_s3::{Bucket, UrlStyle};
use ureq::tls::{Certificate, PemItem, parse_pem};

use super::container::ContainerRole;
use super::credentials::{KeyFiles, KeySource, read_profile};
use super::error::S3Error;
use super::location::S3Location;

/// The service, the region and the keys of an object store.
pub struct S3Settings {
    pub(super) keys: KeySource,
    /// What TLS trusts in place of the certificates of public authorities.
    pub(super) certificates: Option<Vec<Certificate<'static>>>,
    region: String,
    endpoint: Option<String>,
    style: Option<S3Style>,
}

/// Where the name of a bucket stands in addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum S3Style {
    /// In the path: `https://HOST/BUCKET/KEY`.
    Path,
    /// In the host: `https://BUCKET.HOST/KEY`.
    VirtualHost,
}

impl S3Settings {
    /// The region where none is set.
    const DEFAULT_REGION: &'static str = "us-east-1";

    /// AWS in the region `us-east-1`, with these keys; `token` belongs to temporary ones.
    #[must_use]
    pub fn new(key_id: &str, secret: &str, token: Option<&str>) -> Self {
        Self::of(KeySource::fixed(key_id, secret, token))
    }

    /// What the environment says, as AWS's own tools read it:
    ///
    /// - `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; without those the keys of the profile
    ///   (`AWS_PROFILE`, or `default`) in `~/.aws/credentials` or `~/.aws/config`; without those the keys of a container's role
    ///   (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `AWS_CONTAINER_CREDENTIALS_FULL_URI`, with
    ///   `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` or `AWS_CONTAINER_AUTHORIZATION_TOKEN`), as ECS and EKS set them. Files and role
    ///   are asked again when keys are refused. Roles of instances and web identities are not looked for
    /// - `AWS_REGION`, `AWS_DEFAULT_REGION` or the profile's `region`
    /// - `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or the profile's `endpoint_url`
    /// - `AWS_SHARED_CREDENTIALS_FILE` and `AWS_CONFIG_FILE` in place of those two files
    /// - `AWS_CA_BUNDLE`: a file of certificates in PEM that are trusted in place of the public authorities'
    ///
    /// # Errors
    ///
    /// [`S3Error::Settings`] where there are no keys, or something of this cannot be used.
    pub fn from_environment() -> Result<Self, S3Error> {
        Self::from_variables(&|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// Sets the region. Default: `us-east-1`.
    #[must_use]
    pub fn with_region(self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self }
    }

    /// Sets the address of the service, such as `http://10.0.0.7:9000`. Default: that of AWS in the region.
    #[must_use]
    pub fn with_endpoint(self, endpoint: &str) -> Self {
        Self { endpoint: Some(endpoint.to_owned()), ..self }
    }

    /// Sets where the name of the bucket stands. Default: in the host at AWS, unless the name has a dot, which no certificate
    /// covers; in the path elsewhere.
    #[must_use]
    pub fn with_style(self, style: S3Style) -> Self {
        Self { style: Some(style), ..self }
    }

    fn of(keys: KeySource) -> Self {
        Self { keys, certificates: None, region: Self::DEFAULT_REGION.to_owned(), endpoint: None, style: None }
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, S3Error> {
        let home = variable("HOME").map_or_else(PathBuf::new, PathBuf::from).join(".aws");
        let file = |name: &str, usual: &str| variable(name).map_or_else(|| home.join(usual), PathBuf::from);
        let (shared, config) = (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config"));
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let section = if profile == "default" { profile.clone() } else { format!("profile {profile}") };
        let settings = read_profile(&config, &section)?;
        let keys = match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(key), Some(secret)) => KeySource::fixed(&key, &secret, variable("AWS_SESSION_TOKEN").as_deref()),
            (None, None) => {
                let files = KeyFiles { sections: vec![(shared, profile), (config, section)] };
                KeySource::find(files, ContainerRole::from_variables(variable)?)?
            }
            (key, _) => {
                let missing = if key.is_some() { "AWS_SECRET_ACCESS_KEY" } else { "AWS_ACCESS_KEY_ID" };
                return Err(S3Error::Settings(format!("{missing} is not set, but the other one of the two keys is")));
            }
        };
        let set = |names: &[&str], key: &str| {
            names.iter().find_map(|name| variable(name)).or_else(|| settings.get(key).map(str::to_owned))
        };
        let mut found = Self::of(keys);
        if let Some(region) = set(&["AWS_REGION", "AWS_DEFAULT_REGION"], "region") {
            found.region = region;
        }
        found.endpoint = set(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"], "endpoint_url");
        if let Some(path) = set(&["AWS_CA_BUNDLE"], "ca_bundle") {
            found.certificates = Some(read_certificates(Path::new(&path))?);
        }
        Ok(found)
    }

    /// The bucket of `location`, as requests address it.
    pub(super) fn bucket(&self, location: &S3Location) -> Result<Bucket, S3Error> {
        let default = || {
            let end = if self.region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://s3.{}.amazonaws.com{end}", self.region)
        };
        let endpoint = self.endpoint.clone().unwrap_or_else(default);
        let wrong = |why: &str| {
            S3Error::Settings(format!(
                "the address of the object store {why}; it is like https://HOST or http://HOST:PORT"
            ))
        };
        if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
            return Err(wrong("begins with neither https:// nor http://"));
        }
        if endpoint.contains('@') {
            return Err(wrong("has a user in it: keys have variables of their own"));
        }
        let style = self.style.unwrap_or(if self.endpoint.is_some() || location.bucket().contains('.') {
            S3Style::Path
        } else {
            S3Style::VirtualHost
        });
        let style = match style {
            S3Style::Path => UrlStyle::Path,
            S3Style::VirtualHost => UrlStyle::VirtualHost,
        };
        // With the `/` a path in it is kept.
        let endpoint = format!("{}/", endpoint.trim_end_matches('/'));
        let endpoint = endpoint.parse().map_err(|error| wrong(&format!("is no address: {error}")))?;
        Bucket::new(endpoint, style, location.bucket().to_owned(), self.region.clone())
            .map_err(|_| wrong("is no address with this bucket"))
    }
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("keys", &self.keys)
            .field("region", &self.region)
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, S3Error> {
    let wrong = |why: &dyn fmt::Display| S3Error::Settings(format!("{}: {why}", path.display()));
    let pem = fs::read(path).map_err(|error| wrong(&error))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(wrong(&"it is no file of certificates in PEM")),
        }
    }
    if certificates.is_empty() { Err(wrong(&"there is no certificate in it")) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;

    use super::{S3Error, S3Settings, S3Style};

    fn settings(variables: &[(&str, &str)]) -> Result<S3Settings, S3Error> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        S3Settings::from_variables(&|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    fn address(settings: &S3Settings, location: &str) -> String {
        let bucket = settings.bucket(&location.parse().expect("a location")).expect("an address");
        format!("{} {}", bucket.base_url(), bucket.region())
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    #[test]
    fn addresses_have_the_bucket_in_the_host_or_in_the_path() {
        let aws = S3Settings::new("AKID", "secret", None);
        assert_eq!(address(&aws, "s3://images/a"), "https://images.s3.us-east-1.amazonaws.com/ us-east-1");
        assert_eq!(address(&aws, "s3://my.images"), "https://s3.us-east-1.amazonaws.com/my.images/ us-east-1");
        let aws = aws.with_region("cn-north-1").with_style(S3Style::Path);
        assert_eq!(address(&aws, "s3://images"), "https://s3.cn-north-1.amazonaws.com.cn/images/ cn-north-1");
        let own = S3Settings::new("AKID", "secret", None).with_endpoint("http://localhost:9000/s3/");
        assert_eq!(address(&own, "s3://images"), "http://localhost:9000/s3/images/ us-east-1");
        let own = own.with_style(S3Style::VirtualHost).with_endpoint("http://objects.test:9000");
        assert_eq!(address(&own, "s3://images"), "http://images.objects.test:9000/ us-east-1");
        for (endpoint, why) in [
            ("localhost:9000", "begins with neither https:// nor http://"),
            ("objects", "begins with neither https:// nor http://"),
            ("http://[objects", "is no address"),
            ("https://key:secret@objects.test", "has a user in it"),
        ] {
            let settings = S3Settings::new("AKID", "secret", None).with_endpoint(endpoint);
            let error = settings.bucket(&"s3://images".parse().expect("good")).expect_err(endpoint).to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_environment_takes_precedence_over_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().to_str().expect("a path");
        fs::create_dir(directory.path().join(".aws")).expect("a directory");
        let write =
            |name: &str, text: &str| fs::write(directory.path().join(".aws").join(name), text).expect("written");
        write(
            "credentials",
            "[default]\naws_access_key_id=D\naws_secret_access_key=d\n[b]\naws_access_key_id=B\naws_secret_access_key=b\naws_session_token=t",
        );
        write(
            "config",
            "[default]\nregion=eu-west-1\n[profile b]\nregion=eu-west-2\nendpoint_url=http://objects.test\n",
        );

        let found = settings(&[("HOME", home)]).expect("settings");
        assert_eq!((found.keys.current().key(), found.region.as_str(), &found.endpoint), ("D", "eu-west-1", &None));
        let found = settings(&[("HOME", home), ("AWS_PROFILE", "b")]).expect("settings");
        let keys = found.keys.current();
        assert_eq!((keys.key(), keys.secret(), keys.token()), ("B", "b", Some("t")));
        assert_eq!(address(&found, "s3://images"), "http://objects.test/images/ eu-west-2");
        let mut variables =
            vec![("HOME", home), ("AWS_REGION", "eu-west-3"), ("AWS_ENDPOINT_URL", "http://other.test")];
        variables.extend(KEYS);
        let found = settings(&variables).expect("settings");
        assert_eq!((found.keys.current().key(), found.keys.current().token()), ("AKID", None));
        assert_eq!(address(&found, "s3://images"), "http://other.test/images/ eu-west-3");
        variables.push(("AWS_ENDPOINT_URL_S3", "http://s3.test"));
        assert_eq!(
            address(&settings(&variables).expect("settings"), "s3://images"),
            "http://s3.test/images/ eu-west-3"
        );
        assert!(!format!("{found:?}").contains("secret"));

        let error = settings(&[("HOME", home), ("AWS_PROFILE", "c")]).expect_err("no keys").to_string();
        assert!(error.contains("[c] in ") && error.contains("[profile c] in "), "{error}");
        let error = settings(&KEYS[..1]).expect_err("half of them").to_string();
        assert_eq!(error, "AWS_SECRET_ACCESS_KEY is not set, but the other one of the two keys is");
    }

    #[test]
    fn the_role_of_a_container_has_keys_where_there_are_no_others() {
        // Nobody listens there.
        let role = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/role");
        let error = settings(&[role]).expect_err("no keys").to_string();
        assert!(error.starts_with("the service with the keys of this container's role: "), "{error}");
        assert_eq!(settings(&[KEYS[0], KEYS[1], role]).expect("settings").keys.current().key(), "AKID");
    }

    #[test]
    fn certificates_come_from_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ca.pem");
        let name = path.to_str().expect("a path").to_owned();
        let read = || settings(&[KEYS[0], KEYS[1], ("AWS_CA_BUNDLE", &name)]);
        assert!(read().expect_err("no file").to_string().contains("ca.pem: No such file"));
        for (text, why) in [
            ("nothing", "there is no certificate in it"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "no file of certificates in PEM"),
        ] {
            fs::write(&path, text).expect("written");
            assert!(read().expect_err(text).to_string().contains(why));
        }
        fs::write(&path, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").expect("written");
        assert_eq!(read().expect("settings").certificates.map(|certificates| certificates.len()), Some(1));
    }
}
