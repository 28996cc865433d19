//! Why a name server does not start.

use thiserror::Error;

use crate::base::changes::OverlayError;
use crate::base::crash_safe::LoadError;
use crate::net::server::ServerError;

/// The failed step of a start. Nothing is left running.
#[derive(Debug, Error)]
pub enum Error {
    /// The key-value file cannot be used.
    #[error("cannot read the name server's key-value table: {0}")]
    Kv(#[from] LoadError),
    /// The settings that were changed while it ran cannot be used.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// It cannot listen or start its threads.
    #[error("cannot start the name server: {0}")]
    Server(#[from] ServerError),
}
