//! The files of AWS's tools: `~/.aws/credentials` and `~/.aws/config`.

use zeroize::Zeroizing;

/// The settings of one section, as keys and values.
#[derive(Default)]
pub(super) struct Profile(Vec<(String, Zeroizing<String>)>);

impl Profile {
    /// The settings beneath the header `[section]` in `text`, and in each further section of that name.
    ///
    /// Lines are `KEY = VALUE`; those that begin with `#` or `;` are comments, and so is what follows one behind white space.
    /// Indented lines belong to the setting above them, none of which has a meaning here.
    pub(super) fn find(text: &str, section: &str) -> Self {
        let mut is_inside = false;
        let mut found = Vec::new();
        for line in text.lines() {
            if line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            if let Some(header) = line.strip_prefix('[') {
                let name = header.split(']').next().unwrap_or_default();
                is_inside = name.split_whitespace().eq(section.split_whitespace());
                continue;
            }
            if let (true, Some((key, value))) = (is_inside, line.split_once('=')) {
                let value = without_comment(value).trim();
                found.push((key.trim().to_lowercase(), Zeroizing::new(value.to_owned())));
            }
        }
        Self(found)
    }

    /// The value of `key`, the last one where there are several; `None` for an empty one.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(name, _)| name == key)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

fn without_comment(value: &str) -> &str {
    let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| value.find(mark)).min();
    end.and_then(|end| value.get(..end)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::Profile;

    const TEXT: &str = "
# a comment
aws_access_key_id = nobody's
[default]
aws_access_key_id=AKID   ; the build's
AWS_Secret_Access_Key = wJalr/K7=MDENG+b
aws_session_token =
s3 =
  addressing_style = path
  aws_access_key_id = nested
[profile  other]
region = eu-west-1
[default ]
region = us-east-2
";

    #[test]
    fn finds_the_settings_of_one_section() {
        let default = Profile::find(TEXT, "default");
        assert_eq!(default.get("aws_access_key_id"), Some("AKID"));
        assert_eq!(default.get("aws_secret_access_key"), Some("wJalr/K7=MDENG+b"));
        assert_eq!(default.get("aws_session_token"), None);
        assert_eq!(default.get("addressing_style"), None);
        assert_eq!(default.get("region"), Some("us-east-2"));
        assert_eq!(Profile::find(TEXT, "profile other").get("region"), Some("eu-west-1"));
        assert_eq!(Profile::find(TEXT, "other").get("region"), None);
    }
}
