//! A small HTTP server for what watches a process: metrics, probes. One thread for the connections and one for answers
//! that take time, both beside the event loops and the control runtime, so that a stuck loop can still be told. The only
//! door to hyper; knows paths and bytes, not what is told.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::server::{ServerError, listen};
use crate::base::{machine, shutdown};

mod io_door;

/// Connections at once; one more is closed right after it was accepted. A Prometheus needs one, a probe one for a moment.
pub const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request's line and headers.
pub const REQUEST_LEN_MAX: usize = 16 * 1024;
/// Headers of a request.
pub const HEADERS_MAX: usize = 64;
/// How long a request may take to arrive, and how long a connection may be idle between two: longer than the usual
/// interval of a Prometheus, so that it keeps its connection.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);
/// How long an answer may take to be made.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a peer may take nothing of what is sent to it.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers that take time: one being made and one waiting. Each can be many megabytes.
pub const SLOW_ANSWERS_MAX: usize = 2;

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

/// How a path is answered.
pub enum Answer {
    /// At once; made on the thread of the connections, so it must not wait for anything.
    Now(Response),
    /// By work that may take time or wait for a disk.
    Slow(Box<dyn FnOnce() -> Response + Send>),
}

/// What is answered to a path; `None` is "404".
pub type Pages = Arc<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// A bound listener that does not accept yet.
#[derive(Debug)]
pub struct HttpServer {
    listener: std::net::TcpListener,
    addr: SocketAddr,
    runtime: Runtime,
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
    pub fn bind(addr: SocketAddr) -> Result<HttpServer, ServerError> {
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
        Ok(HttpServer { listener, addr, runtime })
    }

    /// The address really listened on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers from now on.
    pub fn run(self, pages: Pages) -> Result<Running, ServerError> {
        let HttpServer { listener, addr, runtime } = self;
        let (stop, mut stopped) = shutdown::channel();
        let serve = move || {
            machine::stand_back();
            runtime.block_on(async move {
                tokio::select! {
                    () = stopped.stopped() => {}
                    () = accept(listener, addr, pages) => {}
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

async fn accept(listener: std::net::TcpListener, addr: SocketAddr, pages: Pages) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("no metrics on {addr}: cannot watch its socket: {error}"),
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let slow = Arc::new(Semaphore::new(SLOW_ANSWERS_MAX));
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
            tracing::debug!("connection on {addr} refused: {CONNECTIONS_MAX} are open, which is the limit");
            continue;
        };
        let (pages, slow) = (pages.clone(), slow.clone());
        tokio::spawn(async move {
            serve(stream, pages, slow).await;
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, pages: Pages, slow: Arc<Semaphore>) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (pages, slow) = (pages.clone(), slow.clone());
        async move { Ok::<_, Infallible>(answer(&request, &pages, &slow).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(io_door::Timer)
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(REQUEST_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(io_door::Stream::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("an HTTP connection ended: {error}");
    }
}

async fn answer(request: &hyper::Request<Incoming>, pages: &Pages, slow: &Arc<Semaphore>) -> hyper::Response<Once> {
    let path = request.uri().path();
    let response = match (request.method(), pages(path)) {
        (&Method::GET | &Method::HEAD, Some(Answer::Now(response))) => response,
        (&Method::GET | &Method::HEAD, Some(Answer::Slow(make))) => make_slowly(path, make, slow).await,
        (_, None) => Response::text(404, format!("there is nothing at {path}\n")),
        (_, Some(_)) => Response::text(405, "only GET and HEAD are answered here\n"),
    };
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Once(Some(response.body).filter(|body| !body.is_empty()));
    let mut answer = hyper::Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(response.content_type));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

async fn make_slowly(path: &str, make: Box<dyn FnOnce() -> Response + Send>, slow: &Arc<Semaphore>) -> Response {
    let Ok(permit) = slow.clone().try_acquire_owned() else {
        return Response::text(
            503,
            format!("{SLOW_ANSWERS_MAX} answers are being made already; ask for {path} later\n"),
        );
    };
    // The permit ends with the work, not with the wait for it.
    let made = tokio::task::spawn_blocking(move || {
        let response = make();
        drop(permit);
        response
    });
    match timeout(ANSWER_TIMEOUT, made).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!("{path} could not be answered: {error}");
            Response::text(500, "the answer could not be made; the log says why\n")
        }
        Err(_) => {
            let waited = ANSWER_TIMEOUT.as_secs();
            Response::text(503, format!("the answer was not ready within {waited} s: is the disk stuck?\n"))
        }
    }
}

/// A body in one piece.
struct Once(Option<Bytes>);

impl Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// What a stalled write is reported as.
fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the peer took nothing for {} s", WRITE_TIMEOUT.as_secs()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn server(pages: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Running {
        let server = HttpServer::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        server.run(Arc::new(pages)).expect("a thread")
    }

    fn ask(running: &Running, request: &str) -> String {
        let mut stream = std::net::TcpStream::connect(running.addr()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and closes");
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
    fn more_slow_answers_than_allowed_are_refused_and_quick_ones_go_on() {
        let (release, held) = std::sync::mpsc::sync_channel::<()>(SLOW_ANSWERS_MAX);
        let held = Arc::new(parking_lot::Mutex::new(held));
        let running = server(move |path| {
            let held = held.clone();
            match path {
                "/slow" => Some(Answer::Slow(Box::new(move || {
                    held.lock().recv().expect("the test releases it");
                    Response::text(200, "slow\n")
                }))),
                _ => Some(Answer::Now(Response::text(200, "now\n"))),
            }
        });
        std::thread::scope(|scope| {
            let ask_slow = || scope.spawn(|| ask(&running, &get("/slow")));
            let asked: Vec<_> = (0..SLOW_ANSWERS_MAX + 1).map(|_| ask_slow()).collect();
            let refused = loop {
                if let Some(place) = asked.iter().position(|asked| asked.is_finished()) {
                    break place;
                }
                assert!(ask(&running, &get("/")).ends_with("now\n"), "quick answers go on");
            };
            (0..SLOW_ANSWERS_MAX).for_each(|_| release.send(()).expect("it waits"));
            for (place, asked) in asked.into_iter().enumerate() {
                let told = asked.join().expect("it ends");
                let expected = if place == refused { "HTTP/1.1 503 " } else { "HTTP/1.1 200 " };
                assert!(told.starts_with(expected), "{told}");
            }
        });
    }
}
