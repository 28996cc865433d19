//! The command line of an admin command, as Java's tools read theirs: `-t T`, `-t=T`, `-tT`, `--topic T`, `--topic=T`,
//! long names with one dash, and unambiguous beginnings of long names. Knows flags, not what they are for.

use std::collections::BTreeMap;

use super::Failure;

/// One flag of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Short name, without its dash; empty if there is none.
    pub short: &'static str,
    /// Long name, without its dashes.
    pub long: &'static str,
    /// Whether a value follows.
    pub value: bool,
    /// Whether it has to be given.
    pub required: bool,
    /// What it is for.
    pub help: &'static str,
}

/// A flag with a value that has to be given.
pub const fn need(short: &'static str, long: &'static str, help: &'static str) -> Flag {
    Flag { short, long, value: true, required: true, help }
}

/// A flag with a value that may be given.
pub const fn may(short: &'static str, long: &'static str, help: &'static str) -> Flag {
    Flag { short, long, value: true, required: false, help }
}

/// A flag without a value.
pub const fn switch(short: &'static str, long: &'static str, help: &'static str) -> Flag {
    Flag { short, long, value: false, required: false, help }
}

/// Flags that every command has.
pub const COMMON: &[Flag] = &[
    switch("h", "help", "Print help"),
    may("n", "namesrvAddr", "Name server address list, eg: '192.168.0.1:9876;192.168.0.2:9876'"),
    may("", "output", "text (as Java's tools print it) or json (an array with one object per row)"),
];

/// What was given: long name -> value, empty for a switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    given: BTreeMap<&'static str, String>,
}

impl Arguments {
    /// Reads the words behind the command's name.
    pub fn parse(words: &[String], flags: &[Flag]) -> Result<Arguments, Failure> {
        let mut arguments = Arguments::default();
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let (flag, attached) = find(word, flags)?;
            let value = match (flag.value, attached) {
                (false, None) => String::new(),
                (false, Some(_)) => return Err(Failure::Usage(format!("-{} takes no value", flag.short))),
                (true, Some(value)) => value.to_owned(),
                // As Java's parser: a word with a dash is a value unless it is a flag of this command.
                (true, None) => match words.next_if(|next| !next.starts_with('-') || find(next, flags).is_err()) {
                    Some(value) => value.to_owned(),
                    None => return Err(Failure::Usage(format!("{word} needs a value"))),
                },
            };
            arguments.given.insert(flag.long, value.trim().to_owned());
        }
        Ok(arguments)
    }

    /// Checks that what is required is there; `one_of` are long names of which at least one has to be.
    pub fn check(&self, flags: &[Flag], one_of: &[&str]) -> Result<(), Failure> {
        let missing = flags.iter().filter(|flag| flag.required && !self.given.contains_key(flag.long));
        let missing: Vec<String> = missing.map(|flag| format!("-{} ({})", flag.short, flag.long)).collect();
        if !missing.is_empty() {
            return Err(Failure::Usage(format!("missing {}", missing.join(", "))));
        }
        if !one_of.is_empty() && !one_of.iter().any(|long| self.given.contains_key(long)) {
            return Err(Failure::Usage(format!("one of --{} is needed", one_of.join(", --"))));
        }
        Ok(())
    }

    /// Whether a flag was given.
    pub fn has(&self, long: &str) -> bool {
        self.given.contains_key(long)
    }

    /// A flag's value; a flag that was given as empty text is not given.
    pub fn get(&self, long: &str) -> Option<&str> {
        self.given.get(long).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a flag that `check` found.
    pub fn need(&self, long: &'static str) -> Result<&str, Failure> {
        self.get(long).ok_or_else(|| Failure::Usage(format!("--{long} needs a value")))
    }

    /// A number.
    pub fn number<T: std::str::FromStr>(&self, long: &str) -> Result<Option<T>, Failure> {
        let Some(value) = self.get(long) else { return Ok(None) };
        let bad = |_| Failure::Usage(format!("--{long} {value}: a whole number in range is needed"));
        value.parse().map(Some).map_err(bad)
    }

    /// A truth value, as Java reads it but for a word that is neither.
    pub fn bool(&self, long: &str) -> Result<Option<bool>, Failure> {
        match self.get(long) {
            None => Ok(None),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(value) => Err(Failure::Usage(format!("--{long} {value}: true or false is needed"))),
        }
    }
}

/// The flag that a word names, and what is attached to it as its value.
fn find<'a>(word: &'a str, flags: &[Flag]) -> Result<(Flag, Option<&'a str>), Failure> {
    let unknown = || Failure::Usage(format!("unknown argument {word}"));
    let all = || COMMON.iter().chain(flags);
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).ok_or_else(unknown)?;
    let (name, attached) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
    // A command's own flag wins over a common one of the same name: `-n` of some 5.x commands.
    let exact = all().rev().find(|flag| !name.is_empty() && (flag.short == name || flag.long == name));
    if let Some(flag) = exact {
        return Ok((*flag, attached));
    }
    let mut begun = all().filter(|flag| !name.is_empty() && flag.long.starts_with(name));
    match (begun.next(), begun.next()) {
        (Some(flag), None) => return Ok((*flag, attached)),
        (Some(flag), Some(other)) => {
            return Err(Failure::Usage(format!("{word} may be --{} or --{}", flag.long, other.long)));
        }
        _ => {}
    }
    let short = all()
        .find(|flag| flag.value && flag.short.len() == 1 && !word.starts_with("--") && name.starts_with(flag.short));
    short.map(|flag| (*flag, word.get(2..))).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        need("t", "topic", ""),
        may("r", "readQueueNums", ""),
        may("cf", "checkFrom", ""),
        switch("l", "list", ""),
        may("c", "clusterName", ""),
        may("o", "offset", ""),
    ];

    fn parse(line: &str) -> Result<Arguments, Failure> {
        Arguments::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), FLAGS)
    }

    #[test]
    fn every_way_to_write_a_flag_is_read() {
        for line in ["-t T", "-t=T", "-tT", "--topic T", "--topic=T", "-topic T", "--top T"] {
            assert_eq!(
                parse(line).ok().and_then(|got| got.get("topic").map(str::to_owned)),
                Some("T".into()),
                "{line}"
            );
        }
        let got = parse("-l -cf 7 -n a:1;b:2 --output json -o -1 -r=8").ok().unwrap_or_default();
        assert!(got.has("list"));
        let pairs = [
            ("checkFrom", "7"),
            ("namesrvAddr", "a:1;b:2"),
            ("output", "json"),
            ("offset", "-1"),
            ("readQueueNums", "8"),
        ];
        for (long, value) in pairs {
            assert_eq!(got.get(long), Some(value));
        }
        assert_eq!(parse("-t -x").ok().and_then(|got| got.get("topic").map(str::to_owned)), Some("-x".into()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let told = |line: &str| parse(line).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told("-z").contains("unknown argument -z"));
        assert!(told("word").contains("unknown argument word"));
        assert!(told("-t").contains("-t needs a value"));
        assert!(told("-t -l").contains("-t needs a value"));
        assert!(told("-l=1").contains("takes no value"));
        assert!(told("--c x").contains("checkFrom") || told("--c x").is_empty());
        let given = parse("-r x -l").ok().unwrap_or_default();
        assert!(given.check(FLAGS, &[]).is_err_and(|error| error.to_string().contains("-t (topic)")));
        assert!(given.number::<u32>("readQueueNums").is_err_and(|error| error.to_string().contains("x")));
        let given = parse("-t T").ok().unwrap_or_default();
        assert!(
            given.check(FLAGS, &["clusterName", "offset"]).is_err_and(|error| error.to_string().contains("--offset"))
        );
        assert!(given.check(FLAGS, &["clusterName", "topic"]).is_ok());
    }
}
