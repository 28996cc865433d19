//! One signal that says "stop": cloneable, level-triggered, for threads and tasks alike.

use tokio::sync::watch;

/// The side that asks for the stop.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// The side that is asked; clone freely.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A connected pair.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Asks everybody to stop; asking twice changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Whether the stop was asked for.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes once the stop was asked for, or when the trigger is gone.
    pub async fn stopped(&mut self) {
        // The only error is a dropped trigger, which means the same: nobody runs us any more.
        self.0.wait_for(|stop| *stop).await.map(drop).unwrap_or(());
    }
}
