//! The rules of the source tree, checked as text: layers, doors, banned calls, documentation, layout.
//!
//! Links nothing of ours and runs in a moment, so it runs first. The tables below are the rules; to add an arrow or a
//! door, change its table in a commit of its own and say why. What the compiler or clippy can check is left to them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules a top-level module of ours may use. `wire::message` allows that part of `wire` only; `*` is everything.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("wire", &["base"]),
    ("store", &["base", "wire::message"]),
    ("net", &["base", "wire"]),
    ("client", &["base", "wire", "net"]),
    ("namesrv", &["base", "wire", "net"]),
    ("broker", &["base", "wire", "store", "net", "client"]),
    ("admin", &["base", "wire", "client"]),
    ("bench", &["base", "wire", "net", "client"]),
    ("example", &["base", "wire", "client"]),
    ("app", &["*"]),
    ("main", &["app"]),
];

/// Crates that are vocabulary: they may be named anywhere.
const VOCABULARY: &[&str] = &["bytes", "parking_lot", "serde", "smallvec", "thiserror", "tracing"];

/// The doors: where each other crate may be named, as paths under `src`. A directory ends with a slash.
const DOORS: &[(&str, &[&str])] = &[
    ("clap", &["app/", "bench/"]),
    ("crc32fast", &["base/", "wire/"]),
    ("daemonize", &["app/daemon.rs"]),
    ("fastrand", &["base/", "bench/", "broker/"]),
    ("flate2", &["wire/"]),
    ("hyper", &["net/http.rs", "net/http/"]),
    ("if_addrs", &["app/advertise.rs"]),
    ("lz4_flex", &["wire/"]),
    ("memmap2", &["store/"]),
    ("prometheus", &["base/metrics.rs"]),
    ("ruzstd", &["wire/"]),
    ("rustix", &["app/", "base/", "bench/", "net/", "store/"]),
    ("serde_json", &["admin/", "app/doctor/", "bench/", "broker/", "namesrv/", "wire/"]),
    ("signal_hook", &["app/"]),
    ("tokio", &["admin/", "app/", "base/", "bench/", "broker/", "client/", "example/", "namesrv/", "net/"]),
    ("toml", &["app/"]),
    ("tracing_subscriber", &["app/logging.rs"]),
];

/// Files that may contain `unsafe`, each with the reason it is there.
const UNSAFE: &[(&str, &str)] = &[];

/// A call that is not made in product code: what to look for, what to use instead, and where it is at home.
struct Banned {
    needle: &'static str,
    instead: &'static str,
    except: &'static [&'static str],
}

const BANNED: &[Banned] = &[
    Banned {
        needle: "SystemTime::now",
        instead: "`base::clock::Clock`, so that tests can hold the time",
        except: &["base/clock.rs", "app/", "bench/"],
    },
    Banned {
        needle: "fs::",
        instead: "`base::disk::Disk`, so that the simulated disk sees it",
        except: &["base/", "app/", "bench/"],
    },
    Banned {
        needle: "File::open",
        instead: "`base::disk::Disk::open`, so that the simulated disk sees it",
        except: &["base/disk/real.rs", "app/", "bench/"],
    },
    Banned {
        needle: "thread::sleep",
        instead: "a watermark, a channel or a condition with a deadline",
        except: &["bench/"],
    },
    Banned {
        needle: "thread::spawn",
        instead: "`thread::Builder` with a name: an operator reads thread names",
        except: &[],
    },
    Banned { needle: "println!", instead: "the start report in `app`, or `tracing`", except: &["app/", "bench/"] },
    Banned { needle: "process::exit", instead: "an `ExitCode` returned to `main`", except: &[] },
    Banned { needle: "unbounded_channel", instead: "a bounded channel whose bound has a name", except: &[] },
    Banned { needle: "mpsc::channel()", instead: "`mpsc::sync_channel` with a named bound", except: &[] },
    Banned { needle: "env::var", instead: "a setting: the environment is read in `app`", except: &["app/"] },
    Banned { needle: "TcpListener", instead: "`net::server`", except: &["net/", "app/", "bench/"] },
    Banned { needle: "TcpStream", instead: "`net` or `client`", except: &["net/", "client/", "bench/"] },
    Banned { needle: ".unwrap()", instead: "an error, or `expect` with the reason why it cannot fail", except: &[] },
    Banned { needle: "#[allow(", instead: "`#[expect(lint, reason = \"…\")]`", except: &[] },
];

/// What may stand at the top of the tree.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "conf",
    "docs",
    "packaging",
    "src",
    "systemd",
    "target",
    "tests",
];

/// Paths of somebody's own machine have no place in a file that others read.
const PRIVATE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

#[test]
fn modules_use_only_the_layers_below_them() {
    let mut findings = Findings::default();
    for file in sources() {
        let Some((_, allowed)) = LAYERS.iter().find(|(module, _)| *module == file.module) else {
            if file.module != "lib" {
                findings.add(&file, 1, "is in no layer: add its module to LAYERS");
            }
            continue;
        };
        for (line, path) in crate_paths(&file.code) {
            let target = path.split("::").next().unwrap_or("");
            let fits = |arrow: &&str| path == **arrow || path.starts_with(&format!("{arrow}::"));
            if target != file.module && !allowed.contains(&"*") && !allowed.iter().any(fits) {
                findings.add(
                    &file,
                    line,
                    &format!("`{}` may not use `crate::{path}`; it may use {allowed:?}", file.module),
                );
            }
        }
    }
    findings.report();
}

#[test]
fn every_third_party_crate_is_named_only_at_its_door() {
    let mut findings = Findings::default();
    let dependencies = dependencies();
    for name in &dependencies {
        if !VOCABULARY.contains(&name.as_str()) && !DOORS.iter().any(|(door, _)| door == name) {
            findings.0.push(format!("Cargo.toml: `{name}` has no door: add it to DOORS"));
        }
    }
    for (door, _) in DOORS {
        if !dependencies.contains(*door) {
            findings.0.push(format!("tests/tidy.rs: `{door}` has a door but is no dependency"));
        }
    }
    for file in sources() {
        for (door, places) in DOORS {
            if places.iter().any(|place| file.is_at(place)) {
                continue;
            }
            for line in file.lines_with_path(door) {
                findings.add(&file, line, &format!("`{door}` is named outside its door {places:?}"));
            }
        }
    }
    findings.report();
}

#[test]
fn unsafe_code_stays_in_its_one_place() {
    let mut findings = Findings::default();
    for file in sources().iter().filter(|file| !UNSAFE.iter().any(|(place, _)| file.is_at(place))) {
        for line in file.lines_with_word("unsafe") {
            findings.add(file, line, "`unsafe` outside the files that UNSAFE lists");
        }
    }
    findings.report();
}

#[test]
fn banned_calls_are_replaced_by_ours() {
    let mut findings = Findings::default();
    for file in sources() {
        for banned in BANNED.iter().filter(|banned| !banned.except.iter().any(|place| file.is_at(place))) {
            for (line, text) in file.product_lines() {
                if contains_token(text, banned.needle) {
                    findings.add(&file, line, &format!("`{}`: use {}", banned.needle, banned.instead));
                }
            }
        }
    }
    findings.report();
}

#[test]
fn no_error_is_dropped_by_turning_it_into_an_option() {
    let mut findings = Findings::default();
    for file in sources() {
        let lines: Vec<_> = file.product_lines().collect();
        for (index, (line, _)) in lines.iter().enumerate().filter(|(_, (_, text))| text.trim_end().ends_with(".ok();"))
        {
            // The statement begins behind the last line that ends one.
            let ends = |(_, text): &&(usize, &str)| text.trim_end().ends_with([';', '{', '}']);
            let begin = lines[..index].iter().rposition(|line| ends(&line)).map_or(0, |at| at + 1);
            if lines[begin..=index].iter().all(|(_, text)| !text.contains('=') && !text.contains("return")) {
                findings.add(
                    &file,
                    *line,
                    "`.ok();` drops an error: handle it, or say in a comment why it may be lost",
                );
            }
        }
    }
    findings.report();
}

#[test]
fn every_request_that_the_table_calls_served_is_handled_by_its_server() {
    const TABLE: &str = "wire/codes.rs";
    let sources = sources();
    let table = sources.iter().find(|file| file.path == TABLE).expect("the table of codes");
    let mut findings = Findings::default();
    for (line, text) in table.product_lines() {
        let Some((name, row)) = text.trim().split_once(" = ").filter(|(_, row)| row.contains(", Served(")) else {
            continue;
        };
        let module = match row.split(", ").nth(1) {
            Some("NameServer") => "namesrv",
            _ => "broker",
        };
        let handlers = sources.iter().filter(|file| file.module == module);
        let handled = handlers.flat_map(Source::product_lines).any(|(_, text)| words(text).any(|word| word == name));
        if !handled {
            findings.add(table, line, &format!("{name} is called served, but src/{module} does not know it"));
        }
    }
    findings.report();
}

#[test]
fn every_file_opens_with_a_paragraph_on_what_it_is() {
    let mut findings = Findings::default();
    for path in rust_files("src").into_iter().chain(rust_files("tests")) {
        let text = read(&path);
        if !text.starts_with("//! ") {
            findings.0.push(format!("{}:1: the first line is not a `//!` paragraph", path.display()));
        }
    }
    findings.report();
}

#[test]
fn the_top_level_is_the_fixed_one() {
    let mut findings = Findings::default();
    for entry in fs::read_dir(root()).expect("the package's own directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()) && name != "rocketmq-data" {
            findings.0.push(format!("{name}: nothing else belongs at the top level"));
        }
    }
    findings.report();
}

#[test]
fn no_file_names_a_path_of_somebodys_own_machine() {
    let mut findings = Findings::default();
    for directory in ["src", "tests", "docs", "conf", "packaging", "systemd", ".ci", ".cargo"] {
        for path in files(&root().join(directory)) {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            for (index, line) in text.lines().enumerate() {
                for private in PRIVATE_PATHS.iter().filter(|private| begins_a_path(line, private)) {
                    findings.0.push(format!("{}:{}: `{private}`", relative(&path), index + 1));
                }
            }
        }
    }
    findings.report();
}

#[test]
fn architecture_page_names_every_module() {
    let page = read(&root().join("src/ARCHITECTURE.md"));
    let modules: BTreeSet<_> = sources()
        .into_iter()
        .map(|file| file.module)
        .filter(|module| !["lib", "main"].contains(&module.as_str()))
        .collect();
    for module in modules {
        assert!(page.contains(&format!("`{module}`")), "src/ARCHITECTURE.md does not name `{module}`");
    }
}

// === The sources as text ===

/// One file of `src`, with comments and the insides of strings blanked in `code`.
struct Source {
    /// Path under `src`.
    path: String,
    /// The top-level module it belongs to.
    module: String,
    code: String,
    /// Lines (from 1) that belong to `#[cfg(test)]` modules.
    tests: BTreeSet<usize>,
}

impl Source {
    fn is_at(&self, place: &str) -> bool {
        if place.ends_with('/') {
            self.path.starts_with(place) || format!("{}.rs", place.trim_end_matches('/')) == self.path
        } else {
            self.path == place
        }
    }

    fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .lines()
            .enumerate()
            .map(|(index, text)| (index + 1, text))
            .filter(|(line, _)| !self.tests.contains(line))
    }

    fn lines_with_word(&self, word: &str) -> Vec<usize> {
        self.code
            .lines()
            .enumerate()
            .filter(|(_, text)| words(text).any(|found| found == word))
            .map(|(index, _)| index + 1)
            .collect()
    }

    /// Lines where `name` begins a path: `name::…`, `use name;`, `extern crate name`.
    fn lines_with_path(&self, name: &str) -> Vec<usize> {
        let begins = |text: &str| {
            text.match_indices(name).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                let after = &text[at + name.len()..];
                let fresh = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '.');
                fresh
                    && (after.starts_with("::")
                        || (text.trim_start().starts_with("use ") && after.starts_with([';', ' '])))
            })
        };
        self.code.lines().enumerate().filter(|(_, text)| begins(text)).map(|(index, _)| index + 1).collect()
    }
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, file: &Source, line: usize, what: &str) {
        self.0.push(format!("src/{}:{line}: {what}", file.path));
    }

    fn report(self) {
        let mut text = String::new();
        for finding in &self.0 {
            writeln!(text, "{finding}").expect("writing to a string");
        }
        assert!(self.0.is_empty(), "\n{text}");
    }
}

fn sources() -> Vec<Source> {
    let base = root().join("src");
    let mut sources: Vec<Source> = rust_files("src")
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&base).expect("it was found there").to_string_lossy().into_owned();
            let code = blank(&read(&path));
            let module = name.split(['/', '.']).next().unwrap_or_default().to_owned();
            Source { tests: test_lines(&code), path: name, module, code }
        })
        .collect();
    let for_tests: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        if for_tests.iter().any(|place| source.is_at(place)) {
            source.tests = (1..=source.code.lines().count()).collect();
        }
    }
    sources
}

/// Where the modules live that a file declares as `#[cfg(test)] mod name;`, as directories, which stand for files too.
fn test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
    let names = source.code.lines().enumerate().filter(|(index, _)| source.tests.contains(&(index + 1)));
    names
        .filter_map(|(_, text)| text.trim().trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(|name| format!("{stem}/{name}/"))
        .collect()
}

/// Blanks comments and the contents of string and character literals, keeping every line break.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let keep =
        |out: &mut Vec<u8>, part: &[u8]| out.extend(part.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = if rest.starts_with(b"//") {
            rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest, out.last().copied()) {
            length
        } else if rest[0] == b'"' {
            quoted(rest)
        } else if let Some(length) = character(rest) {
            length
        } else {
            out.push(rest[0]);
            at += 1;
            continue;
        };
        keep(&mut out, &rest[..length]);
        at += length;
    }
    String::from_utf8(out).expect("only whole characters were blanked")
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let prefix = if rest.starts_with(b"br") { 2 } else { 1 };
    if rest[0] != b'r' && !rest.starts_with(b"br") {
        return None;
    }
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = prefix + hashes + 1;
    let found = rest[body..].windows(end.len()).position(|window| window == end)?;
    Some(body + found + end.len())
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal; a lifetime is none.
fn character(rest: &[u8]) -> Option<usize> {
    if rest[0] != b'\'' {
        return None;
    }
    if rest.get(1) == Some(&b'\\') {
        return rest[2..].iter().skip(1).position(|byte| *byte == b'\'').map(|found| found + 4);
    }
    let close = rest.iter().skip(1).take(6).position(|byte| *byte == b'\'')? + 1;
    std::str::from_utf8(&rest[1..close]).ok().filter(|inside| inside.chars().count() == 1).map(|_| close + 1)
}

fn test_lines(code: &str) -> BTreeSet<usize> {
    let mut lines = BTreeSet::new();
    let mut depth = None;
    let mut pending = false;
    for (index, text) in code.lines().enumerate() {
        if depth.is_none() && text.trim_start().starts_with("#[cfg(test)]") {
            pending = true;
        }
        if pending || depth.is_some() {
            lines.insert(index + 1);
        }
        if pending && text.contains('{') {
            pending = false;
            depth = Some(0);
        } else if pending && text.trim_end().ends_with(';') {
            pending = false;
        }
        if let Some(open) = depth {
            let open = open + text.matches('{').count() as i32 - text.matches('}').count() as i32;
            depth = (open > 0).then_some(open);
        }
    }
    lines
}

/// Every `crate::…` path, with groups `{a, b::c}` written out, and the line it begins on.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let mut found = Vec::new();
        expand(&code[at + "crate::".len()..], "", &mut found);
        paths.extend(found.into_iter().map(|path| (line, path)));
    }
    paths
}

/// Reads one use tree; returns what follows it.
fn expand<'a>(text: &'a str, prefix: &str, found: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let before = rest.len();
            rest = expand(rest, prefix, found).trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
            if rest.len() == before {
                return "";
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    if let Some(deeper) = rest.strip_prefix("::").filter(|deeper| !deeper.trim_start().starts_with('<')) {
        return expand(deeper, &path, found);
    }
    found.push(path);
    let rest = rest.trim_start();
    let Some(alias) = rest.strip_prefix("as ") else { return rest };
    &alias[alias.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(alias.len())..]
}

/// Whether `start` stands in a line and is the beginning of a path, not a part of a longer one.
fn begins_a_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Whether `needle` stands in `text` and is not the tail of a longer name.
fn contains_token(text: &str, needle: &str) -> bool {
    let needs_start = needle.starts_with(|c: char| c.is_alphanumeric());
    text.match_indices(needle)
        .any(|(at, _)| !needs_start || !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn dependencies() -> BTreeSet<String> {
    let manifest = read(&root().join("Cargo.toml"));
    let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().replace('-', "_"))
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

fn rust_files(directory: &str) -> Vec<PathBuf> {
    files(&root().join(directory))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
