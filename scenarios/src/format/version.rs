//! Releases, as scenario files name them.

use super::document::{Node, Problem};
use super::fields::Read;
use squall_api::Version;

impl Read for Version {
    fn read(node: &Node) -> Result<Version, Problem> {
        let text = String::read(node)?;
        text.parse().map_err(|_| {
            let message = format!("{text:?} is no version");
            Problem::new(&node.place, message, "expected such as \"3.6\"")
        })
    }
}

/// What members can run as.
pub(super) fn supported() -> String {
    let (oldest, newest) = (Version::OLDEST.short(), Version::NEWEST.short());
    format!("expected {oldest} to {newest}")
}
