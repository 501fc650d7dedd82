//! How a dream answers what a type asks for.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{Dream, Woken};

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "any number will do")]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
            visitor.$visit(self.number() as $type)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Dream<'_> {
    type Error = Woken;

    fn is_human_readable(&self) -> bool {
        false
    }

    whole_numbers!(
        deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    );

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        visitor.visit_u8(self.byte())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        visitor.visit_bool(self.byte() & 1 == 1)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        visitor.visit_f64(self.double())
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        visitor.visit_f64(self.double())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        visitor.visit_string(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        visitor.visit_string(self.text())
    }

    /// Ids are what our types have as bytes.
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        visitor.visit_bytes(&self.id())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        let most = usize::from(self.byte());
        visitor.visit_bytes(self.take(most))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        if self.byte() & 1 == 1 {
            self.deeper(|dream| visitor.visit_some(dream))
        } else {
            visitor.visit_none()
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Woken> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Woken> {
        self.deeper(|dream| visitor.visit_newtype_struct(dream))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        let left = self.items();
        self.deeper(|dream| visitor.visit_seq(Items { dream, left }))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Woken> {
        let left = self.items();
        self.deeper(|dream| visitor.visit_map(Items { dream, left }))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Woken> {
        self.deeper(|dream| visitor.visit_seq(Items { dream, left }))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, left: usize, visitor: V) -> Result<V::Value, Woken> {
        self.deserialize_tuple(left, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Woken> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Woken> {
        let variant = u32::try_from(usize::from(self.byte()) % variants.len().max(1)).unwrap_or(0);
        self.deeper(|dream| visitor.visit_enum(Variant { dream, variant }))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Woken> {
        Err(Woken("a type that does not say what it is".to_owned()))
    }

    forward_to_deserialize_any! { char identifier ignored_any }
}

/// The items of a list, the fields of a struct, or the entries of a map.
struct Items<'d, 'a> {
    dream: &'d mut Dream<'a>,
    left: usize,
}

impl Items<'_, '_> {
    fn next(&mut self) -> Option<&mut Self> {
        self.left = self.left.checked_sub(1)?;
        Some(self)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Woken;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Woken> {
        self.next().map(|items| seed.deserialize(&mut *items.dream)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Items<'_, '_> {
    type Error = Woken;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Woken> {
        self.next().map(|items| seed.deserialize(&mut *items.dream)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Woken> {
        seed.deserialize(&mut *self.dream)
    }
}

struct Variant<'d, 'a> {
    dream: &'d mut Dream<'a>,
    variant: u32,
}

impl<'de, 'd, 'a> EnumAccess<'de> for Variant<'d, 'a> {
    type Error = Woken;
    type Variant = &'d mut Dream<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Woken> {
        let number = serde::de::value::U32Deserializer::<Woken>::new(self.variant);
        Ok((seed.deserialize(number)?, self.dream))
    }
}

impl<'de> VariantAccess<'de> for &mut Dream<'_> {
    type Error = Woken;

    fn unit_variant(self) -> Result<(), Woken> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Woken> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Woken> {
        self.deserialize_tuple(left, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Woken> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}
