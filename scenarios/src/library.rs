//! The scenarios that come with squall, embedded.

/// Every built-in scenario as (name, text), the simplest first.
pub fn all() -> &'static [(&'static str, &'static str)] {
    LIBRARY
}

/// The text of the built-in scenario called `name`.
pub fn get(name: &str) -> Option<&'static str> {
    let found = LIBRARY.iter().find(|(n, _)| *n == name);
    found.map(|(_, text)| *text)
}

const LIBRARY: &[(&str, &str)] = &[];
