//! Times as people read them: the machine's time zone, from the TZif files of its zone database (RFC 8536) or a POSIX
//! `TZ` text, and calendar dates. Java's tools print local times, so ours do. Knows no locale and no leap second.

use std::path::{Path, PathBuf};

use super::clock::Millis;
use super::disk::{self, Disk};

/// Where the machine's own zone is.
const LOCAL_TIME: &str = "/etc/localtime";
/// Where zones are by name.
const ZONES: &str = "/usr/share/zoneinfo";

const DAY_SECONDS: i64 = 86_400;

/// A date and a time of day, without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    /// Year, 1970 for example.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// 0 to 999.
    pub millis: u32,
}

/// A time zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Second of the epoch from which on an offset holds, ascending.
    changes: Vec<(i64, i64)>,
    /// Offset before the first change, seconds east of Greenwich.
    first: i64,
    /// What holds after the last change.
    rule: Option<Rule>,
}

/// A POSIX rule: standard time, and perhaps a summer time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    standard: i64,
    summer: Option<Summer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Summer {
    offset: i64,
    begins: Turn,
    ends: Turn,
}

/// When the offset changes within a year, in seconds of the local time before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    day: TurnDay,
    second: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TurnDay {
    /// Month, week (5 is the last), weekday (0 is Sunday).
    Weekday(u32, u32, u32),
    /// 1 to 365, 29 February never counted.
    Julian(i64),
    /// 0 to 365.
    OfYear(i64),
}

impl Zone {
    /// The zone that the environment variable `TZ` names, or the machine's. What cannot be read is UTC.
    pub fn load(disk: &dyn Disk, tz: Option<&str>) -> Zone {
        let file = |path: &Path| disk::read(disk, path).ok().and_then(|bytes| Zone::parse(&bytes));
        let Some(tz) = tz.map(|tz| tz.trim_start_matches(':')).filter(|tz| !tz.is_empty()) else {
            return file(Path::new(LOCAL_TIME)).unwrap_or_default();
        };
        let named = (!tz.contains("..")).then(|| PathBuf::from(ZONES).join(tz));
        named.and_then(|path| file(&path)).or_else(|| Zone::posix(tz)).unwrap_or_default()
    }

    /// Reads a TZif file.
    fn parse(bytes: &[u8]) -> Option<Zone> {
        let (first, rest) = block(bytes, 4)?;
        if bytes.get(4)? < &b'2' {
            return Some(first);
        }
        let (mut zone, footer) = block(rest, 8)?;
        let footer = std::str::from_utf8(footer).ok()?.trim_matches('\n');
        zone.rule = posix(footer);
        Some(zone)
    }

    /// Reads a POSIX text such as `CST-8` or `CET-1CEST,M3.5.0,M10.5.0/3`.
    fn posix(text: &str) -> Option<Zone> {
        let rule = posix(text)?;
        Some(Zone { changes: Vec::new(), first: rule.standard, rule: Some(rule) })
    }

    /// Seconds east of Greenwich at a second of the epoch.
    fn offset(&self, at: i64) -> i64 {
        let passed = self.changes.partition_point(|(from, _)| *from <= at);
        match &self.rule {
            Some(rule) if passed == self.changes.len() => rule.offset(at),
            _ => passed.checked_sub(1).map_or(self.first, |last| self.changes[last].1),
        }
    }

    /// The date and time of a millisecond of the epoch.
    pub fn civil(&self, at: Millis) -> Civil {
        let millis = i64::try_from(at).unwrap_or(i64::MAX);
        let seconds = millis.div_euclid(1_000);
        let local = seconds.saturating_add(self.offset(seconds));
        let (year, month, day) = date(local.div_euclid(DAY_SECONDS));
        let of_day = local.rem_euclid(DAY_SECONDS) as u32;
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        Civil { year, month, day, hour, minute, second, millis: millis.rem_euclid(1_000) as u32 }
    }

    /// The millisecond of the epoch of a date and time; `None` when there is no such date, or before the epoch. In the
    /// hour that a summer time repeats, the first one.
    pub fn millis(&self, civil: Civil) -> Option<Millis> {
        let days = days(civil.year, civil.month, civil.day);
        let real = (1..=12).contains(&civil.month) && date(days) == (civil.year, civil.month, civil.day);
        if !real || civil.hour > 23 || civil.minute > 59 || civil.second > 59 || civil.millis > 999 {
            return None;
        }
        let of_day = i64::from(civil.hour * 3_600 + civil.minute * 60 + civil.second);
        let local = days.checked_mul(DAY_SECONDS)? + of_day;
        // Offsets differ by hours at most: one of those that hold around is the one.
        let before = local - self.offset(local - DAY_SECONDS);
        let after = local - self.offset(local + DAY_SECONDS);
        let fits = |at: &i64| at + self.offset(*at) == local;
        let at = [before, after].into_iter().find(fits).unwrap_or(before);
        u64::try_from(at.checked_mul(1_000)? + i64::from(civil.millis)).ok()
    }
}

impl Rule {
    fn offset(&self, at: i64) -> i64 {
        let Some(summer) = &self.summer else { return self.standard };
        let (year, ..) = date((at + self.standard).div_euclid(DAY_SECONDS));
        let begins = summer.begins.second_of(year) - self.standard;
        let ends = summer.ends.second_of(year) - summer.offset;
        let in_summer = if begins < ends { (begins..ends).contains(&at) } else { !(ends..begins).contains(&at) };
        if in_summer { summer.offset } else { self.standard }
    }
}

impl Turn {
    /// Second of the epoch, as if the local time were UTC.
    fn second_of(self, year: i64) -> i64 {
        let first = days(year, 1, 1);
        let day = match self.day {
            TurnDay::OfYear(day) => first + day,
            TurnDay::Julian(day) => {
                let leap = days(year, 3, 1) - days(year, 2, 28) > 1;
                first + day - 1 + i64::from(leap && day >= 60)
            }
            TurnDay::Weekday(month, week, weekday) => {
                let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                let first = days(year, month, 1);
                // 1 January 1970 was a Thursday.
                let ahead = (i64::from(weekday) - (first + 4).rem_euclid(7)).rem_euclid(7);
                let day = first + ahead + 7 * (i64::from(week) - 1);
                if day >= days(next_year, next_month, 1) { day - 7 } else { day }
            }
        };
        day * DAY_SECONDS + self.second
    }
}

/// Days since the epoch of a date of the Gregorian calendar.
fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (i64::from(month) + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since the epoch.
fn date(days: i64) -> (i64, u32, u32) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = (if shifted < 10 { shifted + 3 } else { shifted - 9 }) as u32;
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// One block of a TZif file, whose times have `width` bytes, and what follows it:
///
/// ```text
/// 0      4   5    20  counts of: UTC marks, standard marks, leap seconds, times, types, name bytes   44
/// | TZif | v | 0s |                                                                               | times | ...
/// ```
fn block(bytes: &[u8], width: usize) -> Option<(Zone, &[u8])> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    if bytes.get(..4)? != b"TZif" {
        return None;
    }
    let [utc, standard, leaps, times, types, names] =
        [word(20)?, word(24)?, word(28)?, word(32)?, word(36)?, word(40)?];
    let mut rest = bytes.get(44..)?;
    let mut take = |len: usize| {
        let (head, tail) = rest.split_at_checked(len)?;
        rest = tail;
        Some(head)
    };
    let (at, of_type, kinds) = (take(times.checked_mul(width)?)?, take(times)?, take(types.checked_mul(6)?)?);
    take(names)?;
    take(leaps.checked_mul(width + 4)?)?;
    take(standard)?;
    take(utc)?;
    let offset = |kind: usize| {
        let bytes = kinds.get(6 * kind..6 * kind + 4)?;
        Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))
    };
    let time = |bytes: &[u8]| match width {
        8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
    };
    let changes = at.chunks_exact(width).zip(of_type).map(|(at, kind)| Some((time(at)?, offset(usize::from(*kind))?)));
    let zone = Zone { changes: changes.collect::<Option<_>>()?, first: offset(0)?, rule: None };
    Some((zone, rest))
}

/// Reads a POSIX rule.
fn posix(text: &str) -> Option<Rule> {
    let (zone, mut turns) = text.split_once(',').map_or((text, None), |(zone, turns)| (zone, Some(turns)));
    let rest = after_name(zone)?;
    let (standard, rest) = leading_time(rest)?;
    let standard = -standard;
    if rest.is_empty() {
        return Some(Rule { standard, summer: None });
    }
    let rest = after_name(rest)?;
    let offset = if rest.is_empty() { standard + 3_600 } else { -leading_time(rest)?.0 };
    let (begins, ends) = turns.get_or_insert("M3.2.0,M11.1.0").split_once(',')?;
    Some(Rule { standard, summer: Some(Summer { offset, begins: turn(begins)?, ends: turn(ends)? }) })
}

fn after_name(text: &str) -> Option<&str> {
    let rest = match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?.1,
        None => text.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()),
    };
    (rest.len() < text.len()).then_some(rest)
}

/// `[+-]hh[:mm[:ss]]` at the beginning, in seconds.
fn leading_time(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|letter: char| letter.is_ascii_alphabetic() || letter == '<').unwrap_or(text.len());
    let (time, rest) = text.split_at(end);
    let (sign, time) = match time.strip_prefix('-') {
        Some(time) => (-1, time),
        None => (1, time.strip_prefix('+').unwrap_or(time)),
    };
    let mut seconds = 0;
    for (part, unit) in time.split(':').zip([3_600, 60, 1]) {
        seconds += i64::from(part.parse::<u16>().ok()?) * unit;
    }
    Some((sign * seconds, rest))
}

fn turn(text: &str) -> Option<Turn> {
    let (day, second) = match text.split_once('/') {
        Some((day, time)) => (day, leading_time(time)?.0),
        None => (text, 2 * 3_600),
    };
    let day = if let Some(weekday) = day.strip_prefix('M') {
        let mut parts = weekday.split('.').map(|part| part.parse::<u32>().ok());
        let (month, week, weekday) = (parts.next()??, parts.next()??, parts.next()??);
        if !(1..=12).contains(&month) || !(1..=5).contains(&week) || weekday > 6 {
            return None;
        }
        TurnDay::Weekday(month, week, weekday)
    } else if let Some(julian) = day.strip_prefix('J') {
        TurnDay::Julian(julian.parse::<u16>().ok()?.into())
    } else {
        TurnDay::OfYear(day.parse::<u16>().ok()?.into())
    };
    Some(Turn { day, second })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(zone: &Zone, at: Millis) -> String {
        let c = zone.civil(at);
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03}",
            c.year, c.month, c.day, c.hour, c.minute, c.second, c.millis
        )
    }

    #[test]
    fn dates_and_days_are_each_others_inverse() {
        for day in (-200_000..200_000).step_by(13) {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), day);
        }
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(days(2000, 2, 29) + 1), (2000, 3, 1));
        assert_eq!(date(days(1900, 2, 28) + 1), (1900, 3, 1));
    }

    #[test]
    fn utc_is_what_a_zone_is_by_default() {
        let zone = Zone::default();
        assert_eq!(show(&zone, 0), "1970-01-01 00:00:00,000");
        assert_eq!(show(&zone, 1_700_000_000_123), "2023-11-14 22:13:20,123");
        assert_eq!(zone.millis(zone.civil(1_700_000_000_123)), Some(1_700_000_000_123));
    }

    #[test]
    fn posix_rules_turn_the_clock() {
        let shanghai = Zone::posix("CST-8").unwrap();
        assert_eq!(show(&shanghai, 1_700_000_000_000), "2023-11-15 06:13:20,000");
        let berlin = Zone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 2024-03-31 01:00 UTC and 2024-10-27 01:00 UTC.
        for (at, before, after) in [
            (1_711_846_800_000, "2024-03-31 01:59:59,999", "2024-03-31 03:00:00,000"),
            (1_729_990_800_000, "2024-10-27 02:59:59,999", "2024-10-27 02:00:00,000"),
        ] {
            assert_eq!(show(&berlin, at - 1), before);
            assert_eq!(show(&berlin, at), after);
        }
        let sydney = Zone::posix("AEST-10AEDT,M10.1.0,M4.1.0/3").unwrap();
        assert_eq!(show(&sydney, 1_704_067_200_000), "2024-01-01 11:00:00,000");
        assert_eq!(show(&sydney, 1_719_792_000_000), "2024-07-01 10:00:00,000");
        let kathmandu = Zone::posix("<+0545>-5:45").unwrap();
        assert_eq!(show(&kathmandu, 0), "1970-01-01 05:45:00,000");
        for zone in [shanghai, berlin, sydney, kathmandu] {
            for at in (1_700_000_000_000..1_735_000_000_000).step_by(7_777_777) {
                let back = zone.millis(zone.civil(at)).unwrap();
                assert!(back == at || zone.civil(back) == zone.civil(at));
            }
        }
        for bad in ["", "8", "CET-x", "CET-1CEST,M13.1.0,M1.1.0", "CET-1CEST,M3.5.0"] {
            assert_eq!(Zone::posix(bad), None, "{bad}");
        }
    }

    #[test]
    fn zone_files_are_read_with_their_past_and_their_rule() {
        // Version 2: an empty first block; one change to +02:00 at second 1000 from +01:00; then the rule.
        let mut file = Vec::new();
        let header = |file: &mut Vec<u8>, times: u32, types: u32| {
            file.extend(b"TZif2");
            file.extend([0; 15]);
            for count in [0, 0, 0, times, types, 4] {
                file.extend(u32::to_be_bytes(count));
            }
        };
        header(&mut file, 0, 1);
        file.extend([0; 6 + 4]);
        header(&mut file, 2, 2);
        file.extend(1_000i64.to_be_bytes());
        file.extend(2_000i64.to_be_bytes());
        file.extend([1, 0]);
        file.extend([0, 0, 0x0e, 0x10, 0, 0, 0, 0, 0x1c, 0x20, 1, 0]);
        file.extend(b"ABC\0");
        file.extend(b"\n<+03>-3\n");
        let zone = Zone::parse(&file).unwrap();
        assert_eq!([999, 1_000, 1_999, 2_000].map(|at| zone.offset(at)), [3_600, 7_200, 7_200, 10_800]);
        for len in 0..file.len() - 9 {
            assert!(Zone::parse(&file[..len]).is_none_or(|zone| zone.rule.is_none()));
        }
        assert_eq!(Zone::parse(b"nonsense"), None);
    }

    #[test]
    fn what_is_no_date_has_no_millisecond() {
        let civil = Civil { year: 2024, month: 2, day: 29, hour: 23, minute: 59, second: 59, millis: 999 };
        let zone = Zone::default();
        assert!(zone.millis(civil).is_some());
        for bad in [
            Civil { year: 2023, ..civil },
            Civil { month: 0, ..civil },
            Civil { month: 13, ..civil },
            Civil { day: 0, ..civil },
            Civil { hour: 24, ..civil },
            Civil { minute: 60, ..civil },
            Civil { year: 1969, ..civil },
        ] {
            assert_eq!(zone.millis(bad), None, "{bad:?}");
        }
    }
}
