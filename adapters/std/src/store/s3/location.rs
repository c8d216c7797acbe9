//! Where objects lie: `s3://BUCKET/PREFIX`.

use std::fmt;
use std::str::FromStr;

use coracle_core::FileName;

use super::error::S3Error;

/// A bucket, and what the keys of the objects in it begin with that are served: `s3://BUCKET` or `s3://BUCKET/PREFIX`.
///
/// A prefix is a path like that of a file: keys have a `/` behind it.
///
/// ```
/// use coracle::store::S3Location;
///
/// let location: S3Location = "s3://images/boards/v2".parse()?;
/// assert_eq!((location.bucket(), location.prefix()), ("images", "boards/v2/"));
/// # Ok::<(), coracle::store::S3Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Location {
    bucket: String,
    prefix: String,
}

impl S3Location {
    /// What its text begins with.
    pub const SCHEME: &'static str = "s3://";

    /// The name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What the keys begin with: nothing, or a path and a `/`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for S3Location {
    type Err = S3Error;

    fn from_str(text: &str) -> Result<Self, S3Error> {
        let wrong =
            |why: &str| S3Error::Settings(format!("{text}: {why}; the form is s3://BUCKET or s3://BUCKET/PREFIX"));
        let rest = text.strip_prefix(Self::SCHEME).ok_or_else(|| wrong("it does not begin with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("it names no bucket"));
        }
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        // It becomes part of a host name or of a path.
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_letter) || bucket.starts_with('.') {
            return Err(wrong("a bucket's name has 3 to 63 letters, digits, dots, hyphens and underscores"));
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            FileName::new(prefix).map_err(|error| wrong(&error.to_string()))?;
        }
        let slash = if prefix.is_empty() { "" } else { "/" };
        Ok(Self { bucket: bucket.to_owned(), prefix: format!("{prefix}{slash}") })
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", Self::SCHEME, self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::S3Location;

    #[test]
    fn a_location_is_a_bucket_and_a_path() {
        for (text, bucket, prefix) in [
            ("s3://images", "images", ""),
            ("s3://images/", "images", ""),
            ("s3://my.images/a", "my.images", "a/"),
            ("s3://images/a/b c//", "images", "a/b c/"),
        ] {
            let location: S3Location = text.parse().expect(text);
            assert_eq!((location.bucket(), location.prefix()), (bucket, prefix), "{text}");
            assert_eq!(location.to_string().parse(), Ok(location), "{text}");
        }
        for (text, why) in [
            ("images", "does not begin with s3://"),
            ("s3://", "names no bucket"),
            ("s3:///a", "names no bucket"),
            ("s3://ab", "3 to 63"),
            ("s3://a b c", "3 to 63"),
            ("s3://../a", "3 to 63"),
            ("s3://images/../other", "s3://images/../other: "),
            ("s3://images//a", "s3://images//a: "),
        ] {
            let error = text.parse::<S3Location>().expect_err(text).to_string();
            assert!(error.contains(why) && error.contains("the form is s3://BUCKET"), "{error}");
        }
    }
}
