//! What the machine itself can do, measured in the same run as a server: framed echo, positioned writes, fdatasync. A
//! server's CPU per message divided by the echo's is the figure that travels between machines.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value as Json, json};

use super::engine::Engine;
use super::frames::Template;
use super::load::{Marks, Send, Shape, Window};
use super::{BenchError, ProbeArgs};
use crate::base::disk::{Disk, DiskFile, Open, RealDisk};
use crate::wire::frame::{self, FRAME_LEN_MAX};

/// File that the disk probes write; a commit log file's size would only take longer.
const FILE_LEN: u64 = 256 * 1024 * 1024;
/// One positioned write: about 64 records of 1 KiB bodies.
const WRITE_LEN: usize = 64 * 1280;
/// Longest time for one disk probe.
const DISK_TIME: Duration = Duration::from_secs(3);

/// Runs the probes; the result goes into the report.
pub fn run(args: &ProbeArgs) -> Result<Json, BenchError> {
    let echo = echo(args)?;
    let disk = match &args.dir {
        Some(dir) => disk(dir)?,
        None => Json::Null,
    };
    Ok(json!({ "probe": { "echo": echo, "disk": disk } }))
}

fn echo(args: &ProbeArgs) -> Result<Json, BenchError> {
    let system = |what| move |source| BenchError::System { what, source };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(system("listen for the echo"))?;
    let addr = listener.local_addr().map_err(system("listen for the echo"))?.to_string();
    let connections = args.connections;
    let server = std::thread::Builder::new()
        .name("echo".into())
        .spawn(move || serve(&listener, connections))
        .map_err(system("start the echo thread"))?;
    let addrs = vec![addr; args.connections];
    let mut engine = Engine::connect(&addrs, 0)?;
    let end = (args.seconds * 1e9) as u64;
    let shape = Shape { connections, depth: args.depth, rate: 0.0, window: Window { begin: 0, end } };
    let templates = vec![Template::send("echo", 0, args.size, 0)];
    let mut send = Send::new(templates, shape, args.size, false, Marks::new(false));
    engine.run(&mut send)?;
    drop(engine);
    let (frames, cpu) = match server.join() {
        Ok(result) => result.map_err(system("serve the echo"))?,
        Err(_) => return Err(BenchError::System { what: "serve the echo", source: ErrorKind::Other.into() }),
    };
    Ok(json!({
        "connections": args.connections,
        "depth": args.depth,
        "size": args.size,
        "per_second": (send.counted.messages as f64 / args.seconds).round(),
        "server_cpu_us_per_frame": round(cpu.as_secs_f64() * 1e6 / frames.max(1) as f64),
        "latency_us": send.counted.latency.summary(),
    }))
}

struct Peer {
    stream: TcpStream,
    rest: Vec<u8>,
    out: Vec<u8>,
}

/// Answers every frame with a small one that has its opaque, until all connections have ended. Returns the number of
/// frames and the CPU time of this thread.
fn serve(listener: &TcpListener, connections: usize) -> io::Result<(u64, Duration)> {
    let answer = br#"{"code":0,"flag":1,"opaque":1000000000,"extFields":{"msgId":"7F00000100002A9F0000000000000000","queueId":"0","queueOffset":"0"}}"#;
    let opaque_at = answer.windows(9).position(|window| window == br#""opaque":"#).unwrap_or(0) + 9;
    let mut reply = ((answer.len() + 4) as u32).to_be_bytes().to_vec();
    reply.extend_from_slice(&(answer.len() as u32).to_be_bytes());
    reply.extend_from_slice(answer);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut peers = Vec::new();
    for index in 0..connections {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(&epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        peers.push(Some(Peer { stream, rest: Vec::new(), out: Vec::new() }));
    }
    let mut events = Vec::with_capacity(1024);
    let mut buf = vec![0; 256 * 1024];
    let (mut frames, mut open) = (0, connections);
    while open > 0 {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let data = event.data;
            let place = &mut peers[data.u64() as usize];
            let Some(peer) = place else { continue };
            match turn(peer, &mut buf, &reply, opaque_at + 8) {
                Ok(count) => frames += count,
                Err(_) => {
                    *place = None;
                    open -= 1;
                }
            }
        }
    }
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Ok((frames, Duration::new(used.tv_sec as u64, used.tv_nsec as u32)))
}

fn turn(peer: &mut Peer, buf: &mut [u8], reply: &[u8], opaque_at: usize) -> io::Result<u64> {
    let had = peer.rest.len();
    buf[..had].copy_from_slice(&peer.rest);
    let read = match peer.stream.read(&mut buf[had..]) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    let bytes = &buf[..had + read];
    let (mut taken, mut frames) = (0, 0);
    let invalid = |error: frame::FrameError| io::Error::new(ErrorKind::InvalidData, error);
    while let Some((frame, len)) = frame::parse(&bytes[taken..], FRAME_LEN_MAX).map_err(invalid)? {
        let start = peer.out.len();
        peer.out.extend_from_slice(reply);
        let mark = br#""opaque":"#;
        if let Some(at) = frame.header.windows(mark.len()).rposition(|window| window == mark)
            && let Some(digits) = frame.header.get(at + mark.len()..at + mark.len() + 10)
        {
            peer.out[start + opaque_at..start + opaque_at + 10].copy_from_slice(digits);
        }
        taken += len;
        frames += 1;
    }
    peer.rest.clear();
    peer.rest.extend_from_slice(&bytes[taken..]);
    // The generator never has more in flight than a socket buffer takes; a short write would be a wrong measurement.
    if !peer.out.is_empty() {
        peer.stream.write_all(&peer.out)?;
        peer.out.clear();
    }
    Ok(frames)
}

fn disk(dir: &Path) -> Result<Json, BenchError> {
    let path = dir.join(format!("rocketmq-bench-probe-{}", std::process::id()));
    let fail = |what| {
        let path = path.display().to_string();
        move |source| BenchError::Disk { what, path, source }
    };
    let disk = RealDisk;
    let file = disk.open(&path, Open::Create).map_err(fail("make"))?;
    let measured = || -> Result<Json, BenchError> {
        file.set_len(FILE_LEN).map_err(fail("set the length of"))?;
        file.allocate(0, FILE_LEN).map_err(fail("allocate"))?;
        let fresh = writes(&*file).map_err(fail("write"))?;
        let warm = writes(&*file).map_err(fail("write"))?;
        file.sync_data().map_err(fail("sync"))?;
        let mut groups = serde_json::Map::new();
        for group in [1, 8, 64, 512] {
            groups.insert(group.to_string(), syncs(&*file, group).map_err(fail("sync"))?);
        }
        Ok(json!({ "write_fresh": fresh, "write_warm": warm, "fdatasync_by_group": groups }))
    };
    let result = measured();
    disk.remove_file(&path).map_err(fail("remove"))?;
    result
}

fn writes(file: &dyn DiskFile) -> io::Result<Json> {
    let bytes = vec![b'x'; WRITE_LEN];
    let (start, mut worst, mut pos) = (Instant::now(), Duration::ZERO, 0);
    while pos + WRITE_LEN as u64 <= FILE_LEN && start.elapsed() < DISK_TIME {
        let before = Instant::now();
        file.write_all_at(&bytes, pos)?;
        worst = worst.max(before.elapsed());
        pos += WRITE_LEN as u64;
    }
    let us = start.elapsed().as_secs_f64() * 1e6;
    Ok(json!({ "us_per_kib": round(us * 1024.0 / pos as f64), "worst_us": round(worst.as_secs_f64() * 1e6) }))
}

/// `group` records of about 1.25 KiB, written together, then one fdatasync.
fn syncs(file: &dyn DiskFile, group: usize) -> io::Result<Json> {
    let bytes = vec![b'y'; group * 1280];
    let (start, mut done, mut pos) = (Instant::now(), 0, 0);
    while start.elapsed() < DISK_TIME / 3 {
        if pos + bytes.len() as u64 > FILE_LEN {
            pos = 0;
        }
        file.write_all_at(&bytes, pos)?;
        file.sync_data()?;
        pos += bytes.len() as u64;
        done += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "syncs_per_second": round(f64::from(done) / seconds),
        "records_per_second": round(f64::from(done) * group as f64 / seconds),
    }))
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
