//! Releases, as etcd numbers them.

use std::fmt;
use std::str::FromStr;

/// A release: what a member runs as, or what a cluster as a whole understands.
///
/// Members of neighbouring minor versions work in one cluster; others do not.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Version {
    /// Differs between releases that have nothing in common.
    pub major: u16,
    /// Differs between releases of which the later understands more.
    pub minor: u16,
    /// Differs between releases that understand the same.
    pub patch: u16,
}

impl Version {
    /// The oldest release that this build can run as.
    pub const OLDEST: Version = Version::new(3, 4, 0);
    /// The release whose API and behaviour this build follows unless it is told
    /// to run as another.
    pub const CURRENT: Version = Version::new(3, 6, 5);
    /// Of the newest minor version that this build can run as.
    pub const NEWEST: Version = Version::new(3, 7, 0);

    /// The release of these numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Version {
        Version {
            major,
            minor,
            patch,
        }
    }

    /// The first release of its minor version: all that clusters are known by.
    pub const fn minor_only(self) -> Version {
        Version::new(self.major, self.minor, 0)
    }

    /// The minor version before; none before the first.
    pub fn previous(self) -> Option<Version> {
        let minor = self.minor.checked_sub(1)?;
        Some(Version::new(self.major, minor, 0))
    }

    /// Whether `self` is of the minor version that comes right after `older`'s.
    pub fn follows(self, older: Version) -> bool {
        self.previous() == Some(older.minor_only())
    }

    /// Whether a member that runs as `self` may be in a cluster of version
    /// `cluster`: it knows what the cluster does, and what comes after it skips
    /// no minor version.
    pub fn fits(self, cluster: Version) -> bool {
        self.minor_only() == cluster.minor_only() || self.follows(cluster)
    }

    /// Whether this build can run as this release.
    pub fn is_supported(self) -> bool {
        (Version::OLDEST..=Version::NEWEST).contains(&self.minor_only())
    }

    /// Without the patch: `3.6`.
    pub fn short(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Version, VersionError> {
        text.parse()
    }
}

/// A text is not of the form `3.6` or `3.6.5`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version: expected such as \"3.6\" or \"3.6.5\"")]
pub struct VersionError(pub String);

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Version, VersionError> {
        let number = |part: &str| -> Option<u16> {
            let is_plain =
                part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            part.parse().ok().filter(|_| is_plain)
        };
        let parts: Option<Vec<u16>> = text.split('.').map(number).collect();
        match parts.as_deref() {
            Some(&[major, minor]) => Ok(Version::new(major, minor, 0)),
            Some(&[major, minor, patch]) => Ok(Version::new(major, minor, patch)),
            _ => Err(VersionError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_read_and_shown() {
        assert_eq!(v("3.6.5"), Version::new(3, 6, 5));
        assert_eq!(v("3.10"), Version::new(3, 10, 0));
        assert_eq!(v("3.6.5").to_string(), "3.6.5");
        assert_eq!(v("3.6.5").short(), "3.6");
        for wrong in [
            "", "3", "3.", "3.6.", "3.6.5.1", "v3.6", "3.06", "3.-1", "3.+6", "3.99999",
        ] {
            let error = wrong.parse::<Version>().unwrap_err().to_string();
            assert!(error.contains("expected such as"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_member_may_be_as_old_as_its_cluster_or_one_minor_version_newer() {
        for (member, cluster, fits) in [
            ("3.6.5", "3.6", true),
            ("3.6.5", "3.5", true),
            ("3.6.5", "3.4", false),
            ("3.5.9", "3.6", false),
            ("4.6.0", "3.6", false),
        ] {
            assert_eq!(v(member).fits(v(cluster)), fits, "{member} in {cluster}");
        }
    }
}
