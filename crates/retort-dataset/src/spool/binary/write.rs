//! Writing values.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{
    BYTES, BinaryError, DOUBLE, END, FALSE, LIST, MAP, NEGATIVE, NULL, SINGLE, TEXT, TRUE, WHOLE,
};

/// Appends values to a buffer.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    /// Appends a number in groups of 7 bits, lowest first; all but the last have the highest bit set.
    fn groups(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                self.0.push(low & 0x7f);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    fn sized(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.groups(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.sized(TEXT, text.as_bytes());
    }

    fn variant(&mut self, name: &str) {
        self.0.push(MAP);
        self.text(name);
    }
}

/// What is open: how many ends to write when it is closed.
pub(super) struct Open<'a, 'b> {
    writer: &'a mut Writer<'b>,
    ends: u8,
}

impl Open<'_, '_> {
    fn close(self) {
        for _ in 0..self.ends {
            self.writer.0.push(END);
        }
    }
}

impl<'a, 'b> Serializer for &'a mut Writer<'b> {
    type Ok = ();
    type Error = BinaryError;
    type SerializeSeq = Open<'a, 'b>;
    type SerializeTuple = Open<'a, 'b>;
    type SerializeTupleStruct = Open<'a, 'b>;
    type SerializeTupleVariant = Open<'a, 'b>;
    type SerializeMap = Open<'a, 'b>;
    type SerializeStruct = Open<'a, 'b>;
    type SerializeStructVariant = Open<'a, 'b>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), BinaryError> {
        self.0.push(if value { TRUE } else { FALSE });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), BinaryError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), BinaryError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), BinaryError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), BinaryError> {
        if let Ok(whole) = u64::try_from(value) {
            return self.serialize_u64(whole);
        }
        self.0.push(NEGATIVE);
        self.groups((!value).cast_unsigned());
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), BinaryError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), BinaryError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), BinaryError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), BinaryError> {
        self.0.push(WHOLE);
        self.groups(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), BinaryError> {
        self.0.push(SINGLE);
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), BinaryError> {
        self.0.push(DOUBLE);
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), BinaryError> {
        self.text(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), BinaryError> {
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), BinaryError> {
        self.sized(BYTES, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), BinaryError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), BinaryError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), BinaryError> {
        self.0.push(NULL);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), BinaryError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<(), BinaryError> {
        self.text(name);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), BinaryError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), BinaryError> {
        self.variant(name);
        value.serialize(&mut *self)?;
        self.0.push(END);
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a, 'b>, BinaryError> {
        self.0.push(LIST);
        Ok(Open {
            writer: self,
            ends: 1,
        })
    }

    fn serialize_tuple(self, length: usize) -> Result<Open<'a, 'b>, BinaryError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        length: usize,
    ) -> Result<Open<'a, 'b>, BinaryError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Open<'a, 'b>, BinaryError> {
        self.variant(name);
        self.0.push(LIST);
        Ok(Open {
            writer: self,
            ends: 2,
        })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'a, 'b>, BinaryError> {
        self.0.push(MAP);
        Ok(Open {
            writer: self,
            ends: 1,
        })
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Open<'a, 'b>, BinaryError> {
        self.serialize_map(Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Open<'a, 'b>, BinaryError> {
        self.variant(name);
        self.0.push(MAP);
        Ok(Open {
            writer: self,
            ends: 2,
        })
    }
}

macro_rules! items {
    ($($trait:ident, $method:ident;)+) => {
        $(impl $trait for Open<'_, '_> {
            type Ok = ();
            type Error = BinaryError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BinaryError> {
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Result<(), BinaryError> {
                self.close();
                Ok(())
            }
        })+
    };
}

items! {
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
}

macro_rules! fields {
    ($($trait:ident;)+) => {
        $(impl $trait for Open<'_, '_> {
            type Ok = ();
            type Error = BinaryError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), BinaryError> {
                self.writer.text(name);
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Result<(), BinaryError> {
                self.close();
                Ok(())
            }
        })+
    };
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl SerializeMap for Open<'_, '_> {
    type Ok = ();
    type Error = BinaryError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), BinaryError> {
        key.serialize(&mut *self.writer)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BinaryError> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), BinaryError> {
        self.close();
        Ok(())
    }
}
