//! A seeded mutational fuzzer in plain Rust: seeds and a kept corpus, random changes, and inputs that showed something
//! new are changed further. "New" is what the target says of an input: a small number that stands for what happened.
//!
//! A run fails on a panic, on a property that does not hold, on an input that takes too long, and on one that makes the
//! thread hold too much memory. The input is written to a file, and the message tells how to run it again.
//!
//! `FUZZ_SECONDS` (default 1) is the processor time of each target, `FUZZ_SEED` the start of the random numbers,
//! `FUZZ_REPLAY` a file to run instead, `FUZZ_KEEP=1` adds what showed something new to
//! `tests/fuzz/corpus`, up to a number of files.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::{Condvar, Mutex};
use rustix::time::{ClockId, clock_gettime};

/// Longest input; longer ones find nothing that these do not.
const INPUT_LEN_MAX: usize = 8 * 1024;
/// Most inputs that are changed further.
const POOL_MAX: usize = 4096;
/// Most files of a target's corpus; what is kept is committed.
const CORPUS_MAX: usize = 48;
/// Processor time that one input may take.
const INPUT_CPU_MAX: Duration = Duration::from_secs(2);
/// Time after which an input that does not come back is a hang, whatever else the machine does.
const HANG: Duration = Duration::from_secs(60);

/// A decoder under test.
pub struct Target {
    /// Its name, also of its folder in the corpus.
    pub name: &'static str,
    /// Runs one input; `Ok` is what happened, as a small number, `Err` a property that does not hold.
    pub run: fn(&[u8]) -> Result<u64, String>,
    /// Pieces that its format is made of.
    pub tokens: &'static [&'static [u8]],
    /// Bytes that an input may make the thread hold: so many, and so many more for each of its bytes.
    pub memory: (usize, usize),
}

/// Runs a target for its time.
pub fn fuzz(target: &Target, seeds: &[Vec<u8>]) {
    let setting = |name: &str, default: u64| {
        env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let guard = Watchdog::start(target.name);
    if let Ok(path) = env::var("FUZZ_REPLAY") {
        let input = fs::read(&path).unwrap_or_else(|error| panic!("FUZZ_REPLAY={path}: {error}"));
        check(target, &guard, &input);
        return;
    }
    let seconds = setting("FUZZ_SECONDS", 1);
    let keep = setting("FUZZ_KEEP", 0) == 1;
    let seed = setting("FUZZ_SEED", 0x5eed);
    let mut rng = Rng::with_seed(seed ^ hash(target.name.as_bytes()));

    let mut seen = BTreeSet::new();
    let mut pool: Vec<Vec<u8>> = Vec::new();
    let corpus = corpus(target.name);
    let mut kept = corpus.len();
    for input in seeds.iter().cloned().chain(corpus) {
        seen.insert(check(target, &guard, &input));
        pool.push(input);
    }
    assert!(!pool.is_empty(), "{}: a fuzzer needs seeds", target.name);

    let began = cpu_time();
    let mut iterations = 0u64;
    while cpu_time() - began < Duration::from_secs(seconds) {
        for _ in 0..16 {
            let mut input = pool[rng.usize(..pool.len())].clone();
            for _ in 0..1 << rng.u32(0..4) {
                mutate(&mut rng, &mut input, &pool, target.tokens);
            }
            input.truncate(INPUT_LEN_MAX);
            iterations += 1;
            if seen.insert(check(target, &guard, &input)) && pool.len() < POOL_MAX {
                if keep && kept < CORPUS_MAX {
                    kept += 1;
                    store(&corpus_dir(target.name), &input);
                }
                pool.push(input);
            }
        }
    }
    println!(
        "fuzz {}: {iterations} inputs in {seconds} s of processor time, {} outcomes, seed {seed}",
        target.name,
        seen.len()
    );
}

/// A small number out of an error: its text without digits and without what it quotes from the input.
pub fn outcome(what: &impl std::fmt::Debug) -> u64 {
    let text = format!("{what:?}");
    let told: String = text.split("\\\"").step_by(2).collect();
    let letters: Vec<u8> = told.bytes().filter(u8::is_ascii_alphabetic).take(100).collect();
    hash(&letters)
}

/// A small number out of a few counts and flags.
pub fn shape(what: &impl std::fmt::Debug) -> u64 {
    hash(format!("{what:?}").as_bytes())
}

/// FNV-1a.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn check(target: &Target, guard: &Watchdog, input: &[u8]) -> u64 {
    guard.begin(input);
    let began = cpu_time();
    let held = HELD.get();
    PEAK.set(held);
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = cpu_time() - began;
    let held = PEAK.get() - held;
    guard.end();
    let allowed = target.memory.0 + input.len() * target.memory.1;
    let trouble = match result {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
        }
        Ok(Err(broken)) => broken,
        Ok(Ok(_)) if took > INPUT_CPU_MAX => format!("took {took:?}"),
        Ok(Ok(_)) if held > allowed as i64 => format!("held {held} bytes, {allowed} are allowed"),
        Ok(Ok(outcome)) => return outcome,
    };
    panic!("{}: {trouble}\n{}", target.name, replay(target.name, input));
}

fn replay(name: &str, input: &[u8]) -> String {
    let path = store(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(name), input);
    format!("run it again: FUZZ_REPLAY={} cargo test --test fuzz -- --exact {name}", path.display())
}

fn store(dir: &PathBuf, input: &[u8]) -> PathBuf {
    let path = dir.join(format!("{:016x}", hash(input)));
    let written = fs::create_dir_all(dir).and_then(|()| fs::write(&path, input));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    path
}

fn corpus_dir(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(corpus_dir(name)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a corpus entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a corpus file")).collect()
}

fn mutate(rng: &mut Rng, input: &mut Vec<u8>, pool: &[Vec<u8>], tokens: &[&[u8]]) {
    const BYTES: &[u8] = b"\0\x01\x02\x7f\x80\xff \"\\{}[]:,'019-n";
    const WORDS: &[u32] = &[0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let len = input.len();
    let at = rng.usize(..=len);
    let span = |rng: &mut Rng| at..(at + rng.usize(..=16.min(len - at)));
    match rng.u32(0..12) {
        0 if at < len => input[at] ^= 1 << rng.u32(0..8),
        1 if at < len => input[at] = BYTES[rng.usize(..BYTES.len())],
        2 if at < len => input[at] = input[at].wrapping_add(rng.u8(0..5)).wrapping_sub(2),
        3 => input.insert(at, BYTES[rng.usize(..BYTES.len())]),
        4 => drop(input.drain(span(rng))),
        5 => {
            let copy = input[span(rng)].repeat(rng.usize(1..4));
            let to = rng.usize(..=len);
            input.splice(to..to, copy);
        }
        6 if at + 4 <= len => {
            let word = WORDS[rng.usize(..WORDS.len())].wrapping_add(rng.u32(0..3)).wrapping_sub(1);
            input[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        7 if at + 2 <= len => {
            let word = WORDS[rng.usize(..WORDS.len())] as u16;
            input[at..at + 2].copy_from_slice(&word.to_be_bytes());
        }
        8 => input.truncate(at),
        9 => {
            let other = &pool[rng.usize(..pool.len())];
            let from = rng.usize(..=other.len());
            let piece = &other[from..(from + rng.usize(..=64)).min(other.len())];
            input.splice(span(rng), piece.iter().copied());
        }
        10 | 11 if !tokens.is_empty() => {
            let token = tokens[rng.usize(..tokens.len())];
            input.splice(span(rng), token.iter().copied());
        }
        _ => input.push(rng.u8(..)),
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Ends the process when an input does not come back.
struct Watchdog {
    shared: Arc<(Mutex<Watched>, Condvar)>,
}

#[derive(Default)]
struct Watched {
    input: Option<Vec<u8>>,
    number: u64,
    over: bool,
}

impl Watchdog {
    fn start(name: &'static str) -> Watchdog {
        let shared = Arc::new((Mutex::new(Watched::default()), Condvar::new()));
        let theirs = shared.clone();
        let watch = move || {
            let (lock, wake) = &*theirs;
            let mut watched = lock.lock();
            while !watched.over {
                let number = watched.number;
                let _timed_out = wake.wait_while_for(&mut watched, |watched| !watched.over, HANG);
                if let Some(input) = watched.input.as_ref().filter(|_| !watched.over && watched.number == number) {
                    eprintln!("{name}: no end after {HANG:?}\n{}", replay(name, input));
                    process::abort();
                }
            }
        };
        std::thread::Builder::new().name(format!("watch {name}")).spawn(watch).expect("a thread");
        Watchdog { shared }
    }

    fn begin(&self, input: &[u8]) {
        let mut watched = self.shared.0.lock();
        watched.input = Some(input.to_vec());
        watched.number += 1;
    }

    fn end(&self) {
        self.shared.0.lock().input = None;
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.0.lock().over = true;
        self.shared.1.notify_all();
    }
}

/// The system's allocator, counting what each thread holds.
pub struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

fn count(change: i64) {
    // A thread that ends has no counters any more, and nobody asks for them.
    let _counted = HELD.try_with(|held| {
        held.set(held.get() + change);
        PEAK.try_with(|peak| peak.set(peak.get().max(held.get())))
    });
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as i64 - layout.size() as i64);
        unsafe { System.realloc(block, layout, new_size) }
    }
}
