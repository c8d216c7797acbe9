//! What an object store failed at.

use std::fmt;

use coracle_core::StoreError;

use crate::local::Escaped;

/// Why objects cannot be had. No text of it contains a key, a signature or an address with one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum S3Error {
    /// A setting is missing or wrong; the text says which, and what would be right.
    Settings(String),
    /// The service could not be reached, did not answer in time, or said that it cannot answer now.
    Unavailable(String),
    /// The service refused a request.
    Refused {
        /// The status of HTTP.
        status: u16,
        /// The service's own code, such as `NoSuchBucket`, where it sent one.
        code: Option<String>,
        /// The region that the bucket is in, where the service says so.
        region: Option<String>,
    },
    /// The answer is none of S3's; the text says what is wrong with it.
    Protocol(&'static str),
}

impl S3Error {
    /// Whether the same request may succeed soon.
    pub(super) const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(super) const fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403, .. })
    }

    /// Whether other keys may help. S3 calls a token that has expired a bad request, and an answer to HEAD tells no code.
    pub(super) const fn may_be_of_keys(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 401 | 403, .. })
    }

    pub(super) fn is_not_found(&self) -> bool {
        // Without a bucket nothing is found, which is no answer to the question for a file.
        matches!(self, Self::Refused { status: 404, code, .. } if code.as_deref() != Some("NoSuchBucket"))
    }

    /// Whether the object is no longer the one that was opened.
    pub(super) const fn is_change(&self) -> bool {
        matches!(self, Self::Refused { status: 404 | 412 | 416, .. })
    }

    /// What clients are told of it.
    pub(super) fn store_error(&self) -> StoreError {
        match self {
            Self::Unavailable(_) => StoreError::Busy,
            error if error.is_not_found() => StoreError::NotFound,
            error if error.is_denied() => StoreError::Denied,
            _ => StoreError::Io,
        }
    }
}

impl fmt::Display for S3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(text) | Self::Unavailable(text) => Escaped(text).fmt(f),
            Self::Refused { region: Some(region), .. } => {
                write!(f, "the bucket is in the region {0}: set AWS_REGION={0}", Escaped(region))
            }
            Self::Refused { status, code, .. } => {
                match (status, code.as_deref()) {
                    (_, Some("NoSuchBucket")) => f.write_str("there is no such bucket")?,
                    (401 | 403, _) => f.write_str("access is denied")?,
                    (404, _) => f.write_str("not found")?,
                    (412 | 416, _) => f.write_str("the object has changed")?,
                    _ => f.write_str("the service refuses")?,
                }
                match code {
                    Some(code) => write!(f, " (status {status}, {})", Escaped(code)),
                    None => write!(f, " (status {status})"),
                }
            }
            Self::Protocol(what) => write!(f, "the answer is none of S3's: {what}"),
        }
    }
}

impl std::error::Error for S3Error {}

/// A request to the object store that failed, although nothing is wrong with what the client asked for. Displayed as one line,
/// without control characters.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct S3Trouble<'a> {
    /// The key of the object, or the beginning of those that were listed.
    pub key: &'a str,
    /// Why it failed.
    pub error: &'a S3Error,
}

impl fmt::Display for S3Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Escaped(self.key), self.error)
    }
}

#[cfg(test)]
mod tests {
    use coracle_core::StoreError;

    use super::S3Error;

    fn refused(status: u16, code: Option<&str>) -> S3Error {
        S3Error::Refused { status, code: code.map(str::to_owned), region: None }
    }

    #[test]
    fn clients_and_owners_are_told_what_it_is() {
        for (error, told, text) in [
            (refused(404, None), StoreError::NotFound, "not found (status 404)"),
            (refused(404, Some("NoSuchBucket")), StoreError::Io, "there is no such bucket (status 404, NoSuchBucket)"),
            (
                refused(403, Some("SignatureDoesNotMatch")),
                StoreError::Denied,
                "access is denied (status 403, SignatureDoesNotMatch)",
            ),
            (refused(412, None), StoreError::Io, "the object has changed (status 412)"),
            (refused(400, Some("\u{1b}[2J")), StoreError::Io, "the service refuses (status 400, \\x1b[2J)"),
            (S3Error::Unavailable("connection refused".to_owned()), StoreError::Busy, "connection refused"),
            (S3Error::Protocol("no length"), StoreError::Io, "the answer is none of S3's: no length"),
            (
                S3Error::Refused { status: 301, code: None, region: Some("eu-west-1".to_owned()) },
                StoreError::Io,
                "the bucket is in the region eu-west-1: set AWS_REGION=eu-west-1",
            ),
        ] {
            assert_eq!((error.store_error(), error.to_string().as_str()), (told, text));
        }
    }
}
