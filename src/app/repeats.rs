//! Repeats in the log, collapsed: a line that says what its place in the code said just before is counted instead of
//! written, and so is a flood of different lines from one place. What was counted is told at the end of its window.
//! Memory is bounded by the number of places in the code times `TEXTS_MAX`.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

/// How long lines are counted before it is told how many there were.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Most different texts that are remembered of one place in the code and window.
pub const TEXTS_MAX: usize = 16;
/// Most lines of INFO and above that one place in the code writes in a window; further ones are counted.
pub const LINES_MAX: u64 = 200;
/// Longest part of a text that is told again, in bytes.
const TOLD_LEN_MAX: usize = 200;

/// The lines of one place in the code in one window.
#[derive(Debug)]
struct Place {
    began: Instant,
    level: Level,
    written: u64,
    texts: Vec<Text>,
    /// Different lines beyond `LINES_MAX`.
    flooded: u64,
}

#[derive(Debug)]
struct Text {
    hash: u64,
    text: String,
    repeated: u64,
}

/// What is to be told of the lines that were not written.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// Their level.
    pub level: Level,
    /// How often, and what.
    pub text: String,
}

/// Counts lines by their place in the code.
#[derive(Debug)]
struct Windows<K> {
    places: HashMap<K, Place>,
    /// Places with something to tell.
    counted: usize,
}

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Windows { places: HashMap::new(), counted: 0 }
    }
}

impl<K: Eq + Hash> Windows<K> {
    /// Whether a line is to be written.
    fn line(&mut self, place: K, level: Level, text: &str, now: Instant) -> bool {
        let new = || Place { began: now, level, written: 0, texts: Vec::new(), flooded: 0 };
        let place = self.places.entry(place).or_insert_with(new);
        let quiet = !place.has_counted();
        if quiet && now.duration_since(place.began) >= WINDOW {
            *place = new();
        }
        let hash = hash(text);
        let known = place.texts.iter_mut().find(|known| known.hash == hash);
        let writes = if let Some(known) = known {
            known.repeated += 1;
            false
        } else if level <= Level::INFO && place.written >= LINES_MAX {
            place.flooded += 1;
            false
        } else {
            place.written += 1;
            if place.texts.len() < TEXTS_MAX {
                place.texts.push(Text { hash, text: cut(text).to_owned(), repeated: 0 });
            }
            true
        };
        self.counted += usize::from(quiet && place.has_counted());
        writes
    }

    /// What is to be told of windows that have ended, or of all.
    fn ended(&mut self, now: Instant, all: bool) -> Vec<Summary> {
        let mut summaries = Vec::new();
        self.places.retain(|_, place| {
            if !all && now.duration_since(place.began) < WINDOW {
                return true;
            }
            self.counted -= usize::from(place.has_counted());
            place.tell(now, &mut summaries);
            false
        });
        summaries
    }

    /// When the next window with something to tell ends.
    fn next(&self) -> Option<Instant> {
        self.places.values().filter(|place| place.has_counted()).map(|place| place.began + WINDOW).min()
    }
}

impl Place {
    fn has_counted(&self) -> bool {
        self.flooded > 0 || self.texts.iter().any(|text| text.repeated > 0)
    }

    fn tell(&self, now: Instant, into: &mut Vec<Summary>) {
        let seconds = now.duration_since(self.began).as_secs().max(1);
        for Text { text, repeated, .. } in self.texts.iter().filter(|text| text.repeated > 0) {
            let times = if *repeated == 1 { "once more".to_owned() } else { format!("{repeated} times") };
            let text = format!("last message repeated {times} in {seconds} s: {text}");
            into.push(Summary { level: self.level, text });
        }
        if self.flooded > 0 {
            let like = self.texts.first().map_or("", |text| text.text.as_str());
            let text = format!("{} more lines in {seconds} s like: {like}", self.flooded);
            into.push(Summary { level: self.level, text });
        }
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TOLD_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Collapses the repeats of a process.
#[derive(Clone, Debug)]
pub struct Repeats<K = Identifier>(Arc<Shared<K>>);

#[derive(Debug)]
struct Shared<K> {
    state: Mutex<State<K>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<K> {
    windows: Windows<K>,
    stopping: bool,
}

/// Tells what was counted; ends with what is still to be told.
#[derive(Debug)]
pub struct Teller<K: Eq + Hash = Identifier> {
    shared: Arc<Shared<K>>,
    thread: Option<JoinHandle<()>>,
}

impl<K: Eq + Hash + Send + 'static> Repeats<K> {
    /// Counts, and a thread that tells; it sleeps while there is nothing to tell.
    pub fn start(tell: impl Fn(Summary) + Send + 'static) -> io::Result<(Repeats<K>, Teller<K>)> {
        let state = Mutex::new(State { windows: Windows::default(), stopping: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let run = shared.clone();
        let thread = thread::Builder::new().name("log-repeats".to_owned()).spawn(move || run.tell_all(&tell))?;
        Ok((Repeats(shared.clone()), Teller { shared, thread: Some(thread) }))
    }

    /// Whether a line is to be written.
    fn line(&self, place: K, level: Level, text: &str) -> bool {
        let mut state = self.0.state.lock();
        let before = state.windows.counted;
        let writes = state.windows.line(place, level, text, Instant::now());
        if state.windows.counted > before {
            self.0.changed.notify_one();
        }
        writes
    }
}

impl Repeats {
    /// Whether an event is to be written.
    pub fn writes(&self, event: &Event<'_>) -> bool {
        let metadata: &Metadata<'_> = event.metadata();
        // What is told of repeats is none.
        if metadata.target() == module_path!() {
            return true;
        }
        let mut text = Rendered(String::new());
        event.record(&mut text);
        self.line(metadata.callsite(), *metadata.level(), &text.0)
    }
}

impl<K: Eq + Hash> Shared<K> {
    fn tell_all(&self, tell: &impl Fn(Summary)) {
        let mut state = self.state.lock();
        loop {
            let stopping = state.stopping;
            let summaries = state.windows.ended(Instant::now(), stopping);
            if !summaries.is_empty() {
                drop(state);
                summaries.into_iter().for_each(tell);
                state = self.state.lock();
                continue;
            }
            if stopping {
                return;
            }
            match state.windows.next() {
                Some(at) => {
                    self.changed.wait_until(&mut state, at);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }
}

impl<K: Eq + Hash> Drop for Teller<K> {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that tells of repeated lines panicked");
        }
    }
}

/// The fields of an event as a text.
struct Rendered(String);

impl Visit for Rendered {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        // Writing to a string cannot fail.
        let _infallible = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, "{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(summaries: Vec<Summary>) -> Vec<String> {
        summaries.into_iter().map(|summary| summary.text).collect()
    }

    #[test]
    fn the_same_line_of_one_place_is_written_once_in_a_window_and_its_repeats_are_told() {
        let (mut windows, start, place) = (Windows::default(), Instant::now(), "here");
        assert!(windows.line(place, Level::WARN, "disk is slow", start));
        for _ in 0..4 {
            assert!(!windows.line(place, Level::WARN, "disk is slow", start));
        }
        assert!(windows.line(place, Level::WARN, "another", start), "another text is another line");
        assert!(windows.line("there", Level::WARN, "disk is slow", start), "another place is another line");
        assert_eq!((windows.counted, windows.next()), (1, Some(start + WINDOW)));
        assert!(windows.ended(start, false).is_empty());
        let told = windows.ended(start + WINDOW, false);
        assert_eq!(told[0].level, Level::WARN);
        assert_eq!(texts(told), ["last message repeated 4 times in 10 s: disk is slow"]);
        assert_eq!((windows.counted, windows.next()), (0, None));
        assert!(windows.places.is_empty(), "nothing is remembered");
        assert!(windows.line(place, Level::WARN, "disk is slow", start + WINDOW), "a new window writes again");
    }

    #[test]
    fn a_line_that_comes_rarely_is_always_written() {
        let (mut windows, start, place) = (Windows::default(), Instant::now(), "here");
        for round in 0..5 {
            assert!(windows.line(place, Level::INFO, "a round", start + round * WINDOW));
        }
        assert_eq!(windows.counted, 0);
    }

    #[test]
    fn a_flood_of_different_lines_is_bounded_in_lines_and_in_memory() {
        let (mut windows, start, place) = (Windows::default(), Instant::now(), "here");
        let written = (0..10 * LINES_MAX)
            .filter(|number| windows.line(place, Level::INFO, &format!("client {number} {}", "x".repeat(1000)), start))
            .count();
        assert_eq!(written as u64, LINES_MAX);
        let kept = &windows.places[place].texts;
        assert!(kept.len() == TEXTS_MAX && kept.iter().all(|text| text.text.len() <= TOLD_LEN_MAX));
        let told = texts(windows.ended(start, true));
        assert!(told.len() == 1 && told[0].starts_with("1800 more lines in 1 s like: client 0 x"), "{told:?}");
        let debug = "debug";
        assert!((0..1000).all(|number| windows.line(debug, Level::DEBUG, &number.to_string(), start)), "asked for");
    }

    #[test]
    fn what_was_counted_is_told_at_the_latest_when_it_ends() {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let into = told.clone();
        let (repeats, teller) = Repeats::start(move |summary| into.lock().push(summary.text)).expect("a thread");
        assert!(repeats.line(1, Level::INFO, "x") && repeats.line(2, Level::INFO, "y"));
        assert!(!repeats.line(2, Level::INFO, "y") && !repeats.line(2, Level::INFO, "y"));
        drop(teller);
        assert_eq!(*told.lock(), ["last message repeated 2 times in 1 s: y"]);
    }
}
