//! The parser: bytes to a tree, with everything that fastjson 1.x takes by default. Bounded in depth and in values.

use super::{DEPTH_MAX, JsonError, NODES_MAX};

/// A JSON value as fastjson knows them.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`, and what could not be resolved.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Members in their order.
    Object(Vec<(Key, Json)>),
}

/// The name of a member.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// Quoted or bare text, bare numbers included.
    Name(String),
    /// An object in the place of a name.
    Bean(Box<Json>),
}

/// Objects up to this many members keep the last of equal names only; larger ones are maps, whose reader does that.
const DEDUPLICATED_MAX: usize = 64;

/// Steps of a search for what references point at, for each value that the document may hold.
const STEPS_PER_NODE: usize = 16;

/// Reads one document; blanks around it are ignored, anything else behind it is an error, an empty one is `Null`.
pub fn parse(json: &[u8]) -> Result<Json, JsonError> {
    parse_bounded(json, NODES_MAX)
}

/// As [`parse`], with a bound of its own on the values.
pub fn parse_bounded(json: &[u8], nodes_max: usize) -> Result<Json, JsonError> {
    let (root, references) = parse_literally(json, nodes_max)?;
    if references {
        let mut left = Left { nodes: nodes_max, steps: nodes_max.saturating_mul(STEPS_PER_NODE) };
        return resolve(&root, &root, 0, &mut left);
    }
    Ok(root)
}

/// As [`parse`], with references left as they stand, and whether there are any.
pub fn parse_literally(json: &[u8], nodes_max: usize) -> Result<(Json, bool), JsonError> {
    let text = String::from_utf8_lossy(json);
    let mut parser = Parser { text: text.as_bytes(), at: 0, nodes_left: nodes_max, references: false };
    parser.skip_blanks();
    if parser.at == parser.text.len() {
        return Ok((Json::Null, false));
    }
    let root = parser.value(0)?;
    parser.skip_blanks();
    if parser.at < parser.text.len() {
        return Err(parser.expected("the end"));
    }
    Ok((root, parser.references))
}

impl Json {
    /// A member of an object by its name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.iter().rev().find(|(key, _)| matches!(key, Key::Name(found) if found == name)).map(|(_, value)| value)
    }
}

struct Parser<'a> {
    /// UTF-8; all cuts are made at ASCII bytes.
    text: &'a [u8],
    at: usize,
    nodes_left: usize,
    references: bool,
}

impl Parser<'_> {
    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax { expected, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t' | 0x0c | 0x08) = self.peek() {
            self.at += 1;
        }
    }

    /// Blanks and any number of commas, which fastjson takes anywhere between members.
    fn skip_separators(&mut self) {
        loop {
            self.skip_blanks();
            if self.peek() != Some(b',') {
                return;
            }
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError::Depth);
        }
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or(JsonError::Size)?;
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(quote @ (b'"' | b'\'')) => Ok(Json::Text(self.quoted(quote)?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'a'..=b'z' | b'A'..=b'Z') => match self.word() {
                b"true" => Ok(Json::Bool(true)),
                b"false" => Ok(Json::Bool(false)),
                b"null" | b"undefined" | b"NaN" => Ok(Json::Null),
                _ => Err(self.expected("true, false or null before here")),
            },
            _ => Err(self.expected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut members: Vec<(Key, Json)> = Vec::new();
        loop {
            self.skip_separators();
            let key = match self.peek() {
                Some(b'}') => break,
                Some(b'{') => Key::Bean(Box::new(self.value(depth + 1)?)),
                Some(quote @ (b'"' | b'\'')) => Key::Name(self.quoted(quote)?),
                Some(_) => Key::Name(self.bare_name()?),
                None => return Err(self.expected("a member or }")),
            };
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return Err(self.expected(":"));
            }
            self.at += 1;
            self.skip_blanks();
            let value = self.value(depth + 1)?;
            let few = if members.len() <= DEDUPLICATED_MAX { members.as_mut_slice() } else { &mut [] };
            match few.iter_mut().find(|(found, _)| *found == key) {
                Some(member) => member.1 = value,
                None => members.push((key, value)),
            }
            self.skip_blanks();
            match self.peek() {
                Some(b',' | b'}') => {}
                _ => return Err(self.expected(", or }")),
            }
        }
        self.at += 1;
        if let [(Key::Name(name), Json::Text(_))] = members.as_slice() {
            self.references |= name == "$ref";
        }
        Ok(Json::Object(members))
    }

    fn list(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_separators();
            match self.peek() {
                Some(b']') => break,
                None => return Err(self.expected("a value or ]")),
                Some(_) => items.push(self.value(depth + 1)?),
            }
            self.skip_blanks();
            match self.peek() {
                Some(b',' | b']') => {}
                _ => return Err(self.expected(", or ]")),
            }
        }
        self.at += 1;
        Ok(Json::List(items))
    }

    fn word(&mut self) -> &[u8] {
        let start = self.at;
        while matches!(self.peek(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$')) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// A name without quotes: everything up to the colon or a blank, but nothing that opens or closes something.
    fn bare_name(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b':' | b' ' | b'\n' | b'\r' | b'\t' => break,
                b'{' | b'}' | b'[' | b']' | b',' | b'"' | b'\'' => return Err(self.expected("a name")),
                _ => self.at += 1,
            }
        }
        let name = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        if name.is_empty() { Err(self.expected("a name")) } else { Ok(name) }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        // fastjson's type suffixes, written with class names only.
        if matches!(self.peek(), Some(b'L' | b'S' | b'B' | b'F' | b'D')) {
            self.at += 1;
        }
        if let Ok(int) = text.parse() {
            return Ok(Json::Int(int));
        }
        text.parse()
            .ok()
            .filter(|float: &f64| float.is_finite())
            .map(Json::Float)
            .ok_or(JsonError::Syntax { expected: "a number", at: start })
    }

    fn quoted(&mut self, quote: u8) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte != quote && byte != b'\\') {
                self.at += 1;
            }
            out.extend_from_slice(&self.text[start..self.at]);
            match self.peek() {
                None => return Err(self.expected("the closing quote")),
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut out)?;
                }
                Some(_) => break,
            }
        }
        self.at += 1;
        // Cut out of UTF-8 at ASCII bytes, with whole characters added: always text.
        String::from_utf8(out).map_err(|_| self.expected("UTF-8 text"))
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let byte = self.peek().ok_or_else(|| self.expected("an escape"))?;
        self.at += 1;
        let code = match byte {
            b'"' | b'\'' | b'\\' | b'/' => u32::from(byte),
            b'b' => 0x08,
            b'f' | b'F' => 0x0c,
            b'n' => 0x0a,
            b'r' => 0x0d,
            b't' => 0x09,
            b'v' => 0x0b,
            b'0'..=b'7' => u32::from(byte - b'0'),
            b'x' => self.hex(2)?,
            b'u' => self.utf16()?,
            _ => return Err(self.expected("a known escape")),
        };
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Behind `\u`: one unit, or two of a pair; half a pair gives no character.
    fn utf16(&mut self) -> Result<u32, JsonError> {
        let high = self.hex(4)?;
        if !(0xd800..0xdc00).contains(&high) || self.text.get(self.at..self.at + 2) != Some(b"\\u") {
            return Ok(high);
        }
        let back = self.at;
        self.at += 2;
        let low = self.hex(4)?;
        if (0xdc00..0xe000).contains(&low) {
            return Ok(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
        }
        self.at = back;
        Ok(high)
    }

    fn hex(&mut self, digits: usize) -> Result<u32, JsonError> {
        let text = self.text.get(self.at..self.at + digits).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let value = text.filter(|text| !text.starts_with('+')).and_then(|text| u32::from_str_radix(text, 16).ok());
        let value = value.ok_or_else(|| self.expected("hex digits"))?;
        self.at += digits;
        Ok(value)
    }
}

/// What the references of a document may still cost.
struct Left {
    nodes: usize,
    steps: usize,
}

/// A copy of `node` with every `{"$ref":path}` replaced by what it points at in `root`. What cannot be found, and
/// references to a parent, become `Null`; cycles run into the bounds.
fn resolve(root: &Json, node: &Json, depth: usize, left: &mut Left) -> Result<Json, JsonError> {
    if depth > DEPTH_MAX {
        return Err(JsonError::Depth);
    }
    left.nodes = left.nodes.checked_sub(1).ok_or(JsonError::Size)?;
    match node {
        Json::List(items) => {
            let items = items.iter().map(|item| resolve(root, item, depth + 1, left));
            Ok(Json::List(items.collect::<Result<_, _>>()?))
        }
        Json::Object(members) => {
            if let [(Key::Name(name), Json::Text(path))] = members.as_slice()
                && name == "$ref"
            {
                return match find(root, path, left)? {
                    Some(target) => resolve(root, target, depth + 1, left),
                    None => Ok(Json::Null),
                };
            }
            let members = members.iter().map(|(key, value)| Ok((key.clone(), resolve(root, value, depth + 1, left)?)));
            Ok(Json::Object(members.collect::<Result<_, _>>()?))
        }
        other => Ok(other.clone()),
    }
}

/// fastjson's path: `$`, then `.name` with backslash escapes, or `[3]`.
fn find<'a>(root: &'a Json, path: &str, left: &mut Left) -> Result<Option<&'a Json>, JsonError> {
    let Some(mut rest) = path.strip_prefix('$') else { return Ok(None) };
    let mut node = root;
    while !rest.is_empty() {
        let Some((step, tail)) = step(rest) else { return Ok(None) };
        let found = match (step, node) {
            (Step::Item(index), Json::List(items)) => items.get(index),
            (Step::Member(name), Json::Object(members)) => member(members, &name, left)?,
            _ => None,
        };
        let Some(found) = found else { return Ok(None) };
        (node, rest) = (found, tail);
    }
    Ok(Some(node))
}

enum Step {
    Item(usize),
    Member(String),
}

/// The first step of a path, and what is behind it.
fn step(path: &str) -> Option<(Step, &str)> {
    if let Some(tail) = path.strip_prefix('[') {
        let (index, tail) = tail.split_once(']')?;
        return Some((Step::Item(index.parse().ok()?), tail));
    }
    let mut characters = path.strip_prefix('.')?.char_indices();
    let mut name = String::new();
    let mut end = path.len();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            '.' | '[' => {
                end = at + 1;
                break;
            }
            other => name.push(other),
        }
    }
    Some((Step::Member(name), &path[end..]))
}

fn member<'a>(members: &'a [(Key, Json)], name: &str, left: &mut Left) -> Result<Option<&'a Json>, JsonError> {
    for (key, value) in members {
        // To compare a bean, its text is made.
        let steps = if matches!(key, Key::Bean(_)) { STEPS_PER_NODE } else { 1 };
        left.steps = left.steps.checked_sub(steps).ok_or(JsonError::Size)?;
        if key_text(key).as_deref() == Some(name) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// How a path names a member: a bean key by its `toString`, of which there is one, MessageQueue's.
fn key_text(key: &Key) -> Option<std::borrow::Cow<'_, str>> {
    match key {
        Key::Name(name) => Some(name.into()),
        Key::Bean(bean) => {
            let text = |name| match bean.get(name)? {
                Json::Text(text) => Some(text.clone()),
                Json::Int(int) => Some(int.to_string()),
                _ => None,
            };
            let (topic, broker, queue) = (text("topic")?, text("brokerName")?, text("queueId")?);
            Some(format!("MessageQueue [topic={topic}, brokerName={broker}, queueId={queue}]").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Json {
        Json::Text(text.into())
    }

    fn object(members: &[(&str, Json)]) -> Json {
        Json::Object(members.iter().map(|(name, value)| (Key::Name((*name).into()), value.clone())).collect())
    }

    #[test]
    fn everything_that_fastjson_takes_is_read() {
        for (json, wanted) in [
            ("{0:\"a\",'b':1,c : [1,,2,], }", {
                let list = Json::List(vec![Json::Int(1), Json::Int(2)]);
                object(&[("0", text("a")), ("b", Json::Int(1)), ("c", list)])
            }),
            (" \t\n", Json::Null),
            ("[]\n", Json::List(vec![])),
            ("{\"a\":1,\"a\":2}", object(&[("a", Json::Int(2))])),
            ("-9223372036854775808", Json::Int(i64::MIN)),
            ("[1.5,1e3,18446744073709551615,7L]", {
                Json::List(vec![Json::Float(1.5), Json::Float(1e3), Json::Float(18446744073709551615.0), Json::Int(7)])
            }),
            ("[true,false,null]", Json::List(vec![Json::Bool(true), Json::Bool(false), Json::Null])),
            (r#""\"\\\/\b\f\n\r\t\u4e2d\ud83d\ude00\x41\ud800z""#, text("\"\\/\u{8}\u{c}\n\r\t中😀A\u{fffd}z")),
            ("\"raw\nline 中\"", text("raw\nline 中")),
        ] {
            assert_eq!(parse(json.as_bytes()).as_ref(), Ok(&wanted), "{json}");
        }
        let beans = parse(br#"{"t":{{"topic":"T","queueId":0}:7}}"#).unwrap();
        let bean = object(&[("topic", text("T")), ("queueId", Json::Int(0))]);
        assert_eq!(beans.get("t"), Some(&Json::Object(vec![(Key::Bean(Box::new(bean)), Json::Int(7))])));
    }

    #[test]
    fn what_fastjson_refuses_is_refused_with_its_place() {
        for json in [
            "{",
            "[",
            "{\"a\"}",
            "{\"a\":}",
            "{:1}",
            "[1 2]",
            "\"a",
            "tru",
            "{} x",
            "\"\\q\"",
            "\"\\u12\"",
            "1e999",
            "-",
        ] {
            assert!(matches!(parse(json.as_bytes()), Err(JsonError::Syntax { .. })), "{json}");
        }
        assert_eq!(parse("[".repeat(1000).as_bytes()), Err(JsonError::Depth));
        assert_eq!(parse(&b"[1,".repeat(NODES_MAX)), Err(JsonError::Depth));
        assert_eq!(parse(format!("[{}", "1,".repeat(NODES_MAX)).as_bytes()), Err(JsonError::Size));
    }

    #[test]
    fn references_are_resolved_and_cycles_are_bounded() {
        let json = parse(br#"{"a":[{"x":1}],"b":{"$ref":"$.a[0]"},"c":{"$ref":"$.a[7]"},"d":{"$ref":".."}}"#).unwrap();
        assert_eq!(json.get("b"), Some(&object(&[("x", Json::Int(1))])));
        assert_eq!((json.get("c"), json.get("d")), (Some(&Json::Null), Some(&Json::Null)));
        let json = parse(
            br#"{"o":{{"brokerName":"b","queueId":0,"topic":"T"}:{"v":1}},
                "r":{"$ref":"$.o.MessageQueue\\ \\[topic\\=T\\,\\ brokerName\\=b\\,\\ queueId\\=0\\]"}}"#,
        );
        assert_eq!(json.unwrap().get("r"), Some(&object(&[("v", Json::Int(1))])));
        assert_eq!(parse(br#"{"a":{"$ref":"$"}}"#), Err(JsonError::Depth));
        let wide: String = (0..10_000).map(|number| format!("\"a{number}\":1,")).collect();
        let refs = r#"{"$ref":"$.a9999"},"#.repeat(1_000);
        let slow = format!("{{{wide}\"r\":[{refs}]}}");
        assert!(parse(slow.as_bytes()).is_ok());
        assert_eq!(parse_bounded(slow.as_bytes(), 12_000), Err(JsonError::Size));
        let fan = r#"{"$ref":"$.a"},"#.repeat(8);
        let bomb = format!(r#"{{"a":[{fan}],"b":[{fan}]}}"#);
        assert!(parse(bomb.as_bytes()).is_err());
    }
}
