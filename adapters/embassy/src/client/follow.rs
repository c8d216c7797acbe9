//! Follows a file that grows, as `tail -F` does.

use coracle_core::{Code, End, Failure, FileName, GetRequest, Hello, Version};

use super::connection::{Client, ClientError};
use super::follower::{FollowFeatures, FollowFrom, Followed, Follower, Stage};
use super::window::Continuation;
use crate::clock::Clock;
use crate::transport::Transport;

/// The pause after an answer with nothing new; each further one is twice as long, up to [`LONGEST_PAUSE_MS`].
const SHORTEST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 1_000;
/// An answer with nothing new that came sooner was not waited for.
const SHORTEST_WAIT_MS: u64 = 1_000;
/// Wrong digests in a row that mean another file. The first may be an error of the transmission.
const MISMATCHES: u32 = 2;

/// `None`: nothing has come, and the next request is due.
type Outcome<E> = Result<Option<Followed>, ClientError<E>>;

impl<B, R, T, C> Client<B, R, T, C>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    C: Clock,
{
    /// Waits for what comes next of the file `name`, whatever happens to that file: what was appended, or the file that has its name
    /// now. `piece`, at least one byte long, is the most at a time; it holds something when this returns [`Followed::Bytes`].
    ///
    /// A server that can waits with its answer until something is appended; others are asked again every second at least.
    ///
    /// ```
    /// use coracle_core::FileName;
    /// use coracle_embassy::{Client, ClientError, Clock, Followed, Follower, Transport};
    ///
    /// /// Prints a log until the connection ends; called with the same `follower` on the next one, it goes on.
    /// async fn print<T: Transport, C: Clock>(
    ///     client: &mut Client<[u8; 1024], [u8; 512], T, C>,
    ///     follower: &mut Follower<[u8; 256]>,
    /// ) -> Result<(), ClientError<T::Error>> {
    ///     let mut piece = [0; 1024];
    ///     loop {
    ///         match client.follow(FileName::from_static("boot.log"), follower, &mut piece).await? {
    ///             Followed::Bytes(len) => print!("{}", String::from_utf8_lossy(&piece[..len])),
    ///             other => println!("-- {other:?} --"),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`ClientError`]. `follower` stays as it is: the next call goes on where this one was, on this connection after a refusal
    /// (the file may not be there yet), and on a new one after any other error. [`Failure::Digest`] is no exception.
    pub async fn follow<W>(
        &mut self,
        name: FileName<'_>,
        follower: &mut Follower<W>,
        piece: &mut [u8],
    ) -> Result<Followed, ClientError<T::Error>>
    where
        W: AsRef<[u8]> + AsMut<[u8]>,
    {
        loop {
            if follower.pause_ms > 0 {
                self.clock.sleep_until(self.clock.now().after(follower.pause_ms)).await;
            }
            let outcome = self.follow_once(name, follower, piece).await;
            if let Err(error) = &outcome {
                // Another server may answer next.
                if !matches!(error, ClientError::Refused(_)) {
                    follower.features = None;
                }
                follower.pause_ms = 0;
            }
            if let Some(followed) = outcome? {
                follower.pause_ms = 0;
                return Ok(followed);
            }
        }
    }

    async fn follow_once<W>(
        &mut self,
        name: FileName<'_>,
        follower: &mut Follower<W>,
        piece: &mut [u8],
    ) -> Outcome<T::Error>
    where
        W: AsRef<[u8]> + AsMut<[u8]>,
    {
        let features = match follower.features {
            Some(features) => features,
            None => {
                let told = self.hello(|hello: &Hello<'_>| FollowFeatures::of(hello)).await?;
                *follower.features.insert(told)
            }
        };
        match follower.stage {
            Stage::Find => self.find(name, features, follower, piece).await,
            Stage::Read => self.read_on(name, features, follower, piece).await,
            Stage::ReadReplaced => self.read_replaced(name, features, follower, piece).await,
        }
    }

    /// Finds the place to begin, and the bytes before it.
    async fn find<W>(
        &mut self,
        name: FileName<'_>,
        features: FollowFeatures,
        follower: &mut Follower<W>,
        piece: &mut [u8],
    ) -> Outcome<T::Error>
    where
        W: AsRef<[u8]> + AsMut<[u8]>,
    {
        let (size, first) = self.extent(name, features).await?;
        let position = match follower.from() {
            FollowFrom::Beginning => first,
            FollowFrom::Bytes(bytes) => size.saturating_sub(bytes).max(first),
        };
        let known = position.saturating_sub(first).min(follower.window.capacity());
        follower.window.reset(position.saturating_sub(known));
        while follower.window.position() < position {
            let rest = usize::try_from(position.saturating_sub(follower.window.position())).unwrap_or(usize::MAX);
            let len = rest.min(piece.len());
            let get = GetRequest::new(name)
                .with_offset(follower.window.position())
                .with_digest_from(Some(follower.window.from()));
            match self.piece(with(get, features), follower, piece.get_mut(..len).unwrap_or_default()).await {
                Ok((End::Verified(_), received, _)) if received > 0 => {
                    follower.window.push(piece.get(..received).unwrap_or_default());
                }
                // It became shorter meanwhile.
                Ok(_) | Err(ClientError::Refused(Some(Code::BadRange))) => {
                    longer(&mut follower.pause_ms);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        follower.stage = Stage::Read;
        Ok(None)
    }

    /// The size of the file, and the first byte that is there of it.
    async fn extent(
        &mut self,
        name: FileName<'_>,
        features: FollowFeatures,
    ) -> Result<(u64, u64), ClientError<T::Error>> {
        #[cfg(feature = "absolute")]
        if features.absolute {
            let header = self.stat_absolute(name).await?;
            return Ok((header.size, header.first.unwrap_or(0)));
        }
        let _ = features;
        Ok((self.stat(name, None).await?.size, 0))
    }

    async fn read_on<W>(
        &mut self,
        name: FileName<'_>,
        features: FollowFeatures,
        follower: &mut Follower<W>,
        piece: &mut [u8],
    ) -> Outcome<T::Error>
    where
        W: AsRef<[u8]> + AsMut<[u8]>,
    {
        let (wait_ms, version) = (follower.wait_ms(features), follower.version.clone());
        let names_version = follower.names_version || (wait_ms.is_some() && follower.is_version_stable);
        let get = GetRequest::new(name)
            .with_offset(follower.window.position())
            .with_digest_from(Some(follower.window.from()))
            .with_version(version.as_ref().filter(|_| names_version))
            .with_wait_ms(wait_ms.unwrap_or(0));
        let begin = self.clock.now();
        let error = match self.piece(with(get, features), follower, piece).await {
            Ok((End::Verified(_), received, version)) => {
                let took_ms = self.clock.now().since(begin);
                return Ok(proved(
                    follower,
                    piece.get(..received).unwrap_or_default(),
                    version,
                    wait_ms.map(|_| took_ms),
                ));
            }
            // It grew or was rewritten meanwhile: now that it has changed a moment ago, the server reads it once.
            Ok(_) => {
                longer(&mut follower.pause_ms);
                return Ok(None);
            }
            Err(error) => error,
        };
        match error {
            ClientError::Refused(Some(Code::Changed)) => {
                if follower.names_version {
                    follower.is_replaced();
                } else if names_version {
                    follower.is_in_doubt = true;
                } else {
                    longer(&mut follower.pause_ms);
                }
            }
            ClientError::Refused(Some(Code::BadRange)) => {
                #[cfg(feature = "absolute")]
                if let Some(dropped) = out_of_range(follower, self.refusal().and_then(|refusal| refusal.first)) {
                    return Ok(dropped);
                }
                follower.is_replaced();
            }
            ClientError::Failed(Failure::Digest) => {
                follower.mismatches = follower.mismatches.saturating_add(1);
                if follower.mismatches >= MISMATCHES {
                    follower.is_replaced();
                }
                return Err(error);
            }
            _ => return Err(error),
        }
        Ok(None)
    }

    /// Reads on in the file that was there before.
    async fn read_replaced<W>(
        &mut self,
        name: FileName<'_>,
        features: FollowFeatures,
        follower: &mut Follower<W>,
        piece: &mut [u8],
    ) -> Outcome<T::Error>
    where
        W: AsRef<[u8]> + AsMut<[u8]>,
    {
        let Some(version) = follower.version.clone() else { return Ok(Some(follower.begin_anew(true))) };
        let get = GetRequest::new(name)
            .with_offset(follower.window.position())
            .with_digest_from(Some(follower.window.from()))
            .with_version(Some(&version));
        match self.piece(with(get, features), follower, piece).await {
            Ok((End::Verified(_), 0, _)) => Ok(Some(follower.begin_anew(false))),
            Ok((End::Verified(_), received, _)) => {
                follower.window.push(piece.get(..received).unwrap_or_default());
                Ok(Some(Followed::Bytes(received)))
            }
            Err(error @ ClientError::Failed(Failure::Digest)) => {
                // The next call says that it begins anew.
                follower.version = None;
                Err(error)
            }
            // The server has not kept it, or not to its end.
            Ok(_) | Err(ClientError::Refused(_)) => Ok(Some(follower.begin_anew(true))),
            Err(error) => Err(error),
        }
    }

    /// Asks for the piece behind the window: how it ended, how many bytes it has, and the version of the file.
    async fn piece<W>(
        &mut self,
        get: GetRequest<'_>,
        follower: &Follower<W>,
        piece: &mut [u8],
    ) -> Result<(End, usize, Option<Version>), ClientError<T::Error>>
    where
        W: AsRef<[u8]> + AsMut<[u8]>,
    {
        let get = get.with_length(Some(piece.len() as u64));
        let window = &follower.window;
        let mut sink = Continuation { from: window.from(), before: window.bytes(), piece, received: 0, version: None };
        let end = self.get(&get, &mut sink).await?;
        Ok((end, sink.received, sink.version))
    }
}

impl FollowFeatures {
    fn of(hello: &Hello<'_>) -> Self {
        Self {
            waits: hello.features.wait,
            #[cfg(feature = "absolute")]
            absolute: hello.features.absolute,
        }
    }
}

/// Sets what offsets count from.
fn with(get: GetRequest<'_>, features: FollowFeatures) -> GetRequest<'_> {
    #[cfg(feature = "absolute")]
    let get = get.with_absolute(features.absolute);
    let _ = features;
    get
}

/// Takes a piece that continues what was there. `waited_ms`: how long the server took, where it was asked to wait.
fn proved<W: AsRef<[u8]> + AsMut<[u8]>>(
    follower: &mut Follower<W>,
    bytes: &[u8],
    version: Option<Version>,
    waited_ms: Option<u64>,
) -> Option<Followed> {
    let is_new = !bytes.is_empty();
    if is_new && follower.version.is_some() {
        follower.is_version_stable = version == follower.version;
    }
    follower.version = version;
    (follower.mismatches, follower.names_version) = (0, false);
    follower.window.push(bytes);
    // A server that waits may do so for a file whose name is gone, or may say so by waiting no longer.
    follower.is_in_doubt = waited_ms.is_some() && !is_new;
    if is_new {
        return Some(Followed::Bytes(bytes.len()));
    }
    match waited_ms {
        Some(SHORTEST_WAIT_MS..) => follower.pause_ms = 0,
        _ => longer(&mut follower.pause_ms),
    }
    None
}

/// What was asked for is not there: a log has dropped what is before `first`. `None` where the file is another one.
#[cfg(feature = "absolute")]
fn out_of_range<W: AsRef<[u8]> + AsMut<[u8]>>(
    follower: &mut Follower<W>,
    first: Option<u64>,
) -> Option<Option<Followed>> {
    let first = first.filter(|first| *first > follower.window.from())?;
    // A log that began anew may have dropped as much.
    if follower.version.is_some() && !core::mem::replace(&mut follower.names_version, true) {
        return Some(None);
    }
    let position = follower.window.position();
    if first <= position {
        follower.window.forget_before(first);
        return Some(None);
    }
    follower.window.reset(first);
    Some(Some(Followed::Dropped { bytes: first.saturating_sub(position) }))
}

fn longer(pause_ms: &mut u64) {
    *pause_ms = pause_ms.saturating_mul(2).clamp(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS);
}
