//! Property strings: `volume,key=value,key=value`.

use std::fmt;

/// A value of comma-separated `key=value` parts, of which one, the default key, may stand
/// without its name: `local:100/disk.raw,size=4G`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyString {
    /// `None` as key is the default key.
    parts: Vec<(Option<String>, String)>,
}

impl PropertyString {
    /// Splits at commas and at the first `=` of each part; empty parts are dropped. Nothing is
    /// rejected here: which keys make sense is for the caller to know.
    pub fn parse(text: &str) -> Self {
        let parts = text.split(',').filter(|part| !part.is_empty());
        let parts = parts.map(|part| match part.split_once('=') {
            Some((key, value)) => (Some(key.to_owned()), value.to_owned()),
            None => (None, part.to_owned()),
        });
        Self {
            parts: parts.collect(),
        }
    }

    /// The value of `key`, or of the part without a key if `key` is the `default` one.
    pub fn get(&self, key: Option<&str>) -> Option<&str> {
        let part = self.parts.iter().find(|(k, _)| k.as_deref() == key);
        part.map(|(_, value)| value.as_str())
    }

    /// The parts with a key, in their order.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts
            .iter()
            .filter_map(|(key, value)| Some((key.as_deref()?, value.as_str())))
    }

    /// Sets `key` (`None`: the part without a key, which stands first) in its place, or adds it.
    pub fn set(&mut self, key: Option<&str>, value: &str) {
        let value = value.to_owned();
        match self.parts.iter_mut().find(|(k, _)| k.as_deref() == key) {
            Some(part) => part.1 = value,
            None if key.is_none() => self.parts.insert(0, (None, value)),
            None => self.parts.push((key.map(str::to_owned), value)),
        }
    }

    /// Removes `key`; tells whether it was there.
    pub fn remove(&mut self, key: Option<&str>) -> bool {
        let before = self.parts.len();
        self.parts.retain(|(k, _)| k.as_deref() != key);
        self.parts.len() != before
    }
}

impl fmt::Display for PropertyString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.parts.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match key {
                Some(key) => write!(f, "{comma}{key}={value}")?,
                None => write!(f, "{comma}{value}")?,
            }
        }
        Ok(())
    }
}
