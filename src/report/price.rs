//! The price of an image, and prices in CNY, exact: a decimal number of up to six places, kept in millionths.

use std::fmt;

/// The price of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Price(u64);

/// An amount of CNY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount(u128);

impl Price {
    /// The vendor page's price for an image, CNY 0.004; the first 200 are free, which nothing here
    /// can know of.
    pub(crate) const DOCUMENTED: Self = Self(4_000);

    #[cfg(feature = "cli")]
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let required =
            || format!("a price must be like 0.004, with at most six places, found {text:?}");
        let (whole, places) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty()
            || whole.len() > 9
            || places.len() > 6
            || !digits(whole)
            || !digits(places)
        {
            return Err(required());
        }
        // Six places after the point are millionths.
        format!("{whole}{places:0<6}").parse().map(Self).map_err(|_| required())
    }

    pub(crate) fn of(self, images: u64) -> Amount {
        Amount(u128::from(self.0) * u128::from(images))
    }
}

/// As a decimal with at least the three places of the documented price.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, millionths) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let places = format!("{millionths:06}");
        let short = places.trim_end_matches('0');
        write!(f, "{whole}.{short:0<3}")
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_decimals() {
        for (price, images, amount) in [
            ("0.004", 1, "0.004"),
            ("0.004", 250, "1.000"),
            ("0.004", 10_000_000, "40000.000"),
            ("0.0035", 3, "0.0105"),
            ("1", 2, "2.000"),
            ("0.000001", 1, "0.000001"),
            ("0", 7, "0.000"),
        ] {
            assert_eq!(Price::parse(price).unwrap().of(images).to_string(), amount);
        }
        for wrong in ["", ".5", "-1", "1e3", "0.0000001", "0,004", "٣", "1.2.3", "9999999999"] {
            assert!(Price::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
