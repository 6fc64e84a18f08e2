//! Passwords, which nobody keeps: bcrypt, as etcd does it.

use crate::error::Refusal;

/// The hash of a password, in bcrypt's own text form. Work doubles with each
/// step of `cost`.
pub(crate) fn hash(password: &str, cost: u32, salt: [u8; 16]) -> Result<String, Refusal> {
    // bcrypt looks at 72 bytes; what it would cut off is refused instead.
    bcrypt::non_truncating_hash_with_salt(password, cost, salt)
        .map(|parts| parts.to_string())
        .map_err(|_| Refusal::PasswordTooLong)
}

/// Whether this is the password that was hashed.
pub(super) fn matches(password: &str, hash: &[u8]) -> bool {
    let hash = std::str::from_utf8(hash).unwrap_or_default();
    bcrypt::non_truncating_verify(password, hash).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_password_only() {
        let text = hash("secret", 4, [7; 16]).unwrap();
        assert!(matches("secret", text.as_bytes()));
        assert!(!matches("Secret", text.as_bytes()));
        assert!(!matches("", b""));
        assert!(!text.contains("secret"));
        assert_ne!(text, hash("secret", 4, [8; 16]).unwrap());
        assert_eq!(
            hash(&"x".repeat(73), 4, [7; 16]),
            Err(Refusal::PasswordTooLong)
        );
    }
}
