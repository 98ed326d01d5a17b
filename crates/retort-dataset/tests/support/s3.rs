//! An S3 server for tests: real HTTP on a free port of this machine, signatures checked, objects in
//! a folder, and faults when asked for.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse};
use s3s_fs::FileSystem;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The only bucket.
pub(crate) const BUCKET: &str = "bucket";

/// The key that signs, as secrets look.
pub(crate) const SECRET: &str = "canary+secret/of+the/S3+server";

const KEY_ID: &str = "TESTKEYID";

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not.
    None,
    /// It is answered with this status and nothing is done.
    Status(u16),
    /// It is answered late.
    Slow(Duration),
    /// The connection breaks when half of the body has reached the store.
    CutRequest,
    /// The store has done it; the connection breaks before the answer.
    CutAnswer,
}

#[derive(Debug, Default)]
struct Faults {
    /// Faults of the next requests, in order.
    next: VecDeque<Fault>,
    /// While set, connections are closed at once.
    down: bool,
}

/// A running server; stopped when dropped.
#[derive(Debug)]
pub(crate) struct S3Server {
    address: SocketAddr,
    folder: PathBuf,
    faults: Arc<Mutex<Faults>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl S3Server {
    /// Serves what is in `folder`, on its own thread, so that a test's paused time is not its own.
    pub(crate) fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join(BUCKET)).expect("a folder for the bucket");
        let mut builder =
            S3ServiceBuilder::new(FileSystem::new(folder).expect("a folder that is there"));
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let faults = Arc::new(Mutex::new(Faults::default()));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&faults);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a runtime with sockets");
                tokio::select! {
                    () = serve(listener, service, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            folder: folder.to_owned(),
            faults,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns where it listens.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the variables that a client needs.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let endpoint = ("AWS_ENDPOINT_URL".to_owned(), self.endpoint());
        variables.map(own).into_iter().chain([endpoint]).collect()
    }

    /// Returns the folder that holds the bucket's objects.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.folder.join(BUCKET)
    }

    /// Lets the next requests go wrong like this, one after the other.
    pub(crate) fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().expect("no panic").next.extend(faults);
    }

    /// Returns how many injected faults have not happened yet.
    pub(crate) fn faults_left(&self) -> usize {
        self.faults.lock().expect("no panic").next.len()
    }

    /// Takes the server away, or brings it back.
    pub(crate) fn set_down(&self, down: bool) {
        self.faults.lock().expect("no panic").down = down;
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(listener: TcpListener, service: S3Service, faults: Arc<Mutex<Faults>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        if faults.lock().expect("no panic").down {
            continue;
        }
        connections.spawn(connection(stream, service.clone(), Arc::clone(&faults)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, service: S3Service, faults: Arc<Mutex<Faults>>) {
    let handler = service_fn(move |request| answer(service.clone(), Arc::clone(&faults), request));
    // A connection that breaks is the client's to notice.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), handler)
            .await,
    );
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

async fn answer(
    service: S3Service,
    faults: Arc<Mutex<Faults>>,
    request: hyper::Request<Incoming>,
) -> Result<HttpResponse, Cut> {
    let fault = {
        let mut faults = faults.lock().expect("no panic");
        if faults.down {
            return Err(Cut);
        }
        faults.next.pop_front().unwrap_or(Fault::None)
    };
    match fault {
        Fault::None => {}
        Fault::Status(status) => {
            let mut response = HttpResponse::new(Body::empty());
            *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
            return Ok(response);
        }
        Fault::Slow(pause) => tokio::time::sleep(pause).await,
        Fault::CutRequest => {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.map_err(|_| Cut)?.to_bytes();
            let half = Body::http_body_unsync(half_of(&bytes));
            drop(service.call(hyper::Request::from_parts(parts, half)).await);
            return Err(Cut);
        }
        Fault::CutAnswer => {
            drop(service.call(request.map(Body::from)).await);
            return Err(Cut);
        }
    }
    service.call(request.map(Body::from)).await.map_err(|_| Cut)
}

/// Returns a body that breaks off half-way.
fn half_of(
    bytes: &Bytes,
) -> StreamBody<
    impl futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + 'static + use<>,
> {
    let half = bytes.slice(..bytes.len() / 2);
    let broken = std::io::ErrorKind::ConnectionReset.into();
    StreamBody::new(futures_util::stream::iter([
        Ok(Frame::data(half)),
        Err(broken),
    ]))
}
