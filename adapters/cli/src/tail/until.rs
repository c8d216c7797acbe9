//! A text that is looked for in what comes piece by piece.

/// Looks for a text without a line feed.
#[derive(Debug)]
pub struct Until {
    text: Vec<u8>,
    /// What came last, as long as the text may have begun in it.
    before: Vec<u8>,
}

impl Until {
    pub fn new(text: &str) -> Self {
        Self { text: text.as_bytes().to_vec(), before: Vec::new() }
    }

    /// The number of `bytes` up to the end of the line that has the text, or as far as it has come; `None` where the text has not
    /// come.
    pub fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let before = self.before.len();
        self.before.extend_from_slice(bytes);
        if let Some(index) = self.before.windows(self.text.len()).position(|window| window == self.text) {
            let end = index.saturating_add(self.text.len());
            let rest = self.before.get(end..).unwrap_or_default();
            let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |index| index.saturating_add(1));
            return Some(end.saturating_add(line).saturating_sub(before));
        }
        let kept = self.text.len().saturating_sub(1);
        self.before.drain(..self.before.len().saturating_sub(kept));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Until;

    #[test]
    fn a_text_is_found_however_it_is_cut() {
        let contents = b"boot\nlogin\nlogin: root\nmore\n";
        for cut in 0..contents.len() {
            let (first, second) = contents.split_at(cut);
            let mut until = Until::new("login:");
            let found = until.find(first).or_else(|| until.find(second).map(|len| cut + len));
            // The rest of the line is printed as far as it has come with the text.
            let expected = if (17..23).contains(&cut) { cut } else { 23 };
            assert_eq!(found, Some(expected), "{cut}");
        }
        assert_eq!(Until::new("missing").find(contents), None);
    }
}
