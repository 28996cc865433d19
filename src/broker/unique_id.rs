//! Ids in the form that Java clients give their messages (INTEROP 03 §2), for the messages that come without one.
//! Opaque to everybody; unique as long as no second process has this address and process id in the same month.

use std::net::IpAddr;

use crate::base::clock::Millis;

/// Makes one loop's ids.
#[derive(Debug)]
pub struct UniqueIds {
    prefix: Vec<u8>,
    month_start: Millis,
    next_month: Millis,
    counter: u16,
}

impl UniqueIds {
    /// `seed` stands for Java's class loader: it keeps the ids of this process's loops apart.
    pub fn new(ip: IpAddr, process_id: u32, seed: u32) -> Self {
        let mut prefix = Vec::with_capacity(44);
        match ip {
            IpAddr::V4(ip) => push_hex(&mut prefix, &ip.octets()),
            IpAddr::V6(ip) => push_hex(&mut prefix, &ip.octets()),
        }
        push_hex(&mut prefix, &(process_id as u16).to_be_bytes());
        push_hex(&mut prefix, &seed.to_be_bytes());
        UniqueIds { prefix, month_start: 0, next_month: 0, counter: 0 }
    }

    /// Appends the next id.
    pub fn push_next(&mut self, now: Millis, out: &mut Vec<u8>) {
        if now >= self.next_month || now < self.month_start {
            (self.month_start, self.next_month) = month_of(now);
        }
        out.extend_from_slice(&self.prefix);
        push_hex(out, &((now - self.month_start) as u32).to_be_bytes());
        push_hex(out, &self.counter.to_be_bytes());
        self.counter = self.counter.wrapping_add(1);
    }
}

/// Upper-case hexadecimal digits of some bytes.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// First milliseconds of the month of `now` and of the next one, in UTC.
fn month_of(now: Millis) -> (Millis, Millis) {
    const DAY: u64 = 86_400_000;
    let (mut days_left, mut year) = (now / DAY, 1970u64);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days_left >= 365 + u64::from(leap(year)) {
        days_left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let day = now / DAY;
    for (month, days) in [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().enumerate() {
        let days = days + u64::from(month == 1 && leap(year));
        if days_left < days {
            return ((day - days_left) * DAY, (day - days_left + days) * DAY);
        }
        days_left -= days;
    }
    (now, now + DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_where_the_calendar_says() {
        // 2024-02-29T12:00Z lies between 2024-02-01 and 2024-03-01.
        assert_eq!(month_of(1_709_208_000_000), (1_706_745_600_000, 1_709_251_200_000));
        // 2026-11-26 between 2026-11-01 and 2026-12-01.
        assert_eq!(month_of(1_795_708_800_000), (1_793_491_200_000, 1_796_083_200_000));
        assert_eq!(month_of(0), (0, 31 * 86_400_000));
    }

    #[test]
    fn ids_have_32_digits_and_differ() {
        let mut ids = UniqueIds::new("10.0.0.1".parse().unwrap(), 0x1_2345, 7);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        ids.push_next(1_709_208_000_000, &mut one);
        ids.push_next(1_709_208_000_000, &mut two);
        assert_eq!(one.len(), 32);
        assert!(one.starts_with(b"0A000001234500000007"));
        assert_ne!(one, two);
    }
}
