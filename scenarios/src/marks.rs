//! The named points of the code, found in its sources when squall was built.

/// A named point in the code that members pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Mark {
    /// Its name.
    pub name: &'static str,
    /// What happens there; empty if the code does not say.
    pub about: &'static str,
    /// Where it stands, as `file:line`; the first place of several.
    pub place: &'static str,
}

/// Every mark, by name.
pub const MARKS: &[Mark] = include!(concat!(env!("OUT_DIR"), "/marks.rs"));

/// The names of all marks, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    MARKS.iter().map(|mark| mark.name)
}

/// The mark of that name.
pub fn find(name: &str) -> Option<&'static Mark> {
    MARKS.iter().find(|mark| mark.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found_where_it_stands() {
        assert!(MARKS.is_sorted_by_key(|mark| mark.name));
        for name in squall_raft::marks::ALL {
            assert!(find(name).is_some(), "{name} is not listed");
        }
        for name in ["wal.tail_truncated", "net.damage_unnoticed"] {
            assert!(find(name).is_some(), "{name} is not listed");
        }
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        for mark in MARKS {
            let (file, line) = mark.place.split_once(':').expect("it stands somewhere");
            let text = std::fs::read_to_string(root.unwrap().join(file)).expect("a source file");
            let line = text.lines().nth(line.parse::<usize>().unwrap() - 1);
            assert!(line.is_some_and(|line| line.contains("mark")), "{mark:?}");
        }
    }
}
