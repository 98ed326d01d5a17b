//! Stores that fail, for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use crate::Store;

/// What is done to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Put,
    Get,
    List,
    Delete,
    Copy,
}

/// How an operation goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not.
    None,
    /// It is not done and an error is returned.
    Refused,
    /// It is done and an error is returned all the same.
    Unheard,
    /// Whoever asked dies before it is done.
    Kill,
    /// It is done after a while; only writes are waited for.
    Slow(Duration),
}

/// A store whose operations go wrong as a function of how many there were says.
pub(crate) struct Faulty<F> {
    inner: Arc<dyn ObjectStore>,
    plan: F,
    count: AtomicU64,
}

impl<F> std::fmt::Debug for Faulty<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

impl<F> std::fmt::Display for Faulty<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

/// Returns `store` with the faults of `plan`, which is told the number of each operation, from 0.
pub(crate) fn faulty<F>(store: &Store, plan: F) -> Store
where
    F: Fn(u64, Operation) -> Fault + Send + Sync + 'static,
{
    store.wrapped(|inner| over(inner, plan))
}

fn over<F>(inner: Arc<dyn ObjectStore>, plan: F) -> Arc<dyn ObjectStore>
where
    F: Fn(u64, Operation) -> Fault + Send + Sync + 'static,
{
    let count = AtomicU64::new(0);
    Arc::new(Faulty { inner, plan, count })
}

/// Operations that a [`Failing`] store still allows.
#[derive(Debug, Clone)]
pub(crate) struct Failing(Arc<AtomicI64>);

impl Failing {
    /// Returns a store over `inner` that allows `left` writes until they fail, and what allows more.
    pub(crate) fn over(inner: Arc<dyn ObjectStore>, left: i64) -> (Self, Store) {
        let failing = Self(Arc::new(AtomicI64::new(left)));
        let counter = Arc::clone(&failing.0);
        let store = over(inner, move |_, operation| {
            let fails = operation == Operation::Put && counter.fetch_sub(1, Ordering::SeqCst) <= 0;
            if fails { Fault::Refused } else { Fault::None }
        });
        (failing, Store::over(store, "failing:"))
    }

    /// Allows `left` more writes.
    pub(crate) fn allow(&self, left: i64) {
        self.0.store(left, Ordering::SeqCst);
    }
}

fn out_of_order() -> object_store::Error {
    object_store::Error::Generic {
        store: "faulty",
        source: "out of order".into(),
    }
}

impl<F: Fn(u64, Operation) -> Fault> Faulty<F> {
    /// Counts an operation; fails or panics when it is not to be done. Returns whether it is to
    /// fail although it was done.
    fn begin(&self, operation: Operation) -> object_store::Result<bool> {
        Self::carry_on(self.next(operation))
    }

    fn next(&self, operation: Operation) -> (u64, Fault) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        (number, (self.plan)(number, operation))
    }

    fn carry_on((number, fault): (u64, Fault)) -> object_store::Result<bool> {
        match fault {
            Fault::None | Fault::Slow(_) => Ok(false),
            Fault::Refused => Err(out_of_order()),
            Fault::Unheard => Ok(true),
            // Unwinds without the message that a panic prints.
            Fault::Kill => std::panic::resume_unwind(Box::new(number)),
        }
    }

    fn end<T>(unheard: bool, result: object_store::Result<T>) -> object_store::Result<T> {
        if unheard { Err(out_of_order()) } else { result }
    }
}

#[async_trait::async_trait]
impl<F: Fn(u64, Operation) -> Fault + Send + Sync + 'static> ObjectStore for Faulty<F> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        let next = self.next(Operation::Put);
        if let (_, Fault::Slow(pause)) = next {
            tokio::time::sleep(pause).await;
        }
        let unheard = Self::carry_on(next)?;
        Self::end(unheard, self.inner.put_opts(location, payload, opts).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.begin(Operation::Put)?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        let unheard = self.begin(Operation::Get)?;
        Self::end(unheard, self.inner.get_opts(location, options).await)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        match self.begin(Operation::Delete) {
            Err(error) => futures_util::stream::once(async { Err(error) }).boxed(),
            Ok(false) => self.inner.delete_stream(locations),
            Ok(true) => self
                .inner
                .delete_stream(locations)
                .map(|deleted| deleted.and_then(|_| Err(out_of_order())))
                .boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self.begin(Operation::List) {
            Ok(false) => self.inner.list(prefix),
            Ok(true) => futures_util::stream::once(async { Err(out_of_order()) }).boxed(),
            Err(error) => futures_util::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let unheard = self.begin(Operation::List)?;
        Self::end(unheard, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        let unheard = self.begin(Operation::Copy)?;
        Self::end(unheard, self.inner.copy_opts(from, to, options).await)
    }
}
