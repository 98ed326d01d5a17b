//! The store of a world as one life of a process sees it: slow and failing at times, and silent to
//! the dead.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, TryFutureExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::journal::Journal;

/// How a store is doing.
#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) failing_until: Option<Instant>,
    pub(crate) slow_until: Option<Instant>,
    pub(crate) chance: Chance,
}

/// What all processes share.
#[derive(Debug, Clone)]
pub(crate) struct Shelves {
    pub(crate) inner: Arc<InMemory>,
    pub(crate) weather: Arc<Mutex<Weather>>,
    pub(crate) journal: Arc<Journal>,
    /// The thread whose time the world has. Others have none, and must not wait.
    pub(crate) home: ThreadId,
}

/// One life's view.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    pub(crate) shared: Shelves,
    pub(crate) by: String,
    pub(crate) is_alive: Arc<AtomicBool>,
}

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

fn trouble() -> Error {
    Error::Generic {
        store: "simulated",
        source: "the store is out of order".into(),
    }
}

impl Shelf {
    /// Waits as long as the store takes, and fails where it does.
    async fn pass(&self) -> Result<()> {
        let at_home = std::thread::current().id() == self.shared.home;
        if !self.is_alive.load(Ordering::Relaxed) {
            if at_home {
                return std::future::pending().await;
            }
            return Err(trouble());
        }
        let (wait, fails) = self.now();
        if at_home && !wait.is_zero() {
            sleep(wait).await;
        }
        if !self.is_alive.load(Ordering::Relaxed) && at_home {
            return std::future::pending().await;
        }
        if fails { Err(trouble()) } else { Ok(()) }
    }

    /// Returns whether what a store fails to confirm is there: of the dead nothing comes any more.
    fn is_stored_all_the_same(&self) -> bool {
        let weather = self.shared.weather.lock();
        let mut weather = weather.unwrap_or_else(PoisonError::into_inner);
        self.is_alive.load(Ordering::Relaxed) && weather.chance.percent(30)
    }

    fn now(&self) -> (Duration, bool) {
        let now = Instant::now();
        let weather = self.shared.weather.lock();
        let mut weather = weather.unwrap_or_else(PoisonError::into_inner);
        let slow = weather.slow_until.is_some_and(|until| now < until);
        let wait = if slow {
            weather.chance.millis(100, 2_500)
        } else {
            weather.chance.millis(1, 30)
        };
        (wait, weather.failing_until.is_some_and(|until| now < until))
    }
}

#[async_trait]
impl ObjectStore for Shelf {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let passed = self.pass().await;
        let failed = passed.is_err();
        if let Err(error) = passed
            && !self.is_stored_all_the_same()
        {
            return Err(error);
        }
        let path = at.as_ref();
        if path.contains("/segments/") && path.ends_with(".responses.parquet") {
            let bytes: Bytes = payload.clone().into();
            self.shared.journal.stored(&self.by, path, bytes);
        }
        let stored = self.shared.inner.put_opts(at, payload, options).await;
        if failed {
            self.shared.journal.mishap("file stored, not confirmed");
        }
        // Whoever does not hear that it is stored must take it for not stored.
        if failed { Err(trouble()) } else { stored }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.pass().await?;
        self.shared.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.pass().await?;
        self.shared.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (own, inner) = (self.clone(), Arc::clone(&self.shared.inner));
        async move {
            match own.pass().await {
                Ok(()) => inner.delete_stream(paths),
                Err(error) => futures_util::stream::once(async { Err(error) }).boxed(),
            }
        }
        .flatten_stream()
        .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (own, prefix) = (self.clone(), prefix.cloned());
        let listing = async move {
            own.pass().await?;
            // A sealer works beside the world's time.
            let at_home = std::thread::current().id() == own.shared.home;
            if at_home
                && prefix
                    .as_ref()
                    .is_some_and(|prefix| prefix.as_ref().ends_with("/segments"))
            {
                own.shared.journal.reads(&own.by);
            }
            let listed = own.shared.inner.list(prefix.as_ref());
            Ok(futures_util::stream::iter(listed.collect::<Vec<_>>().await))
        };
        listing.try_flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.pass().await?;
        self.shared.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.pass().await?;
        self.shared.inner.copy_opts(from, to, options).await
    }
}
