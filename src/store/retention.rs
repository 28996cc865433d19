//! What is kept and when it goes, as settings and as decisions on numbers (STORE 9): pure, without file, clock or thread.
//! `clean` does what is decided here.

use std::path::PathBuf;

use crate::base::clock::Millis;
use crate::base::disk::DiskSpace;
use crate::base::local_time::Zone;

const HOUR_MS: u64 = 3_600_000;

/// How much emptier than the limit a disk has to be before writes go on, per cent: without it they would be refused and
/// taken in turns with every file that comes and goes.
const RESUME_BELOW: u32 = 1;

/// When files of the store go. The defaults are Java's; unlike 5.x, limits above its own are honoured (STORE 14 row 13d).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `fileReservedTime` (hours there), milliseconds: a log file is expired when its newest message is older.
    pub reserved_ms: u64,
    /// `deleteWhen`: the hours of the day, 0 to 23, in which expired files go although there is room.
    pub delete_hours: Vec<u32>,
    /// Whose hours. Not a key.
    pub zone: Zone,
    /// `cleanResourceInterval`, milliseconds between two passes.
    pub interval_ms: u64,
    /// `deleteFileBatchMax`: log files of one pass.
    pub files_max: u32,
    /// `deleteCommitLogFilesInterval`, milliseconds between two log files.
    pub log_file_pause_ms: u64,
    /// `deleteConsumeQueueFilesInterval`, milliseconds between two rounds of queue files.
    pub queue_file_pause_ms: u64,
    /// `diskMaxUsedSpaceRatio`, per cent: fuller, and expired files go at any hour.
    pub clean_percent: u32,
    /// `diskSpaceCleanForciblyRatio`, per cent: fuller, and the oldest files go even if they are not expired.
    pub force_percent: u32,
    /// `diskSpaceWarningLevelRatio`, per cent: fuller, and writes are refused.
    pub refuse_percent: u32,
    /// `cleanFileForciblyEnable`: false keeps what is not expired, whatever happens; then a full disk refuses writes.
    pub delete_unexpired: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            reserved_ms: 72 * HOUR_MS,
            delete_hours: vec![4],
            zone: Zone::default(),
            interval_ms: 10_000,
            files_max: 10,
            log_file_pause_ms: 100,
            queue_file_pause_ms: 100,
            clean_percent: 75,
            force_percent: 85,
            refuse_percent: 90,
            delete_unexpired: true,
        }
    }
}

impl Retention {
    /// Whether expired files go at this time although there is room.
    pub fn is_time(&self, now: Millis) -> bool {
        self.delete_hours.contains(&self.zone.civil(now).hour)
    }

    /// Whether a file whose newest message is of `newest` (milliseconds) is expired.
    pub fn is_expired(&self, newest: i64, now: Millis) -> bool {
        let end = u64::try_from(newest).unwrap_or(0).saturating_add(self.reserved_ms);
        end < now
    }

    /// The limits, for those who show them.
    pub fn limits(&self) -> DiskLimits {
        DiskLimits {
            clean_percent: self.clean_percent,
            force_percent: self.delete_unexpired.then_some(self.force_percent),
            refuse_percent: self.refuse_percent,
            resume_percent: self.refuse_percent.saturating_sub(RESUME_BELOW),
        }
    }

    /// What a disk that is so full leads to, if it was at `before`.
    pub fn level(&self, percent: u32, before: DiskLevel) -> DiskLevel {
        let limits = self.limits();
        let refusing = before == DiskLevel::Refusing && percent > limits.resume_percent;
        if refusing || percent > limits.refuse_percent {
            DiskLevel::Refusing
        } else if limits.force_percent.is_some_and(|force| percent > force) {
            DiskLevel::Forced
        } else if percent > limits.clean_percent {
            DiskLevel::Cleaning
        } else {
            DiskLevel::Ok
        }
    }

    /// Whether the oldest file has to go even if it is not expired.
    pub fn is_forced(&self, percent: u32) -> bool {
        self.delete_unexpired && percent > self.force_percent
    }
}

/// What the disk leads to; each level includes the ones before it, except that `Forced` may be switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskLevel {
    /// There is room: expired files go at their hour.
    #[default]
    Ok,
    /// Expired files go at once.
    Cleaning,
    /// The oldest files go even if they are not expired.
    Forced,
    /// Writes are refused.
    Refusing,
}

impl DiskLevel {
    /// One word, for logs and labels.
    pub fn name(self) -> &'static str {
        match self {
            DiskLevel::Ok => "ok",
            DiskLevel::Cleaning => "cleaning",
            DiskLevel::Forced => "forced",
            DiskLevel::Refusing => "refusing",
        }
    }
}

/// Limits in force, per cent of a file system; reached is "more than".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskLimits {
    /// Expired files go at once.
    pub clean_percent: u32,
    /// The oldest files go; `None` when that is switched off.
    pub force_percent: Option<u32>,
    /// Writes are refused.
    pub refuse_percent: u32,
    /// Refused writes are taken again at this or less.
    pub resume_percent: u32,
}

/// Which part of a store a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorePart {
    /// The commit log.
    Log,
    /// Consume queues, index, state files.
    Queues,
}

impl StorePart {
    /// One word, for logs and labels.
    pub fn name(self) -> &'static str {
        match self {
            StorePart::Log => "commitlog",
            StorePart::Queues => "consumequeue",
        }
    }
}

/// One path of the store and the file system under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSpace {
    /// What is there.
    pub part: StorePart,
    /// The directory.
    pub path: PathBuf,
    /// Its file system, bytes; `None` when it could not be asked.
    pub space: Option<DiskSpace>,
}

impl PathSpace {
    /// How full it is, 0 to 1; `None` when that is not known.
    pub fn used_ratio(&self) -> Option<f64> {
        self.space?.used_ratio()
    }

    /// How full it is in whole per cent, rounded up as Java does: 90.01 % is 91.
    pub fn used_percent(&self) -> Option<u32> {
        let space = self.space?;
        let usable = u128::from(space.used) + u128::from(space.free);
        (usable > 0).then(|| (u128::from(space.used) * 100).div_ceil(usable) as u32)
    }
}

/// The disk as the store saw it last, at most a few seconds ago: what metrics, readiness and tools show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskState {
    /// The log's path and the queues'.
    pub paths: Vec<PathSpace>,
    /// Limits in force.
    pub limits: DiskLimits,
    /// What the fullest path leads to.
    pub level: DiskLevel,
    /// Why writes are refused, with path, ratio and limit; `None` while they are taken.
    pub refusal: Option<String>,
}

impl DiskState {
    /// The fullest path that could be asked, and how full it is in per cent.
    pub fn fullest(&self) -> Option<(&PathSpace, u32)> {
        let known = self.paths.iter().filter_map(|path| Some((path, path.used_percent()?)));
        // The first of equals: the log's.
        known.rev().max_by_key(|(_, percent)| *percent)
    }

    /// What is there of a part.
    pub fn part(&self, part: StorePart) -> Option<&PathSpace> {
        self.paths.iter().find(|path| path.part == part)
    }
}

/// Java's `deleteWhen`: hours separated by semicolons, such as `04` or `2;14`.
pub fn parse_hours(text: &str) -> Option<Vec<u32>> {
    let hours: Vec<u32> = text
        .split(';')
        .map(str::trim)
        .filter(|hour| !hour.is_empty())
        .map(|hour| hour.parse().ok().filter(|hour| *hour < 24))
        .collect::<Option<_>>()?;
    (!hours.is_empty()).then_some(hours)
}

/// As `parse_hours` reads it, and as Java prints it.
pub fn hours_text(hours: &[u32]) -> String {
    hours.iter().map(|hour| format!("{hour:02}")).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(used: u64, free: u64) -> PathSpace {
        let space = Some(DiskSpace { total: used.saturating_add(free), used, free });
        PathSpace { part: StorePart::Log, path: PathBuf::new(), space }
    }

    #[test]
    fn a_ratio_is_rounded_up_and_a_limit_is_more_than() {
        assert_eq!(path(9001, 999).used_percent(), Some(91));
        assert_eq!(path(9000, 1000).used_percent(), Some(90));
        assert_eq!(path(0, 10).used_percent(), Some(0));
        assert_eq!(path(0, 0).used_percent(), None);
        assert_eq!(path(u64::MAX, u64::MAX).used_percent(), Some(50));
        let settings = Retention::default();
        let level = |percent| settings.level(percent, DiskLevel::Ok);
        assert_eq!(
            [75, 76, 85, 86, 90, 91].map(level),
            [
                DiskLevel::Ok,
                DiskLevel::Cleaning,
                DiskLevel::Cleaning,
                DiskLevel::Forced,
                DiskLevel::Forced,
                DiskLevel::Refusing
            ]
        );
    }

    #[test]
    fn refused_writes_are_taken_again_a_little_below_the_limit() {
        let settings = Retention::default();
        let level = |percent| settings.level(percent, DiskLevel::Refusing);
        assert_eq!(
            [91, 90, 89, 80, 10].map(level),
            [DiskLevel::Refusing, DiskLevel::Refusing, DiskLevel::Forced, DiskLevel::Cleaning, DiskLevel::Ok]
        );
    }

    #[test]
    fn what_is_not_expired_may_be_kept_whatever_happens() {
        let settings = Retention { delete_unexpired: false, ..Retention::default() };
        assert_eq!(settings.level(90, DiskLevel::Ok), DiskLevel::Cleaning);
        assert_eq!(settings.level(91, DiskLevel::Ok), DiskLevel::Refusing);
        assert!(!settings.is_forced(99) && settings.limits().force_percent.is_none());
        assert!(Retention::default().is_forced(86) && !Retention::default().is_forced(85));
    }

    #[test]
    fn hours_are_read_as_java_reads_them() {
        assert_eq!(parse_hours("04"), Some(vec![4]));
        assert_eq!(parse_hours("2; 14;"), Some(vec![2, 14]));
        for bad in ["", ";", "24", "4h", "-1", "4,5"] {
            assert_eq!(parse_hours(bad), None, "{bad}");
        }
        assert_eq!(hours_text(&[4, 14]), "04;14");
    }

    #[test]
    fn expired_is_older_than_the_time_and_only_at_its_hour() {
        let settings = Retention::default();
        let day = 1_700_000_000_000 / 86_400_000 * 86_400_000;
        assert!(settings.is_time(day + 4 * HOUR_MS) && settings.is_time(day + 5 * HOUR_MS - 1));
        assert!(!settings.is_time(day + 5 * HOUR_MS) && !settings.is_time(day));
        assert!(!settings.is_expired(day as i64, day + 72 * HOUR_MS));
        assert!(settings.is_expired(day as i64, day + 72 * HOUR_MS + 1));
    }

    #[test]
    fn the_fullest_path_counts_and_of_equals_the_logs() {
        let queues = |used| PathSpace { part: StorePart::Queues, ..path(used, 100 - used) };
        let state = |queues| DiskState { paths: vec![path(50, 50), queues], ..DiskState::default() };
        assert_eq!(state(queues(50)).fullest().unwrap().0.part, StorePart::Log);
        assert_eq!(state(queues(51)).fullest().unwrap().0.part, StorePart::Queues);
        let unknown = PathSpace { space: None, ..queues(99) };
        assert_eq!(state(unknown).fullest().unwrap().1, 50);
    }
}
