//! A small HTTP server for what watches a process: metrics, probes. One thread for the connections and one for answers
//! that take time, both beside the event loops and the control runtime, so that a stuck loop can still be told. The only
//! door to hyper; knows paths and bytes, not what is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::server::{ServerError, listen};
use crate::base::{machine, shutdown};

mod io_door;

/// Bytes of a request's line and headers.
pub const REQUEST_LEN_MAX: usize = 16 * 1024;
/// Headers of a request.
pub const HEADERS_MAX: usize = 64;
/// Large answers that are made or sent at once: each may be many megabytes, which stay until the peer has taken them. Whoever
/// asks for one more waits.
pub const LARGE_ANSWERS_MAX: usize = 2;

/// What a peer may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more is closed right after it was accepted. A Prometheus needs one, a probe one for a moment.
    pub connections_max: usize,
    /// How long a request may take to arrive, and how long a connection may be idle between two: longer than the usual
    /// interval of a Prometheus, so that it keeps its connection.
    pub request_timeout: Duration,
    /// How long an answer may take to be made, the wait for its turn included.
    pub answer_timeout: Duration,
    /// How long a peer may take to read an answer that does not fit into its socket at once.
    pub send_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 64,
            request_timeout: Duration::from_secs(90),
            answer_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(20),
        }
    }
}

/// Pause after a failed accept, so that a full descriptor table does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// A line or more of plain text.
    pub fn text(status: u16, text: impl Into<String>) -> Response {
        Response { status, content_type: TEXT, body: text.into().into() }
    }
}

/// Makes an answer.
pub type Make = Box<dyn FnOnce() -> Response + Send>;

/// How a path is answered.
pub enum Answer {
    /// At once; made on the thread of the connections, so it must not wait for anything.
    Now(Response),
    /// By work that may take time or wait for a disk.
    Slow(Make),
    /// As `Slow`, by a page that may be many megabytes.
    Large(Make),
}

/// What is answered to a path; `None` is "404".
pub type Pages = Arc<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// A bound listener that does not accept yet.
#[derive(Debug)]
pub struct HttpServer {
    listener: std::net::TcpListener,
    addr: SocketAddr,
    runtime: Runtime,
    limits: Limits,
}

/// A running server. Dropping it stops it at once: nobody who watches is owed an answer.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    stop: shutdown::Trigger,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens (port 0 takes a free one); nothing is accepted before `run`.
    pub fn bind(addr: SocketAddr, limits: Limits) -> Result<HttpServer, ServerError> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .thread_name("http-slow")
            // A large page takes a core for tens of milliseconds, and messages do not wait for it.
            .on_thread_start(machine::stand_back)
            .max_blocking_threads(1)
            .build()
            .map_err(|source| ServerError::Start { what: "the HTTP server".into(), source })?;
        let (listener, addr) = {
            let _entered = runtime.enter();
            listen(addr).map_err(|source| ServerError::Bind { addr, source })?
        };
        Ok(HttpServer { listener, addr, runtime, limits })
    }

    /// The address really listened on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers from now on.
    pub fn run(self, pages: Pages) -> Result<Running, ServerError> {
        let HttpServer { listener, addr, runtime, limits } = self;
        let (stop, mut stopped) = shutdown::channel();
        let serve = move || {
            machine::stand_back();
            runtime.block_on(async move {
                tokio::select! {
                    () = stopped.stopped() => {}
                    () = accept(listener, addr, Served::new(pages, limits)) => {}
                }
            });
            // A slow answer may wait for a broken disk: the stop does not.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(serve);
        let thread = thread.map_err(|source| ServerError::Start { what: "thread http".into(), source })?;
        Ok(Running { addr, stop, thread: Some(thread) })
    }
}

impl Running {
    /// The address listened on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.stop();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("thread http panicked; the panic is in the log above");
        }
    }
}

/// What all connections share.
struct Served {
    pages: Pages,
    limits: Limits,
    /// One answer is made at a time. Who has waited in vain leaves nothing behind that would still be made.
    making: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Served {
    fn new(pages: Pages, limits: Limits) -> Arc<Served> {
        let (making, large) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(LARGE_ANSWERS_MAX)));
        Arc::new(Served { pages, limits, making, large })
    }
}

async fn accept(listener: std::net::TcpListener, addr: SocketAddr, served: Arc<Served>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("no metrics on {addr}: cannot watch its socket: {error}"),
    };
    let connections_max = served.limits.connections_max;
    let room = Arc::new(Semaphore::new(connections_max));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("cannot accept a connection on {addr}: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            tracing::debug!("connection on {addr} refused: {connections_max} are open, which is the limit");
            continue;
        };
        let served = served.clone();
        tokio::spawn(async move {
            serve(stream, served).await;
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, served: Arc<Served>) {
    let Limits { request_timeout, send_timeout, .. } = served.limits;
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let served = served.clone();
        async move { Ok::<_, Infallible>(served.answer(&request).await) }
    });
    let ended = hyper::server::conn::http1::Builder::new()
        .timer(io_door::Timer)
        .header_read_timeout(request_timeout)
        .max_buf_size(REQUEST_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(io_door::Stream::new(stream, send_timeout), service)
        .await;
    if let Err(error) = ended {
        tracing::debug!("an HTTP connection ended: {error}");
    }
}

impl Served {
    async fn answer(&self, request: &hyper::Request<Incoming>) -> hyper::Response<Once> {
        let path = request.uri().path();
        let (response, large) = match (request.method(), (self.pages)(path)) {
            (&Method::GET | &Method::HEAD, Some(Answer::Now(response))) => (response, None),
            (&Method::GET | &Method::HEAD, Some(Answer::Slow(make))) => self.make(path, make, false).await,
            (&Method::GET | &Method::HEAD, Some(Answer::Large(make))) => self.make(path, make, true).await,
            (_, None) => (Response::text(404, format!("there is nothing at {path}\n")), None),
            (_, Some(_)) => (Response::text(405, "only GET and HEAD are answered here\n"), None),
        };
        let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Some(Piece { bytes: response.body, _large: large });
        let mut answer = hyper::Response::new(Once(body.filter(|piece| !piece.bytes.is_empty())));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(response.content_type));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        }
        answer
    }

    /// Makes an answer when it is its turn; a large one keeps its place until it is sent.
    async fn make(&self, path: &str, make: Make, is_large: bool) -> (Response, Option<OwnedSemaphorePermit>) {
        let made = async {
            let large = match is_large {
                true => Some(self.large.clone().acquire_owned().await?),
                false => None,
            };
            let turn = self.making.clone().acquire_owned().await?;
            // The turn ends with the work, not with the wait for it.
            let made = tokio::task::spawn_blocking(move || {
                let response = make();
                drop(turn);
                response
            });
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((made.await?, large))
        };
        match timeout(self.limits.answer_timeout, made).await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => {
                tracing::error!("{path} could not be answered: {error}");
                (Response::text(500, "the answer could not be made; the log says why\n"), None)
            }
            Err(_) => {
                let waited = self.limits.answer_timeout.as_secs_f64();
                let told = format!("the answer was not ready within {waited} s: is the disk stuck?\n");
                (Response::text(503, told), None)
            }
        }
    }
}

/// A body, and with a large one its place among those that are sent.
struct Piece {
    bytes: Bytes,
    _large: Option<OwnedSemaphorePermit>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, len: usize) {
        self.bytes.advance(len);
    }
}

/// A body in one piece.
struct Once(Option<Piece>);

impl Body for Once {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        Poll::Ready(self.0.take().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |piece| piece.bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn server(pages: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Running {
        limited(Limits::default(), pages)
    }

    fn limited(limits: Limits, pages: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Running {
        let server = HttpServer::bind("127.0.0.1:0".parse().expect("an address"), limits).expect("a free port");
        server.run(Arc::new(pages)).expect("a thread")
    }

    fn now(_: &str) -> Option<Answer> {
        Some(Answer::Now(Response::text(200, "now\n")))
    }

    fn open(running: &Running, request: &str) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(running.addr()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.write_all(request.as_bytes()).expect("it reads");
        stream
    }

    /// What comes until the connection is closed, in whatever way.
    fn rest(stream: std::net::TcpStream) -> Vec<u8> {
        rest_by(stream, 1 << 16)
    }

    /// The same, read in small parts.
    fn rest_by(mut stream: std::net::TcpStream, part_len: usize) -> Vec<u8> {
        let (mut all, mut part) = (Vec::new(), vec![0; part_len]);
        loop {
            match stream.read(&mut part) {
                Ok(0) => return all,
                Ok(len) => all.extend_from_slice(&part[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
                Err(error) => panic!("it is still open: {error}"),
            }
        }
    }

    fn ask(running: &Running, request: &str) -> String {
        let mut answer = String::new();
        open(running, request).read_to_string(&mut answer).expect("it answers and closes");
        answer
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    #[test]
    fn paths_are_answered_at_once_or_by_work_and_others_are_404() {
        let running = server(|path| match path {
            "/now" => Some(Answer::Now(Response::text(200, "now\n"))),
            "/slow" => Some(Answer::Slow(Box::new(|| Response::text(503, "slow\n")))),
            "/panic" => Some(Answer::Slow(Box::new(|| panic!("on purpose")))),
            _ => None,
        });
        let now = ask(&running, &get("/now?a=b"));
        assert!(now.starts_with("HTTP/1.1 200 OK\r\n") && now.ends_with("\r\n\r\nnow\n"), "{now}");
        assert!(now.contains("content-type: text/plain; charset=utf-8\r\n") && now.contains("content-length: 4\r\n"));
        assert!(ask(&running, &get("/slow")).starts_with("HTTP/1.1 503 "));
        assert!(ask(&running, &get("/panic")).starts_with("HTTP/1.1 500 "));
        assert!(ask(&running, &get("/no")).starts_with("HTTP/1.1 404 "));
        let head = ask(&running, "HEAD /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        let post = ask(&running, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD\r\n"), "{post}");
    }

    #[test]
    fn what_is_no_request_or_too_long_ends_the_connection_and_nothing_else() {
        let running = server(|_| Some(Answer::Now(Response::text(200, "ok\n"))));
        let bad = ask(&running, "NOT HTTP\r\n\r\n");
        assert!(bad.starts_with("HTTP/1.1 400 ") || bad.is_empty(), "{bad}");
        let long = ask(&running, &format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(REQUEST_LEN_MAX)));
        assert!(long.starts_with("HTTP/1.1 431 "), "{long}");
        assert!(ask(&running, &get("/")).ends_with("ok\n"));
    }

    #[test]
    fn what_cannot_be_made_in_time_is_told_and_quick_answers_go_on() {
        let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
        let held = Arc::new(parking_lot::Mutex::new(held));
        let limits = Limits { answer_timeout: Duration::from_millis(200), ..Limits::default() };
        let running = limited(limits, move |path| match path {
            "/stuck" => {
                let held = held.clone();
                Some(Answer::Large(Box::new(move || {
                    held.lock().recv().expect("the test releases it");
                    Response::text(200, "made\n")
                })))
            }
            "/slow" => Some(Answer::Slow(Box::new(|| Response::text(200, "slow\n")))),
            path => now(path),
        });
        for path in ["/stuck", "/stuck", "/stuck", "/slow"] {
            let told = ask(&running, &get(path));
            assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("not ready within 0.2 s"), "{told}");
            assert!(ask(&running, &get("/")).ends_with("now\n"));
        }
        // Of those that were given up only the one under way is still made.
        release.send(()).expect("it waits");
        let deadline = std::time::Instant::now() + PATIENCE;
        while !ask(&running, &get("/slow")).ends_with("slow\n") {
            assert!(std::time::Instant::now() < deadline, "the turn of what is made has not ended");
        }
    }

    #[test]
    fn who_asks_for_nothing_is_closed_be_it_at_once_in_the_middle_or_after_an_answer() {
        let running = limited(Limits { request_timeout: Duration::from_millis(100), ..Limits::default() }, now);
        for (request, answer) in
            [("", ""), ("GET / HTTP/1.1\r\nHost:", ""), ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "now\n")]
        {
            let told = rest(open(&running, request));
            let told = String::from_utf8_lossy(&told);
            assert!(told.ends_with(answer), "{request:?}: {told}");
        }
    }

    #[test]
    fn who_does_not_read_or_slowly_is_closed_and_gives_up_its_place_among_the_large_answers() {
        // More than the sockets of both sides take.
        const LEN: usize = 64 << 20;
        let limits = Limits { send_timeout: Duration::from_millis(500), ..Limits::default() };
        let page = Bytes::from(vec![b'x'; LEN]);
        let running = limited(limits, move |_| {
            let page = page.clone();
            Some(Answer::Large(Box::new(move || Response { status: 200, content_type: TEXT, body: page })))
        });
        let slow = open(&running, &get("/"));
        let slow = std::thread::spawn(move || rest_by(slow, 16));
        let silent: Vec<_> = (1..LARGE_ANSWERS_MAX).map(|_| open(&running, &get("/"))).collect();
        // A reader has its turn after them, and is itself closed if the machine is too busy to let it read.
        let deadline = std::time::Instant::now() + PATIENCE;
        while rest(open(&running, &get("/"))).len() < LEN {
            assert!(std::time::Instant::now() < deadline, "no reader was served");
        }
        for stream in silent {
            assert!(rest(stream).len() < LEN, "who did not read got everything");
        }
        assert!(slow.join().expect("it is closed").len() < LEN, "who read slowly got everything");
    }

    #[test]
    fn a_connection_too_many_is_closed_until_there_is_room() {
        let running = limited(Limits { connections_max: 2, ..Limits::default() }, now);
        let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut kept: Vec<_> = (0..2).map(|_| open(&running, request)).collect();
        for stream in &mut kept {
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"HTTP/1.1 200");
        }
        let try_one = || {
            let mut stream = std::net::TcpStream::connect(running.addr()).expect("it listens");
            // Who is closed at once may not even get its request out.
            let sent = stream.write_all(get("/").as_bytes());
            sent.map(|()| rest(stream)).unwrap_or_default()
        };
        assert_eq!(try_one(), b"", "a third one");
        kept.pop();
        let deadline = std::time::Instant::now() + PATIENCE;
        while !try_one().ends_with(b"now\n") {
            assert!(std::time::Instant::now() < deadline, "there is room again");
        }
    }
}
