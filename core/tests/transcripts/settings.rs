//! The settings of the documents' server, and how bytes are split.

use coracle_core::{ServerConfig, ServerName};

use super::document::Transcript;

/// How input is split.
#[derive(Clone, Debug)]
pub enum Pieces {
    Whole,
    Each(usize),
    /// 1 to 9, or now and then up to 300, drawn with this seed (which must not be 0).
    Random(u64),
}

impl Pieces {
    pub fn next(&mut self, available: usize) -> usize {
        let len = match self {
            Self::Whole => available,
            Self::Each(len) => *len,
            Self::Random(state) => {
                // Marsaglia, Xorshift RNGs (2003), p. 4.
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                let draw = (*state >> 33) as usize;
                if draw.is_multiple_of(4) { 1 + draw / 4 % 300 } else { 1 + draw / 4 % 9 }
            }
        };
        len.clamp(1, available.max(1))
    }
}

/// The settings of the documents' server: the defaults and a name.
///
/// # Errors
///
/// None, since the name is valid.
pub fn documented() -> Result<ServerConfig<'static>, String> {
    let name = ServerName::new("bench-7").map_err(|error| error.to_string())?;
    Ok(ServerConfig::new().with_name(name))
}

/// `config` with the `retry_ms` of `transcript`.
pub fn with_retry<'a>(config: ServerConfig<'a>, transcript: &Transcript) -> ServerConfig<'a> {
    config.with_busy_retry_ms(transcript.retry_ms).with_stop_retry_ms(transcript.retry_ms)
}

/// Whether the output of `transcript` depends on how its input is split.
pub fn has_arrivals(transcript: &Transcript) -> bool {
    transcript.arrives_whole || transcript.text.as_ref().is_some_and(|text| text.starts_with("reply:"))
}

/// The length of a session's buffer.
pub fn max_request(transcript: &Transcript) -> usize {
    let has = |word: &str| transcript.features.iter().any(|feature| feature == word);
    let least = if has("rename") {
        768
    } else if has("put") {
        640
    } else {
        512
    };
    transcript.max_request.unwrap_or(least)
}
