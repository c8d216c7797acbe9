//! The header of the PROXY protocol, version 2, which says whose connection a proxy passes on (proxy-protocol.txt of HAProxy,
//! section 2.2).

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Begins every header.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, and the length of what follows.
const PREFIX_LEN: usize = 16;
/// The longest header that is read; nginx has the same limit.
const MAX_LEN: usize = 4096;
/// Begins a header of version 1.
const VERSION_1: &[u8] = b"PROXY ";

/// Why a connection of a proxy is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFault {
    /// It does not begin with a header.
    Missing,
    /// The header is of version 1.
    Version1,
    /// The header is of no known version, command or family, or shorter than its addresses.
    Malformed,
    /// The header is longer than 4,096 bytes.
    TooLong,
    /// The header did not arrive in time.
    TimedOut,
    /// The proxy closed the connection without a byte, as a check does that only connects.
    Left,
    /// The connection failed, or was closed in the middle of the header.
    Lost(io::ErrorKind),
}

impl ProxyFault {
    /// One word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Version1 => "version1",
            Self::Malformed => "malformed",
            Self::TooLong => "tooLong",
            Self::TimedOut => "timeout",
            Self::Left => "left",
            Self::Lost(_) => "lost",
        }
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no PROXY header: what connects from here has to send one, of version 2"),
            Self::Version1 => f.write_str("a PROXY header of version 1: the proxy has to send version 2"),
            Self::Malformed => f.write_str("a malformed PROXY header"),
            Self::TooLong => write!(f, "a PROXY header of more than {MAX_LEN} bytes"),
            Self::TimedOut => f.write_str("the PROXY header did not come in time"),
            Self::Left => f.write_str("closed without a PROXY header"),
            Self::Lost(kind) => write!(f, "lost before the end of the PROXY header ({kind})"),
        }
    }
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The client's at this address.
    Client(SocketAddr),
    /// That of a client whose address the proxy does not know, or that has none.
    Unknown,
    /// The proxy's own, to see whether the server is there.
    Proxy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parsed {
    /// The beginning of a header, at least so many bytes of which are missing.
    Incomplete(usize),
    Whole(Source),
}

/// Takes a header from a connection, and no byte of what follows.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct HeaderReader {
    bytes: Vec<u8>,
}

impl HeaderReader {
    /// Reads as long as `receive` brings bytes; `None` where it would have to wait for them.
    pub(super) fn read(
        &mut self,
        mut receive: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<Option<Source>, ProxyFault> {
        loop {
            let missing = match parse(&self.bytes)? {
                Parsed::Whole(source) => return Ok(Some(source)),
                Parsed::Incomplete(missing) => missing,
            };
            let start = self.bytes.len();
            self.bytes.resize(start + missing, 0);
            let received = receive(&mut self.bytes[start..]);
            self.bytes.truncate(start + received.as_ref().map_or(0, |len| *len));
            match received {
                Ok(0) if start == 0 => return Err(ProxyFault::Left),
                Ok(0) => return Err(ProxyFault::Lost(io::ErrorKind::UnexpectedEof)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(ProxyFault::Lost(error.kind())),
            }
        }
    }
}

/// Parses the bytes that have arrived. None behind the header may be among them.
fn parse(bytes: &[u8]) -> Result<Parsed, ProxyFault> {
    if !begins_like(bytes, &SIGNATURE) {
        return match begins_like(bytes, VERSION_1) {
            false => Err(ProxyFault::Missing),
            true if bytes.len() >= VERSION_1.len() => Err(ProxyFault::Version1),
            true => Ok(Parsed::Incomplete(VERSION_1.len() - bytes.len())),
        };
    }
    let Some((&[.., command, family, high, low], rest)) = bytes.split_first_chunk::<PREFIX_LEN>() else {
        return Ok(Parsed::Incomplete(PREFIX_LEN - bytes.len()));
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let is_passed_on = match command {
        0x20 => false,
        0x21 => true,
        _ => return Err(ProxyFault::Malformed),
    };
    if PREFIX_LEN + len > MAX_LEN {
        return Err(ProxyFault::TooLong);
    }
    let Some(block) = rest.get(..len) else {
        return Ok(Parsed::Incomplete(len - rest.len()));
    };
    // What follows the addresses is skipped, with whatever a proxy has to tell.
    Ok(Parsed::Whole(match family {
        _ if !is_passed_on => Source::Proxy,
        0x11 => Source::Client(client::<4>(block)?),
        0x21 => Source::Client(client::<16>(block)?),
        // Unix sockets, datagrams, and what is not specified.
        _ if family >> 4 <= 3 && family & 0xf <= 2 => Source::Unknown,
        _ => return Err(ProxyFault::Malformed),
    }))
}

/// Whether `bytes` are the beginning of `start`, or begin with it.
fn begins_like(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

/// The first of two addresses of `N` bytes, and the first of the two ports behind them.
fn client<const N: usize>(block: &[u8]) -> Result<SocketAddr, ProxyFault>
where
    IpAddr: From<[u8; N]>,
{
    let ip = block.first_chunk::<N>();
    let port = block.get(2 * N..2 * N + 4).and_then(|ports| ports.first_chunk::<2>());
    let (Some(ip), Some(port)) = (ip, port) else { return Err(ProxyFault::Malformed) };
    Ok(SocketAddr::new(IpAddr::from(*ip).to_canonical(), u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::net::SocketAddr;

    use proptest::prelude::*;
    use proxy_header::{ParseConfig, Protocol, ProxiedAddress, ProxyHeader};

    use super::{HeaderReader, MAX_LEN, PREFIX_LEN, ProxyFault, SIGNATURE, Source};

    fn header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let len = u16::try_from(block.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, block].concat()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Reads from `bytes` in pieces of these lengths, and what is left at once; returns how much was taken, too.
    fn read(bytes: &[u8], pieces: &[usize]) -> (Result<Option<Source>, ProxyFault>, usize) {
        let (mut pieces, mut taken) = (VecDeque::from(pieces.to_vec()), 0);
        let outcome = HeaderReader::default().read(|buf| {
            let piece = pieces.pop_front().unwrap_or(usize::MAX).max(1);
            let len = piece.min(buf.len()).min(bytes.len() - taken);
            if len == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            buf[..len].copy_from_slice(&bytes[taken..][..len]);
            taken += len;
            Ok(len)
        });
        (outcome, taken)
    }

    fn parsed(bytes: &[u8]) -> Result<Option<Source>, ProxyFault> {
        read(bytes, &[]).0
    }

    #[test]
    fn b2_headers_say_whose_connection_it_is() {
        let v4 = [192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x34, 0x22, 0xb8];
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0x12, 0x34, 0, 1]].concat();
        let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 9], &[0; 16], &[0x12, 0x34, 0, 1]].concat();
        let client = |text| Ok(Some(Source::Client(address(text))));
        assert_eq!(parsed(&header(0x21, 0x11, &v4)), client("192.0.2.9:4660"));
        assert_eq!(parsed(&header(0x21, 0x21, &v6)), client("[2001:db8::7]:4660"));
        assert_eq!(parsed(&header(0x21, 0x21, &mapped)), client("192.0.2.9:4660"));
        // With what else a proxy tells, understood or not.
        assert_eq!(
            parsed(&header(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0, 0xe0, 9, 9]].concat())),
            client("192.0.2.9:4660")
        );
        assert_eq!(parsed(&header(0x20, 0x00, &[])), Ok(Some(Source::Proxy)));
        assert_eq!(parsed(&header(0x20, 0xff, &v4)), Ok(Some(Source::Proxy)));
        for family in [0x00, 0x01, 0x10, 0x12, 0x22, 0x31, 0x32] {
            assert_eq!(parsed(&header(0x21, family, &[1; 216])), Ok(Some(Source::Unknown)), "{family:#x}");
        }
    }

    #[test]
    fn b2_what_is_no_header_is_a_fault_at_once() {
        let v4 = [1; 12];
        for (bytes, fault) in [
            (b"{\"type\":\"hello\"}".to_vec(), ProxyFault::Missing),
            (b"\r\n\r\n\r\n".to_vec(), ProxyFault::Missing),
            (b"GET / HTTP/1.1\r\n".to_vec(), ProxyFault::Missing),
            (b"POST".to_vec(), ProxyFault::Missing),
            (b"PROXY TCP4 192.0.2.9 10.0.0.1 4660 8888\r\n".to_vec(), ProxyFault::Version1),
            (header(0x11, 0x11, &v4), ProxyFault::Malformed),
            (header(0x22, 0x11, &v4), ProxyFault::Malformed),
            (header(0x21, 0x41, &v4), ProxyFault::Malformed),
            (header(0x21, 0x13, &v4), ProxyFault::Malformed),
            (header(0x21, 0x11, &v4[..11]), ProxyFault::Malformed),
            (header(0x21, 0x21, &[1; 35]), ProxyFault::Malformed),
            (header(0x21, 0x11, &[1; MAX_LEN - PREFIX_LEN + 1]), ProxyFault::TooLong),
        ] {
            assert_eq!(parsed(&bytes), Err(fault), "{bytes:?}");
        }
        assert_eq!(parsed(b"PROXY"), Ok(None));
        assert_eq!(HeaderReader::default().read(|_| Ok(0)), Err(ProxyFault::Left));
        let whole = header(0x20, 0, &[]);
        let mut sent = whole[..13].iter();
        let cut = HeaderReader::default().read(|buf| match sent.next() {
            Some(byte) => {
                buf[0] = *byte;
                Ok(1)
            }
            None => Ok(0),
        });
        assert_eq!(cut, Err(ProxyFault::Lost(io::ErrorKind::UnexpectedEof)));
    }

    proptest! {
        /// Another parser reads the same, however the bytes arrive, and nothing behind the header is taken.
        #[test]
        fn b2_any_split_of_a_header_gives_the_same(
            source in any::<SocketAddr>(),
            is_local in any::<bool>(),
            extra in proptest::collection::vec(any::<u8>(), 0..600),
            behind in proptest::collection::vec(any::<u8>(), 0..40),
            pieces in proptest::collection::vec(1_usize..20, 0..60),
        ) {
            let destination = address(if source.is_ipv4() { "10.0.0.1:1" } else { "[::1]:1" });
            let proxied = ProxiedAddress { protocol: Protocol::Stream, source, destination };
            let made = if is_local { ProxyHeader::with_local() } else { ProxyHeader::with_address(proxied) };
            let mut bytes = Vec::new();
            made.encode_v2(&mut bytes).expect("encoded");
            let len = u16::from_be_bytes([bytes[14], bytes[15]]) + u16::try_from(extra.len()).expect("short");
            bytes[14..16].copy_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(&extra);
            let header_len = bytes.len();
            bytes.extend_from_slice(&behind);
            let expected = if is_local {
                Source::Proxy
            } else {
                Source::Client(SocketAddr::new(source.ip().to_canonical(), source.port()))
            };
            prop_assert_eq!(read(&bytes, &pieces), (Ok(Some(expected)), header_len));
        }

        /// What begins like a header is taken by both parsers or by none.
        #[test]
        fn b2_any_bytes_are_a_header_or_a_fault(
            command in prop_oneof![Just(0x21_u8), any::<u8>()],
            family in prop_oneof![Just(0x11_u8), Just(0x21), Just(0x31), any::<u8>()],
            block in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = header(command, family, &block);
            let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
            let other = ProxyHeader::parse(&bytes, config);
            match parsed(&bytes) {
                Ok(Some(Source::Client(client))) => {
                    let (found, len) = other.expect("the other parser reads it");
                    prop_assert_eq!(len, bytes.len());
                    let found = found.proxied_address().expect("an address").source;
                    prop_assert_eq!(SocketAddr::new(found.ip().to_canonical(), found.port()), client);
                }
                // Where the other one asks for more, or refuses, addresses are ignored here.
                Ok(source) => prop_assert!(source.is_some()),
                Err(_) => prop_assert!(other.is_err()),
            }
        }
    }
}
