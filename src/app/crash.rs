//! What a crash leaves behind: the first panic of a thread that matters is remembered, ends the waiting for signals, and
//! stands on the last line that the process says. A panic of one slow request is that request's alone.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};

use parking_lot::Mutex;

use super::signals::Waker;

/// The threads whose panics are caught and answered where they happen: those of the control runtime.
const CAUGHT: &str = "control";

static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// From here on a panic of a thread that nobody can do without wakes `waker`.
pub fn watch(waker: Waker) {
    panic::set_hook(Box::new(move |info| {
        let reason = told(info);
        let trace = Backtrace::capture();
        match trace.status() {
            BacktraceStatus::Captured => tracing::error!("{reason}\n{trace}"),
            _ => tracing::error!("{reason}"),
        }
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        if name == "main" {
            // Nobody is left to say it later.
            eprintln!("rocketmq: {reason}");
        }
        if !name.starts_with(CAUGHT) {
            FIRST.lock().get_or_insert(reason);
            waker.wake();
        }
    }));
}

/// Why the process cannot go on, if it cannot.
pub fn reason() -> Option<String> {
    FIRST.lock().clone()
}

fn told(info: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let message = match (info.payload().downcast_ref::<&str>(), info.payload().downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "(no text)".to_owned(),
    };
    let place = info.location().map_or_else(String::new, |at| format!(" at {at}"));
    format!("thread {} panicked{place}: {message}", thread.name().unwrap_or("without a name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::signals::Waiting;

    /// Run by the test below in a process of its own: a hook is for the whole process.
    #[test]
    #[ignore = "panics in a thread; the test below runs it"]
    fn a_thread_panics() {
        let mut signals = Waiting::start().expect("signals");
        watch(signals.waker());
        let caught = std::thread::Builder::new().name("control-1".to_owned()).spawn(|| panic!("a request's own"));
        assert!(caught.expect("a thread").join().is_err());
        assert_eq!(reason(), None);
        let thread = std::thread::Builder::new().name("loop-0".to_owned()).spawn(|| panic!("out of luck"));
        assert!(thread.expect("a thread").join().is_err());
        assert_eq!(signals.wait(|| {}), None, "the waiting ends");
        println!("reason: {}", reason().expect("a reason"));
    }

    #[test]
    fn the_first_panic_ends_the_waiting_and_is_the_reason() {
        let name = "app::crash::tests::a_thread_panics";
        let program = std::env::current_exe().expect("this test");
        let output = std::process::Command::new(program).args([name, "--exact", "--ignored", "--nocapture"]).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        assert!(said.contains("reason: thread loop-0 panicked at src/app/crash.rs:"), "{said}");
        assert!(said.contains(": out of luck"), "{said}");
    }
}
