//! The results as the page's script reads them: arrays in a fixed order, for a page of 50,000 of them is
//! to open at once. `page.js` names the places.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::report::{Certainty, Report};

/// All that the script is given.
#[derive(Default, Serialize)]
pub(super) struct Rows {
    /// Every code that occurs, with its advice.
    codes: Vec<Code>,
    /// Every message that occurs: many results say the same.
    messages: Vec<String>,
    rows: Vec<Box<RawValue>>,
    /// Pictures by the place of their row.
    pictures: HashMap<usize, Picture>,
    #[serde(skip)]
    known_codes: HashMap<String, usize>,
    #[serde(skip)]
    known_messages: HashMap<String, usize>,
}

#[derive(Serialize)]
struct Code {
    code: String,
    advice: Option<&'static str>,
}

struct Picture(Vec<u8>);

impl Serialize for Picture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("data:image/jpeg;base64,{}", STANDARD.encode(&self.0)))
    }
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn add(&mut self, result: &Report, picture: Option<&[u8]>) {
        let reasons: Vec<(usize, usize)> = result
            .reasons
            .iter()
            .map(|reason| {
                let code = reason.code.as_str();
                let codes = &mut self.codes;
                let code = *self.known_codes.entry(code.to_owned()).or_insert_with(|| {
                    codes.push(Code { code: code.to_owned(), advice: reason.code.advice() });
                    codes.len() - 1
                });
                let messages = &mut self.messages;
                let message = &reason.message;
                let known = self.known_messages.entry(message.clone());
                let message = *known.or_insert_with(|| {
                    messages.push(message.clone());
                    messages.len() - 1
                });
                (code, message)
            })
            .collect();
        let image = result.image.as_ref().map(|image| {
            let orientation = image.orientation.map_or(1, u8::from);
            (image.format.to_string(), image.width, image.height, orientation)
        });
        let boxes = result.verdict.boxes();
        let screen = result.screen.as_ref().map(|screen| {
            let faces: Vec<_> = screen.faces.iter().map(|face| face.bbox).collect();
            (faces, screen.advice.map(crate::report::Advice::in_words))
        });
        let row = (
            result.index,
            &result.source,
            result.verdict.as_str(),
            image,
            reasons,
            boxes,
            result.billing.images,
            result.billing.certainty == Certainty::Unknown,
            result.from_ledger,
            &result.image_id,
            &result.request_id,
            result.ratio.as_str(),
            screen,
        );
        // Numbers, texts and lists of them are always JSON.
        let Ok(row) = serde_json::value::to_raw_value(&row) else { return };
        if let Some(picture) = picture {
            self.pictures.insert(self.rows.len(), Picture(picture.to_vec()));
        }
        self.rows.push(row);
    }

    /// As JSON that may stand in a page: no text in it can end the element that it stands in.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let json = serde_json::to_string(self)?;
        Ok(json
            .replace('<', "\\u003c")
            .replace('\u{2028}', "\\u2028")
            .replace('\u{2029}', "\\u2029"))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({})", self.rows.len())
    }
}
