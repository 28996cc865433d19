//! Body compression as Java's clients write it (INTEROP 03 §3): zlib, LZ4 frames, Zstandard. Each direction has a bound.

use std::io::{Read, Write};

use thiserror::Error;

use super::message::sys_flag;

/// The three ways to compress a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// zlib (RFC 1950); the only one that all clients read.
    #[default]
    Zlib,
    /// LZ4 frame.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// A compressed body that cannot be read, or a body that cannot be compressed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CompressError {
    /// More than the bound.
    #[error("the {kind:?} body unpacks to more than {max} bytes")]
    TooLong {
        /// How it is compressed.
        kind: Compression,
        /// The bound in force.
        max: usize,
    },
    /// Not that format, or damaged.
    #[error("cannot unpack a {kind:?} body: {found}")]
    Damaged {
        /// How it is said to be compressed.
        kind: Compression,
        /// What was found.
        found: String,
    },
    /// The compressor failed.
    #[error("cannot pack a body as {kind:?}: {found}")]
    Pack {
        /// How it was to be compressed.
        kind: Compression,
        /// What was found.
        found: String,
    },
}

impl Compression {
    /// How a body with this sysFlag is compressed, `None` when it is not. Old clients set no type: zlib.
    pub fn of(sys_flag: i32) -> Option<Compression> {
        if sys_flag & sys_flag::COMPRESSED == 0 {
            return None;
        }
        match sys_flag & sys_flag::COMPRESSION_MASK {
            sys_flag::COMPRESSION_LZ4 => Some(Compression::Lz4),
            sys_flag::COMPRESSION_ZSTD => Some(Compression::Zstd),
            _ => Some(Compression::Zlib),
        }
    }

    /// The sysFlag bits of a body compressed this way.
    pub fn sys_flag(self) -> i32 {
        sys_flag::COMPRESSED
            | match self {
                Compression::Zlib => sys_flag::COMPRESSION_ZLIB,
                Compression::Lz4 => sys_flag::COMPRESSION_LZ4,
                Compression::Zstd => sys_flag::COMPRESSION_ZSTD,
            }
    }

    /// Unpacks a body of at most `max` bytes.
    pub fn unpack(self, packed: &[u8], max: usize) -> Result<Vec<u8>, CompressError> {
        match self {
            Compression::Zlib => self.read(flate2::read::ZlibDecoder::new(packed), max),
            Compression::Lz4 => self.read(lz4_flex::frame::FrameDecoder::new(packed), max),
            Compression::Zstd => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(packed);
                self.read(decoder.map_err(|error| self.damaged(error))?, max)
            }
        }
    }

    /// Packs a body; `level` is zlib's, 0 to 9, the others have one.
    pub fn pack(self, body: &[u8], level: u32) -> Result<Vec<u8>, CompressError> {
        let fail = |found: String| CompressError::Pack { kind: self, found };
        match self {
            Compression::Zlib => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level.min(9)));
                encoder.write_all(body).and_then(|()| encoder.finish()).map_err(|error| fail(error.to_string()))
            }
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(body).map_err(|error| fail(error.to_string()))?;
                encoder.finish().map_err(|error| fail(error.to_string()))
            }
            Compression::Zstd => {
                Ok(ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest))
            }
        }
    }

    fn read(self, from: impl Read, max: usize) -> Result<Vec<u8>, CompressError> {
        let mut body = Vec::new();
        let read = from.take(max as u64 + 1).read_to_end(&mut body).map_err(|error| self.damaged(error))?;
        if read > max {
            return Err(CompressError::TooLong { kind: self, max });
        }
        Ok(body)
    }

    fn damaged(self, error: impl std::fmt::Display) -> CompressError {
        CompressError::Damaged { kind: self, found: error.to_string() }
    }
}
