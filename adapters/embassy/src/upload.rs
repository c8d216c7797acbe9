//! The store's side of the exchanges that write.

use core::future::Future;
use core::mem::replace;

use coracle_core::{
    Begun, Committed, DigestKind, FileInfo, Hasher, Instant, Put, PutAttempt, Reply, Request, StoreError, WriteError,
};

use crate::access::Access;
use crate::exchange::{Answer, Exchange, Open};
use crate::progress::Progress;
use crate::writable::AsyncWritableStore;

/// Requests that write are passed to the store.
pub(crate) enum ReadWrite {}

impl<S: AsyncWritableStore> Access<S> for ReadWrite {
    type Upload = S::Upload;
    type Put = PutAttempt;

    fn answer(
        exchange: &mut Exchange<S, S::Upload, PutAttempt>,
        store: &mut S,
        request: Request<'_>,
        now: Instant,
    ) -> impl Future<Output = Answer> {
        async move { answer(exchange, store, &request, now).await }
    }

    async fn write(
        exchange: &mut Exchange<S, S::Upload, PutAttempt>,
        store: &mut S,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        let Open::Upload { upload, reads_back, .. } = &mut exchange.open else { return Err(StoreError::Io.into()) };
        let len = store.write(upload, offset, bytes, now).await?.min(bytes.len());
        if let (false, Some(hasher)) = (*reads_back, &mut exchange.hasher) {
            hasher.update(bytes.get(..len).unwrap_or_default());
            exchange.hashed = exchange.hashed.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        }
        Ok(len)
    }

    async fn hash(
        exchange: &mut Exchange<S, S::Upload, PutAttempt>,
        store: &mut S,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        let Open::Upload { upload, .. } = &mut exchange.open else {
            return exchange.read(store, offset, buf, true).await;
        };
        let len = store.read_back(upload, offset, buf, now).await?;
        Ok(exchange.took(buf, len, true)?)
    }

    async fn commit(
        exchange: &mut Exchange<S, S::Upload, PutAttempt>,
        store: &mut S,
        put: &Put<'_>,
        now: Instant,
    ) -> Answer {
        let Open::Upload { upload, progress, .. } = &mut exchange.open else {
            return Err(Reply::Failed(StoreError::Io.into()));
        };
        *progress = Progress::Verified;
        match store.commit(upload, put, now).await {
            Ok(Committed::Done(info)) => stored(exchange, info),
            Err(error) => {
                if error == WriteError::Corrupt {
                    *progress = Progress::Hashed;
                }
                Err(Reply::Failed(error))
            }
            Ok(_) => Err(Reply::Pending),
        }
    }

    async fn end(exchange: &mut Exchange<S, S::Upload, PutAttempt>, store: &mut S) {
        if let Open::Upload { upload, progress, .. } = replace(&mut exchange.open, Open::Nothing) {
            match progress {
                Progress::Hashed => store.discard(upload).await,
                Progress::Open | Progress::Verified => store.keep(upload).await,
            }
        }
        exchange.put = None;
        exchange.is_compared = false;
        exchange.close();
    }
}

async fn answer<S: AsyncWritableStore>(
    exchange: &mut Exchange<S, S::Upload, PutAttempt>,
    store: &mut S,
    request: &Request<'_>,
    now: Instant,
) -> Answer {
    #[cfg(feature = "rights")]
    if let Err(error) = check_written(exchange, store, request).await {
        return Err(Reply::Failed(error.into()));
    }
    let done = match request {
        Request::Put(put) => return begin(exchange, store, put, now).await,
        Request::Delete(delete) => store.delete(delete).await,
        #[cfg(feature = "manage")]
        Request::Rename(rename) => store.rename(rename).await,
        #[cfg(feature = "manage")]
        Request::MakeDir { path } => store.make_dir(*path).await,
        #[cfg(feature = "manage")]
        Request::Space => return Err(store.space().await.map_or_else(Reply::Failed, Reply::Space)),
        _ => return exchange.open(store, *request).await,
    };
    Err(done.map_or_else(Reply::Failed, |()| Reply::Done))
}

/// Checks that the names of a request that writes lead through no link, where the client may not follow any.
#[cfg(feature = "rights")]
async fn check_written<S: AsyncWritableStore>(
    exchange: &Exchange<S, S::Upload, PutAttempt>,
    store: &mut S,
    request: &Request<'_>,
) -> Result<(), StoreError> {
    #[cfg(feature = "manage")]
    if let Request::Rename(rename) = request {
        exchange.check_links(store, Some(rename.to)).await?;
    }
    let reads = matches!(request, Request::List { .. } | Request::Stat { .. } | Request::Get { .. });
    if reads { Ok(()) } else { exchange.check_links(store, request.name()).await }
}

async fn begin<S: AsyncWritableStore>(
    exchange: &mut Exchange<S, S::Upload, PutAttempt>,
    store: &mut S,
    put: &Put<'_>,
    now: Instant,
) -> Answer {
    // CRC-32 can be forged.
    let may_compare = put.digest.kind() == DigestKind::Sha256;
    #[cfg(feature = "rights")]
    let may_compare = may_compare && exchange.may_compare;
    let attempt = exchange.put.get_or_insert(PutAttempt::new(now, may_compare));
    if replace(&mut exchange.is_compared, false) {
        attempt.may_compare = false;
        let is_equal = exchange.hasher.take().is_some_and(|hasher| hasher.finish() == put.digest);
        if let (true, Open::File { info, .. }) = (is_equal, replace(&mut exchange.open, Open::Nothing)) {
            return stored(exchange, info);
        }
    }
    let begun = match store.begin(put, *attempt, now).await {
        Ok(begun) => begun,
        Err(error) => return Err(Reply::Failed(error)),
    };
    exchange.hasher = Hasher::new(put.digest.kind());
    exchange.hashed = 0;
    match begun {
        Begun::Stored(info) => stored(exchange, info),
        Begun::Upload { upload, have } => {
            let reads_back = store.verifies_by_reading(&upload);
            exchange.open = Open::Upload { upload, reads_back, progress: Progress::Open };
            Err(Reply::Upload { have, reads_back })
        }
        Begun::Compare(file) => match store.info(&file).await {
            Err(error) => Err(Reply::Failed(error.into())),
            Ok(info) => {
                if store.known_digest(&file, put.digest.kind()).await == Some(put.digest) {
                    return stored(exchange, info);
                }
                exchange.open = Open::File { file, info };
                Err(Reply::Compare)
            }
        },
        _ => Err(Reply::Pending),
    }
}

fn stored<S: AsyncWritableStore>(exchange: &mut Exchange<S, S::Upload, PutAttempt>, info: FileInfo) -> Answer {
    exchange.open = Open::Stored(info);
    Ok(None)
}
