//! The two ways to write a header. `command` is the door; nothing else calls these.

pub(super) mod binary;
pub(super) mod json;

/// The decimal text of a number, written into the end of `buf`.
fn digits(buf: &mut [u8; 20], number: i64) -> &[u8] {
    let mut rest = number.unsigned_abs();
    let mut at = buf.len();
    loop {
        at -= 1;
        buf[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        buf[at] = b'-';
    }
    &buf[at..]
}
