//! A caller's own JSON fields, which come back as they were written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The fields of a JSON object, each as its text: a number keeps every digit.
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

    /// Takes a field out, read as a value.
    #[cfg(feature = "cli")]
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let text = self.0.remove(name)?;
        // Only a number too large for a float has a text and no value.
        Some(serde_json::from_str(text.get()).unwrap_or_else(|_| f64::MAX.into()))
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        let texts = |fields: &Self| {
            fields.0.iter().map(|(k, v)| (k.clone(), v.get().to_owned())).collect::<Vec<_>>()
        };
        texts(self) == texts(other)
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
