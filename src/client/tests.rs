//! The client against a real server of `net`, and against peers that misbehave.

use std::time::Duration;

use bytes::BytesMut;

use tokio::time::Instant;

use super::link::SILENCE_MAX;
use super::{Client, ClientError};
use crate::base::clock::Clock;
use crate::net::control::ControlRuntime;
use crate::net::limits::Limits;
use crate::net::server::{LoopContext, Running, Server};
use crate::net::service::{Outbox, Outcome, RequestCx, Service};
use crate::wire::command::{Command, Value, language, write_response};

const SECOND: Duration = Duration::from_secs(5);

/// Code 1 echoes, 2 never answers, 3 hangs up, 4 refuses.
struct Peer;

impl Service for Peer {
    type Mail = ();

    fn request(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        let to = request.reply_to();
        match request.code {
            1 => {
                let name = request.ext.get("name").unwrap_or_default();
                let ext = [("name", Value::Str(name)), ("language", Value::Str(request.language_name()))];
                write_response(cx.out, to, 0, None, &ext, request.body);
                Outcome::Done
            }
            2 => Outcome::Held,
            3 => Outcome::Close("asked to".into()),
            _ => {
                write_response(cx.out, to, 17, Some("no such topic"), &[], b"");
                Outcome::Done
            }
        }
    }

    fn mail(&mut self, (): (), _: &mut dyn Outbox) {}
}

fn serve(control: &ControlRuntime) -> (Running<()>, String) {
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], Limits::default()).unwrap();
    let running = server.run(1, Clock::System, control.control(), |_: LoopContext<()>| Peer).unwrap();
    let addr = running.addrs()[0].to_string();
    (running, addr)
}

#[test]
fn calls_share_one_connection_and_find_their_answers() {
    let control = ControlRuntime::start().unwrap();
    let (running, addr) = serve(&control);
    let client = Client::new();
    control.control().handle().block_on(async {
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..100_u32 {
            let (client, addr) = (client.clone(), addr.clone());
            calls.spawn(async move {
                let name = number.to_string();
                let body = vec![number as u8; number as usize * 700];
                let answer = client.request(&addr, 1, &[("name", Value::Str(&name))], &body, SECOND).await.unwrap();
                assert_eq!((answer.code, answer.i64("name")), (0, Some(number.into())));
                assert_eq!(answer.body, body);
            });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
        client.oneway(&addr, 1, &[], b"x", SECOND).await.unwrap();
        for (client, language) in [(client.clone(), "JAVA"), (client.speaking(language::CPP), "CPP")] {
            let answer = client.request(&addr, 1, &[], b"", SECOND).await.unwrap();
            assert_eq!(answer.get("language"), Some(language));
        }
    });
    assert_eq!(running.counts().connections, 1);
    running.shutdown(Duration::ZERO);
}

#[test]
fn failures_name_the_address_and_the_request_and_the_client_connects_again() {
    let control = ControlRuntime::start().unwrap();
    let (running, addr) = serve(&control);
    let client = Client::new();
    control.control().handle().block_on(async {
        let late = client.request(&addr, 2, &[], b"", Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(&late, ClientError::Timeout { timeout_ms: 50, .. }), "{late}");
        assert!(late.to_string().contains(&addr), "{late}");
        let lost = client.request(&addr, 3, &[], b"", SECOND).await.unwrap_err();
        assert!(matches!(&lost, ClientError::Lost { code: 3, .. }), "{lost}");
        let refused = client.call(&addr, 4, &[], b"", SECOND).await.unwrap_err();
        assert_eq!(refused.response(), Some(17));
        assert!(refused.to_string().contains("no such topic"), "{refused}");
        assert!(client.call(&addr, 1, &[], b"", SECOND).await.is_ok());
        let huge = client.call(&addr, 1, &[], &vec![0; 17 << 20], SECOND).await.unwrap_err();
        assert!(matches!(huge, ClientError::TooLong { .. }), "{huge}");
    });
    running.shutdown(Duration::ZERO);
    control.control().handle().block_on(async {
        let gone = client.request(&addr, 1, &[], b"", SECOND).await.unwrap_err();
        assert!(matches!(&gone, ClientError::Connect { .. } | ClientError::Lost { .. }), "{gone}");
        let gone = client.request(&addr, 1, &[], b"", SECOND).await.unwrap_err();
        assert!(matches!(&gone, ClientError::Connect { .. }), "{gone}");
    });
}

#[test]
fn a_connection_through_which_nothing_comes_is_given_up_and_whoever_stops_waiting_leaves_nothing() {
    let control = ControlRuntime::start().unwrap();
    let (running, addr) = serve(&control);
    let client = Client::new();
    control.control().handle().block_on(async {
        let unanswered = async || {
            client.request(&addr, 2, &[], b"", Duration::from_millis(50)).await.unwrap_err();
        };
        let link = client.link(&addr, 2).await.unwrap();
        let late = || link.unanswered(Instant::now() + SILENCE_MAX);
        late();
        assert!(link.is_open(), "nothing was asked");
        unanswered().await;
        assert!(link.is_open(), "it may come yet");
        client.call(&addr, 1, &[], b"", SECOND).await.unwrap();
        late();
        assert!(link.is_open(), "the answer to another call is a sign of life");
        unanswered().await;
        late();
        assert!(!link.is_open());
        client.call(&addr, 1, &[], b"", SECOND).await.unwrap();
        let link = client.link(&addr, 2).await.unwrap();
        let cancelled = tokio::time::timeout(Duration::from_millis(50), client.request(&addr, 2, &[], b"", SECOND));
        assert!(cancelled.await.is_err());
        assert_eq!(link.waiting(), 0);
    });
    running.shutdown(Duration::ZERO);
}

#[test]
fn an_answer_that_is_no_frame_ends_the_call_at_once() {
    let control = ControlRuntime::start().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let peer = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = BytesMut::zeroed(8);
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        stream
    });
    let error = control.control().handle().block_on(Client::new().request(&addr, 1, &[], b"", SECOND)).unwrap_err();
    assert!(matches!(&error, ClientError::Lost { .. }) && error.to_string().contains("limit"), "{error}");
    drop(peer.join().unwrap());
}
