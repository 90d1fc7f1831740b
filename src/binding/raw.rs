//! JavaScript values as the options need them.

use napi::bindgen_prelude::{FromNapiValue, JsObjectValue, Object, Unknown};
use napi::{Error, JsValue, KeyCollectionMode, KeyConversion, KeyFilter, ValueType};
use push_engine::options::Raw;

use super::misuse::{Misuse, from_napi};

/// Options are two levels deep: `backoff` is an object.
const DEPTH: u32 = 2;

pub(super) fn from_js(value: Unknown<'_>) -> Result<Raw, Error<Misuse>> {
    convert(value, DEPTH).map_err(from_napi)
}

fn convert(value: Unknown<'_>, depth: u32) -> napi::Result<Raw> {
    Ok(match value.get_type()? {
        ValueType::Undefined => Raw::Undefined,
        ValueType::Null => Raw::Null,
        ValueType::Boolean => Raw::Bool(bool::from_unknown(value)?),
        ValueType::Number => Raw::Number(f64::from_unknown(value)?),
        ValueType::String => Raw::String(String::from_unknown(value)?),
        ValueType::Object if value.is_array()? => Raw::Other("array"),
        ValueType::Object if depth > 0 => Raw::Object(entries(&Object::from_unknown(value)?, depth - 1)?),
        ValueType::Object => Raw::Other("object"),
        ValueType::Function => Raw::Other("function"),
        ValueType::Symbol => Raw::Other("symbol"),
        ValueType::BigInt => Raw::Other("bigint"),
        _ => Raw::Other("value of another type"),
    })
}

fn entries(object: &Object<'_>, depth: u32) -> napi::Result<Vec<(String, Raw)>> {
    let names = object.get_all_property_names(
        KeyCollectionMode::OwnOnly,
        KeyFilter::Enumerable,
        KeyConversion::NumbersToStrings,
    )?;
    let mut entries = Vec::new();
    for index in 0..names.get_array_length()? {
        let name: Unknown<'_> = names.get_element(index)?;
        // No option is named by a symbol.
        if name.get_type()? != ValueType::String {
            continue;
        }
        let name = String::from_unknown(name)?;
        let value: Unknown<'_> = object.get_named_property(&name)?;
        entries.push((name, convert(value, depth)?));
    }
    Ok(entries)
}
