//! From the tree to serde's types, with fastjson's conversions: numbers in text, text from numbers, null members as if
//! they were absent, ordinals are left to the enums (see `body`).

use std::fmt::Display;

use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{Form, Json, JsonError, Key, from_json, parse, to_vec};

impl de::Error for JsonError {
    fn custom<T: Display>(message: T) -> Self {
        JsonError::Shape(message.to_string())
    }
}

/// Deserializer over a value of the tree.
#[derive(Clone, Copy)]
pub(super) struct De<'a>(pub &'a Json);

impl De<'_> {
    fn int(self) -> Result<i64, JsonError> {
        match self.0 {
            Json::Int(int) => Ok(*int),
            Json::Bool(flag) => Ok(i64::from(*flag)),
            Json::Float(float) if float.abs() < 9e18 => Ok(*float as i64),
            Json::Text(text) => int_of(text),
            other => Err(self.wrong(other, "a whole number")),
        }
    }

    fn float(self) -> Result<f64, JsonError> {
        match self.0 {
            Json::Int(int) => Ok(*int as f64),
            Json::Float(float) => Ok(*float),
            Json::Text(text) if text.trim().is_empty() => Ok(0.0),
            Json::Text(text) => text.trim().parse().map_err(|_| JsonError::Shape(format!("{text:?} is no number"))),
            other => Err(self.wrong(other, "a number")),
        }
    }

    fn flag(self) -> Result<bool, JsonError> {
        match self.0 {
            Json::Bool(flag) => Ok(*flag),
            Json::Int(int) => Ok(*int == 1),
            Json::Text(text) => match text.trim() {
                "" | "0" => Ok(false),
                "1" => Ok(true),
                text if text.eq_ignore_ascii_case("true") => Ok(true),
                text if text.eq_ignore_ascii_case("false") => Ok(false),
                _ => Err(JsonError::Shape(format!("{text:?} is neither true nor false"))),
            },
            other => Err(self.wrong(other, "true or false")),
        }
    }

    fn wrong(self, found: &Json, wanted: &str) -> JsonError {
        let found = match found {
            Json::Null => "null",
            Json::Bool(_) => "true or false",
            Json::Int(_) | Json::Float(_) => "a number",
            Json::Text(_) => "text",
            Json::List(_) => "a list",
            Json::Object(_) => "an object",
        };
        JsonError::Shape(format!("found {found} in the place of {wanted}"))
    }
}

fn int_of(text: &str) -> Result<i64, JsonError> {
    match text.trim() {
        "" | "null" => Ok(0),
        text => text.parse().map_err(|_| JsonError::Shape(format!("{text:?} is no whole number of 64 bits"))),
    }
}

macro_rules! ints {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            visitor.visit_i64(self.int()?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for De<'de> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::Null => visitor.visit_unit(),
            Json::Bool(flag) => visitor.visit_bool(*flag),
            Json::Int(int) => visitor.visit_i64(*int),
            Json::Float(float) => visitor.visit_f64(*float),
            Json::Text(text) => visitor.visit_borrowed_str(text),
            Json::List(_) => self.deserialize_seq(visitor),
            Json::Object(_) => self.deserialize_map(visitor),
        }
    }

    ints!(deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64);

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_bool(self.flag()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::Text(text) => visitor.visit_borrowed_str(text),
            Json::Int(int) => visitor.visit_string(int.to_string()),
            Json::Bool(flag) => visitor.visit_str(if *flag { "true" } else { "false" }),
            Json::Null => visitor.visit_str(""),
            other => visitor.visit_string(String::from_utf8_lossy(&to_vec(other, Form::Fastjson)).into_owned()),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::List(items) => visitor.visit_seq(Items(items.iter())),
            other => Err(self.wrong(other, "a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::Object(members) => visitor.visit_map(Members { rest: members.iter(), fields: None, value: None }),
            other => Err(self.wrong(other, "an object")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::Object(members) => {
                visitor.visit_map(Members { rest: members.iter(), fields: Some(fields), value: None })
            }
            // An absent document is a bean with nothing set.
            Json::Null => visitor.visit_map(Members { rest: [].iter(), fields: Some(fields), value: None }),
            other => Err(self.wrong(other, "an object")),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

struct Items<'a>(std::slice::Iter<'a, Json>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = JsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, JsonError> {
        match self.0.find(|item| **item != Json::Null) {
            Some(item) => seed.deserialize(De(item)).map(Some),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// Members that are not null; of a bean only those that it has.
struct Members<'a> {
    rest: std::slice::Iter<'a, (Key, Json)>,
    fields: Option<&'static [&'static str]>,
    value: Option<&'a Json>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, JsonError> {
        for (key, value) in self.rest.by_ref() {
            if *value == Json::Null {
                continue;
            }
            if let Some(fields) = self.fields {
                match key {
                    Key::Name(name) if fields.contains(&name.as_str()) => {}
                    _ => continue,
                }
            }
            self.value = Some(value);
            return seed.deserialize(KeyDe(key)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, JsonError> {
        seed.deserialize(De(self.value.take().unwrap_or(&Json::Null)))
    }
}

/// Deserializer over a member's name.
#[derive(Clone, Copy)]
struct KeyDe<'a>(&'a Key);

macro_rules! int_keys {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            match self.0 {
                Key::Name(name) => visitor.visit_i64(int_of(name)?),
                Key::Bean(_) => Err(JsonError::Shape("found an object in the place of a number as a name".into())),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for KeyDe<'de> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Key::Name(name) => visitor.visit_borrowed_str(name),
            Key::Bean(bean) => {
                visitor.visit_string(String::from_utf8_lossy(&to_vec(&**bean, Form::Fastjson)).into_owned())
            }
        }
    }

    int_keys!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match self.0 {
            Key::Bean(bean) => De(bean).deserialize_struct(name, fields, visitor),
            // JSON in the text of a name, which fastjson 1.x reads too.
            Key::Name(text) => {
                let bean = parse(text.as_bytes())?;
                let Json::Object(members) = &bean else {
                    return Err(JsonError::Shape(format!("{text:?} is no object in the place of a name")));
                };
                let known = members.iter().filter_map(|(key, value)| match key {
                    Key::Name(name) if fields.contains(&name.as_str()) => Some((name.clone(), Scalar(value.clone()))),
                    _ => None,
                });
                visitor.visit_map(de::value::MapDeserializer::new(known))
            }
        }
    }

    forward_to_deserialize_any! {
        bool f32 f64 i128 u128 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

/// A scalar out of a tree that is gone by the time it is read.
struct Scalar(Json);

impl<'de> IntoDeserializer<'de, JsonError> for Scalar {
    type Deserializer = Scalar;

    fn into_deserializer(self) -> Scalar {
        self
    }
}

impl<'de> de::Deserializer<'de> for Scalar {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match &self.0 {
            Json::Bool(flag) => visitor.visit_bool(*flag),
            Json::Int(int) => visitor.visit_i64(*int),
            Json::Text(text) => visitor.visit_str(text),
            _ => Err(JsonError::Shape("found no scalar in an object in the place of a name".into())),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_i32(from_json(&self.0)?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_i64(from_json(&self.0)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(from_json(&self.0)?)
    }

    forward_to_deserialize_any! {
        bool i8 i16 u8 u16 u32 u64 f32 f64 i128 u128 char str bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
