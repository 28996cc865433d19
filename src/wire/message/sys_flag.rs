//! The bits of a record's sysFlag (INTEROP 03 §3).

/// The body is compressed by the producer; the broker passes it on as it is.
pub const COMPRESSED: i32 = 0x1;
/// Legacy: several tags.
pub const MULTI_TAGS: i32 = 0x2;
/// Mask of the transaction state.
pub const TRANSACTION_MASK: i32 = 0xC;
/// A half message.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// A committed transaction.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// A rolled back transaction.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// bornHost is IPv6 (20 bytes).
pub const BORN_HOST_V6: i32 = 0x10;
/// storeHost is IPv6 (20 bytes).
pub const STORE_HOST_V6: i32 = 0x20;
/// 5.x: the record wraps another one.
pub const NEED_UNWRAP: i32 = 0x40;
/// 5.x: an inner batch.
pub const INNER_BATCH: i32 = 0x80;
/// Mask of the compression type; 0 there is zlib too, written by old clients.
pub const COMPRESSION_MASK: i32 = 0x700;
/// LZ4 frame.
pub const COMPRESSION_LZ4: i32 = 0x100;
/// Zstandard.
pub const COMPRESSION_ZSTD: i32 = 0x200;
/// zlib.
pub const COMPRESSION_ZLIB: i32 = 0x300;

/// The transaction state of a record.
pub fn transaction(sys_flag: i32) -> i32 {
    sys_flag & TRANSACTION_MASK
}
