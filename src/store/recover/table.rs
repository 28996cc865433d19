//! The decision table of recovery as data (STORE 8.8): what may be found in a directory, and what we do. Every row that
//! is taken is in the `RecoveryReport`; `tests/sim` reaches every one of them.

use std::fmt;

/// What taking a row means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The directory is used as it is.
    Accept,
    /// Something was added or cut, and is reported.
    Repair,
    /// The store is not opened and nothing was changed.
    Refuse,
    /// Somebody above the store has to act.
    Elsewhere,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its name.
    pub row: Row,
    /// What is found.
    pub found: &'static str,
    /// What we do.
    pub decision: &'static str,
    /// What that means.
    pub outcome: Outcome,
}

macro_rules! rows {
    ($($row:ident $outcome:ident $found:literal => $decision:literal;)*) => {
        /// A row of the decision table: A without `abort`, B with it, C either way, H what Java's table does not know.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the table itself says what each row is")]
        pub enum Row { $($row),* }

        /// The whole table.
        pub const TABLE: &[Decision] = &[
            $(Decision { row: Row::$row, found: $found, decision: $decision, outcome: Outcome::$outcome }),*
        ];

        impl fmt::Display for Row {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Row::$row => stringify!($row)),* })
            }
        }
    };
}

rows! {
    A1 Accept "closed in order; a queue reaches the log's end" => "used as it is";
    A2 Repair "every record below the queues' newest unit has its unit, later ones have none" => "units are added from there on";
    A3 Repair "a queue is short although another one reaches further" => "its units are added from its own end on";
    A4 Repair "no units at all, but records" => "units are added from the first log file on";
    A5 Repair "units point beyond the log's end" => "they are cut, and the rest of their file is zeroed";
    A6 Repair "a queue's last file holds no unit" => "the file is removed";
    A7 Repair "an invalid unit within a queue's last three files" => "the queue is cut there and its units are added again";
    A8 Refuse "a bad record in a log file that is not the last one with data" => "the start is refused; no log file is removed";
    A9 Repair "empty log files behind the last record" => "they are removed";
    A10 Repair "a log file without its end-of-file record, but the next one is good" => "the log goes on in the next file";
    B1 Repair "not closed in order; the checkpoint names a file to begin with" => "units are checked from an earlier one on, see B4";
    B2 Repair "not closed in order, and the checkpoint says nothing" => "units are checked from the first log file on";
    B3 Repair "not closed in order; no log file is as old as the checkpoint says" => "units are checked from the first log file on";
    B4 Repair "units are missing in front of the file that the checkpoint names" => "they are added; we go back until a whole file needs none";
    B5 Repair "units are missing in the files that the checkpoint names" => "they are added";
    B6 Repair "not closed in order; units point beyond the log's end" => "they are cut, and the rest of their file is zeroed";
    B7 Repair "not closed in order; there are index files" => "they are kept as far as they are valid, and go on from there";
    B8 Repair "not closed in order; a queue's last file holds no unit" => "the file is removed";
    B9 Repair "not closed in order; a bad record in the last log file with data" => "the log ends there, and the rest of the file is zeroed";
    B10 Accept "a bad record in front of the files that are checked" => "reported, and left alone";
    C1 Refuse "no commit log, but queues" => "the start is refused";
    C2 Accept "queues begin below the first log file" => "their oldest message is corrected";
    C3 Refuse "a file of a wrong name or size" => "the start is refused, and the file is named";
    C4 Repair "a queue without files, and its oldest record has a number above 0" => "the queue begins with that number";
    C5 Repair "a queue whose only file holds no unit" => "the file is removed, then as C4";
    C6 Repair "index entries beyond the log's end" => "they are cut";
    C6a Repair "records whose number lies below their queue's end: of a topic that was deleted and made again" => "they are appended behind it";
    C6b Elsewhere "consumer offsets beyond their queue's end" => "the broker lowers them when it loads them";
    C7 Accept "records of the second version, which 4.9.x cannot read" => "read, and reported";
    C8 Repair "a checkpoint from the future" => "not believed; see B4";
    H1 Accept "our own hint, and it fits" => "only what lies behind it is looked at";
    H2 Accept "our own hint, but it does not fit" => "not believed; Java's rules apply";
    H3 Repair "a bad record behind everything that was flushed, and later files" => "the log ends there, and the later files are removed";
    H4 Refuse "a file is missing between two log files" => "the start is refused";
    H5 Refuse "a store of a kind that is not read" => "the start is refused, and the kind is named";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_there_once_and_in_order() {
        assert!(TABLE.windows(2).all(|rows| rows[0].row < rows[1].row));
        assert_eq!(TABLE.len(), 35);
    }
}
