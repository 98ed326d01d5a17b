//! Reading values back.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{
    BYTES, BinaryError, DOUBLE, END, FALSE, LIST, MAP, NEGATIVE, NULL, SINGLE, TEXT, TRUE, WHOLE,
};

/// How deep lists and maps may lie within each other: above what JSON is read to, where the deepest
/// values of a record come from.
const DEPTH_MAX: u32 = 256;

/// Reads values from bytes.
pub(super) struct Reader<'de> {
    rest: &'de [u8],
    depth: u32,
}

pub(super) fn damaged() -> BinaryError {
    BinaryError("a record cannot be read".to_owned())
}

impl<'de> Reader<'de> {
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self {
            rest: bytes,
            depth: 0,
        }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn peek(&self) -> Result<u8, BinaryError> {
        self.rest.first().copied().ok_or_else(damaged)
    }

    fn byte(&mut self) -> Result<u8, BinaryError> {
        let (first, rest) = self.rest.split_first().ok_or_else(damaged)?;
        self.rest = rest;
        Ok(*first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BinaryError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(damaged)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn groups(&mut self) -> Result<u64, BinaryError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(damaged());
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(damaged())
    }

    fn sized(&mut self) -> Result<&'de [u8], BinaryError> {
        let length = usize::try_from(self.groups()?).map_err(|_| damaged())?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<&'de str, BinaryError> {
        std::str::from_utf8(self.sized()?).map_err(|_| damaged())
    }

    /// Reads what is within a list or a map, and its end.
    fn within<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, BinaryError>,
    ) -> Result<T, BinaryError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(damaged());
        }
        let value = read(self)?;
        self.depth -= 1;
        match self.byte()? {
            END => Ok(value),
            _ => Err(damaged()),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = BinaryError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        match self.byte()? {
            NULL => visitor.visit_unit(),
            FALSE => visitor.visit_bool(false),
            TRUE => visitor.visit_bool(true),
            WHOLE => visitor.visit_u64(self.groups()?),
            NEGATIVE => visitor.visit_i64(!self.groups()?.cast_signed()),
            DOUBLE => visitor.visit_f64(f64::from_le_bytes(self.array()?)),
            SINGLE => visitor.visit_f32(f32::from_le_bytes(self.array()?)),
            TEXT => visitor.visit_borrowed_str(self.text()?),
            BYTES => visitor.visit_borrowed_bytes(self.sized()?),
            LIST => self.within(|reader| visitor.visit_seq(Items(reader))),
            MAP => self.within(|reader| visitor.visit_map(Items(reader))),
            _ => Err(damaged()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        if self.peek()? == NULL {
            self.byte()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, BinaryError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BinaryError> {
        match self.byte()? {
            TEXT => visitor.visit_enum(self.text()?.into_deserializer()),
            MAP => self.within(|reader| visitor.visit_enum(Variant(reader))),
            _ => Err(damaged()),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// What is left of a list or a map.
struct Items<'a, 'de>(&'a mut Reader<'de>);

impl<'de> Items<'_, 'de> {
    fn next<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, BinaryError> {
        if self.0.peek()? == END {
            return Ok(None);
        }
        seed.deserialize(&mut *self.0).map(Some)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = BinaryError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, BinaryError> {
        self.next(seed)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = BinaryError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, BinaryError> {
        self.next(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, BinaryError> {
        seed.deserialize(&mut *self.0)
    }
}

/// A variant that holds something.
struct Variant<'a, 'de>(&'a mut Reader<'de>);

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = BinaryError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), BinaryError> {
        let name = seed.deserialize(&mut *self.0)?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = BinaryError;

    fn unit_variant(self) -> Result<(), BinaryError> {
        Err(damaged())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, BinaryError> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, BinaryError> {
        self.0.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BinaryError> {
        self.0.deserialize_any(visitor)
    }
}
