//! The sure way through a record's JSON: any JSON, parsed by serde.
//!
//! Nothing is built but what is kept, so that the memory that a hostile record takes stays in
//! proportion to its length.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};

use super::{
    Wanted,
    parts::{Field, Parts, RawLink, Sifted},
};

/// Reads the parts out of a record.
pub(super) fn parts(json: &str, wanted: Wanted) -> Result<Parts<'_>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let record = Object::<Record<'_>>::new(wanted).deserialize(&mut deserializer)?;
    deserializer.end()?;
    // cc2dataset fails on a record that is no object as it does on a damaged one.
    let record = record.ok_or_else(|| serde_json::Error::custom("not an object"))?;
    Ok(record.into_parts())
}

/// A value of JSON objects: takes the members that it knows.
trait Members<'de>: Default {
    /// Takes the value of the member `key`, or leaves it if it is none of its own.
    fn take<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        wanted: Wanted,
        map: &mut A,
    ) -> Result<Taken, A::Error>;
}

enum Taken {
    Yes,
    No,
}

#[derive(Default)]
struct Record<'a> {
    filename: Option<Text<'a, Filename>>,
    envelope: Option<Envelope<'a>>,
}

impl<'a> Record<'a> {
    fn into_parts(self) -> Parts<'a> {
        let envelope = self.envelope.unwrap_or_default();
        let html = envelope
            .payload
            .and_then(|payload| payload.response)
            .and_then(|response| response.html)
            .unwrap_or_default();
        let head = html.head.unwrap_or_default();
        let text = |field: Field<'a>| field.text().unwrap_or_default();
        Parts {
            cc_filename: self
                .filename
                .map(|name| text(name.field))
                .unwrap_or_default(),
            page_url: envelope
                .target
                .map(|target| text(target.field))
                .unwrap_or_default(),
            base: head.base.text(),
            links: html.links.links,
            head_licences: head.links.licences,
            link_licences: html.links.licences,
        }
    }
}

#[derive(Default)]
struct Envelope<'a> {
    target: Option<Text<'a, TargetUri>>,
    payload: Option<Payload<'a>>,
}

#[derive(Default)]
struct Payload<'a> {
    response: Option<Response<'a>>,
}

#[derive(Default)]
struct Response<'a> {
    html: Option<Html<'a>>,
}

#[derive(Default)]
struct Html<'a> {
    head: Option<Head<'a>>,
    links: Sifted<'a>,
}

#[derive(Default)]
struct Head<'a> {
    base: Field<'a>,
    links: Sifted<'a>,
}

/// An object of which one text matters; `N` has its name.
#[derive(Default)]
struct Text<'a, N> {
    field: Field<'a>,
    name: PhantomData<N>,
}

trait Name: Default {
    const NAME: &'static str;
}

#[derive(Default)]
struct Filename;

impl Name for Filename {
    const NAME: &'static str = "Filename";
}

#[derive(Default)]
struct TargetUri;

impl Name for TargetUri {
    const NAME: &'static str = "WARC-Target-URI";
}

impl<'de, N: Name> Members<'de> for Text<'de, N> {
    fn take<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        _: Wanted,
        map: &mut A,
    ) -> Result<Taken, A::Error> {
        if key != N::NAME {
            return Ok(Taken::No);
        }
        self.field = map.next_value()?;
        Ok(Taken::Yes)
    }
}

/// Says which members of an object go where, and what reads them.
macro_rules! members {
    ($object:ident, $wanted:ident: $($name:literal $(if $guard:expr)? => $field:ident = $seed:expr),+) => {
        impl<'de> Members<'de> for $object<'de> {
            fn take<A: MapAccess<'de>>(
                &mut self,
                key: &str,
                $wanted: Wanted,
                map: &mut A,
            ) -> Result<Taken, A::Error> {
                match key {
                    $($name $(if $guard)? => self.$field = map.next_value_seed($seed)?,)+
                    _ => return Ok(Taken::No),
                }
                Ok(Taken::Yes)
            }
        }
    };
}

members!(Record, wanted:
    "Container" => filename = Object::new(wanted),
    "Envelope" => envelope = Object::new(wanted));
members!(Envelope, wanted:
    "WARC-Header-Metadata" => target = Object::new(wanted),
    "Payload-Metadata" => payload = Object::new(wanted));
members!(Payload, wanted: "HTTP-Response-Metadata" => response = Object::new(wanted));
members!(Response, wanted: "HTML-Metadata" => html = Object::new(wanted));
members!(Html, wanted:
    "Head" => head = Object::new(wanted),
    "Links" => links = Links(wanted));
members!(Head, wanted:
    "Base" => base = PhantomData,
    "Link" if wanted.licences => links = Links(wanted));

impl<'de> Members<'de> for RawLink<'de> {
    fn take<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        _: Wanted,
        map: &mut A,
    ) -> Result<Taken, A::Error> {
        match self.field(key) {
            Some(field) => *field = map.next_value()?,
            None => return Ok(Taken::No),
        }
        Ok(Taken::Yes)
    }
}

/// Gives the methods of a visitor that pass a value of a type that is not expected.
macro_rules! pass {
    ($value:expr; $($method:ident: $type:ty),*) => {
        $(fn $method<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok($value)
        })*
    };
}

macro_rules! pass_scalars {
    ($value:expr) => {
        pass!($value; visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

fn drain_array<'de, A: SeqAccess<'de>>(mut array: A) -> Result<(), A::Error> {
    while array.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn drain_object<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads an object as `T`; anything else is `None`.
struct Object<T> {
    wanted: Wanted,
    members: PhantomData<T>,
}

impl<T> Object<T> {
    fn new(wanted: Wanted) -> Self {
        Object {
            wanted,
            members: PhantomData,
        }
    }
}

impl<'de, T: Members<'de>> DeserializeSeed<'de> for Object<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Members<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = T::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if let Taken::No = members.take(&key, self.wanted, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Some(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Self::Value, A::Error> {
        drain_array(array).map(|()| None)
    }

    pass!(None; visit_str: &str);
    pass_scalars!(None);
}

/// Reads an array of links; what is no link in it, or no array, counts for nothing.
struct Links(Wanted);

impl<'de> DeserializeSeed<'de> for Links {
    type Value = Sifted<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Links {
    type Value = Sifted<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut sifted = Sifted::default();
        while let Some(link) = array.next_element_seed(Object::<RawLink<'de>>::new(self.0))? {
            if let Some(raw) = link {
                sifted.take(&raw, self.0);
            }
        }
        Ok(sifted)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        drain_object(map).map(|()| Sifted::default())
    }

    pass!(Sifted::default(); visit_str: &str);
    pass_scalars!(Sifted::default());
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Plain(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Decoded(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Self::Value, A::Error> {
        drain_array(array).map(|()| Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        drain_object(map).map(|()| Field::Other)
    }

    pass_scalars!(Field::Other);
}
