//! Numbers for names.

use std::collections::BTreeMap;

/// Numbers names in the order in which they come.
#[derive(Debug, Default)]
pub(crate) struct Names<'a> {
    names: Vec<&'a str>,
    numbers: BTreeMap<Name<'a>, u32>,
}

/// Most names are a few bytes long. Those are compared as numbers, which is
/// several times faster than as strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name<'a> {
    Short(u64),
    Long(&'a str),
}

impl<'a> Names<'a> {
    /// The number of a name, a new one if it was not seen before.
    pub(crate) fn number(&mut self, name: &'a str) -> u32 {
        let fresh = self.names.len() as u32;
        let number = *self.numbers.entry(Name::new(name)).or_insert(fresh);
        if number == fresh {
            self.names.push(name);
        }
        number
    }

    /// Every name, by number.
    pub(crate) fn into_names(self) -> Vec<&'a str> {
        self.names
    }
}

impl Name<'_> {
    fn new(name: &str) -> Name<'_> {
        let bytes = name.as_bytes();
        if bytes.len() > 7 {
            return Name::Long(name);
        }
        // The length keeps names apart that differ by zero bytes at the end.
        let packed = |packed: u64, byte: &u8| packed << 8 | u64::from(*byte);
        Name::Short(bytes.iter().fold(bytes.len() as u64, packed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_own_number() {
        let names = ["", "\0", "\0\0", "a", "a\0", "\0a", "1234567", "12345678"];
        let mut numbers = Names::default();
        for _ in 0..2 {
            for (i, name) in names.iter().enumerate() {
                assert_eq!(numbers.number(name), i as u32, "{name:?}");
            }
        }
        assert_eq!(numbers.into_names(), names);
    }
}
