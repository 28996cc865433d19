//! What two tools print, made comparable: times, ids, addresses, rates are replaced by what they are. Everything else,
//! blanks included, stays.

/// Replaces what moves in a line, and the blanks around it where its length moves.
pub fn still(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let inside = out.chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
        match moving(rest).filter(|_| !inside) {
            Some((what, length)) => {
                let before = out.trim_end_matches(' ').len();
                if out.len() - before > 1 {
                    out.truncate(before + 1);
                }
                out.push_str(what);
                rest = &rest[length..];
                let blanks = rest.len() - rest.trim_start_matches(' ').len();
                if blanks > 1 {
                    out.push(' ');
                    rest = &rest[blanks..];
                }
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out.trim_end().to_owned()
}

/// Names behind which a number stands that nobody can foretell.
const COUNTED: [&str; 3] = ["commitLogOffset=", "spentTimeMills=", "CommitLog Offset: "];

/// What a text begins with, if it is one of what moves, and how long that is.
fn moving(text: &str) -> Option<(&'static str, usize)> {
    for (form, what) in
        [("dddd-dd-dd dd:dd:dd,ddd", "TIME"), ("dddd-dd-dd dd:dd:dd", "TIME"), ("dddd-dd-dd#dd:dd:dd:ddd", "TIME")]
    {
        if fits(text, form) {
            return Some((what, form.len()));
        }
    }
    // What its name was replaced by; its length moves with the number of its process.
    if text.starts_with("CLIENT ") {
        return Some(("CLIENT", "CLIENT".len()));
    }
    for name in COUNTED {
        if let Some(rest) = text.strip_prefix(name) {
            let value = rest.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
            return Some((name, text.len() - value.len()));
        }
    }
    let run = |accept: fn(char) -> bool| text.len() - text.trim_start_matches(accept).len();
    let hex = run(|c| c.is_ascii_hexdigit() && !c.is_ascii_lowercase());
    // 32 with an address of IPv4, 56 with one of IPv6.
    if hex == 32 || hex == 56 {
        return Some(("ID", hex));
    }
    let digits = run(|c| c.is_ascii_digit());
    let number = run(|c| c.is_ascii_digit() || c == '.');
    let dots = text[..number].matches('.').count();
    match (digits, dots) {
        (0, _) => None,
        (_, 3) => {
            let port = text[number..]
                .strip_prefix(':')
                .map_or(0, |rest| 1 + rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len());
            Some(("ADDRESS", number + port))
        }
        (13, 0) => Some(("MILLIS", digits)),
        (17, 0) => Some(("TIME", digits)),
        (_, 1) if !text[..number].ends_with('.') => Some(("#", number)),
        _ => None,
    }
}

fn fits(text: &str, form: &str) -> bool {
    let mut letters = text.chars();
    form.chars().all(|expected| match (expected, letters.next()) {
        ('d', Some(letter)) => letter.is_ascii_digit(),
        (expected, letter) => letter == Some(expected),
    })
}

/// Every number as N, and the blanks around it: of times that are whole milliseconds, and of queues taken in turn.
pub fn without_numbers(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let mut out = String::new();
        for letter in word.chars() {
            match letter.is_ascii_digit() {
                true if out.ends_with('N') => {}
                true => out.push('N'),
                false => out.push(letter),
            }
        }
        out
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_moves_is_replaced_and_nothing_else() {
    for (line, expected) in [
        ("MSGID: 7F00000100002A139A550C6DFD2E0000 a", "MSGID: ID a"),
        ("T    0  1  2026-11-26 19:25:15,123", "T    0  1 TIME"),
        ("at 127.0.0.1:10911 or 10.0.0.1", "at ADDRESS or ADDRESS"),
        ("x      12.50        3", "x # 3"),
        ("bornTimestamp=1795721115123, queueId=3", "bornTimestamp=MILLIS, queueId=3"),
        ("V5_3_3 Table1.5 12", "V5_3_3 Table1.5 12"),
        ("end 12.", "end 12."),
        ("1          CLIENT          V5", "1 CLIENT V5"),
        ("a, commitLogOffset=123, b", "a, commitLogOffset=, b"),
    ] {
        assert_eq!(still(line), expected);
    }
}
