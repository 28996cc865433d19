//! `rocketmq admin`, and the same under the name `mqadmin`: takes the environment, hands over to `admin`.

use std::ffi::OsString;
use std::io::{self, BufWriter};
use std::path::Path;
use std::process::ExitCode;

use crate::admin::{self, Environment};
use crate::base::disk::RealDisk;
use crate::base::local_time::Zone;

/// Name of Java's tool: an executable of that name is `rocketmq admin`.
const TOOL_NAME: &str = "mqadmin";

/// The words behind `rocketmq admin` or `mqadmin`; `None` when it is some other command.
pub fn words(arguments: &[OsString]) -> Option<Vec<String>> {
    let is_tool =
        arguments.first().and_then(|first| Path::new(first).file_stem()).is_some_and(|name| name == TOOL_NAME);
    let skipped = if is_tool { 1 } else { 2 };
    let meant = is_tool || arguments.get(1).is_some_and(|command| command == "admin");
    meant.then(|| arguments.iter().skip(skipped).map(|word| word.to_string_lossy().into_owned()).collect())
}

/// Runs one admin command.
pub fn run(words: &[String]) -> ExitCode {
    let zone = Zone::load(&RealDisk, std::env::var("TZ").ok().as_deref());
    let around = Environment { name_servers: std::env::var("NAMESRV_ADDR").ok(), zone };
    admin::run(words, &around, &mut BufWriter::new(io::stdout().lock()), &mut io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_is_known_by_its_name_or_by_the_command() {
        let of =
            |line: &str| words(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).map(|words| words.join(" "));
        assert_eq!(of("rocketmq admin topicList -n a:1").as_deref(), Some("topicList -n a:1"));
        assert_eq!(of("/usr/bin/mqadmin topicList").as_deref(), Some("topicList"));
        assert_eq!(of("mqadmin.sh admin").as_deref(), Some("admin"));
        assert_eq!(of("rocketmq dev"), None);
        assert_eq!(of("rocketmq"), None);
    }
}
