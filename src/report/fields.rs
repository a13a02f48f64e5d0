//! A caller's own JSON fields, whose values come back as they were written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The fields of a JSON object, each value as its text: a number keeps every digit. They are sorted
/// by name, and of two with one name the last stays.
///
/// ```
/// let text = r#"{"big":123456789012345678901234567890,"nested":{"a":[1.10]}}"#;
/// let fields: emo_preflight::Fields = serde_json::from_str(text)?;
/// assert_eq!(fields.get("big"), Some("123456789012345678901234567890"));
/// assert_eq!(serde_json::to_string(&fields)?, text);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// The JSON text of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.get())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields' names.
    #[cfg(feature = "serve")]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Takes a field out, read as a value. Not every text has one: a number too large for a float,
    /// half a surrogate pair and 200 brackets in one another are JSON all the same.
    #[cfg(feature = "serve")]
    pub(crate) fn take(&mut self, name: &str) -> Option<Result<Value, serde_json::Error>> {
        let text = self.0.remove(name)?;
        Some(serde_json::from_str(text.get()))
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        let mine = self.0.iter().map(|(name, value)| (name, value.get()));
        mine.eq(other.0.iter().map(|(name, value)| (name, value.get())))
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        // A value always has a text.
        let texts = map.iter().filter_map(|(name, value)| {
            Some((name.clone(), serde_json::value::to_raw_value(value).ok()?))
        });
        Self(texts.collect())
    }
}
