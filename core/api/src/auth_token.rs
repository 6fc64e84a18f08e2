//! What kind of token a login gives.

use std::fmt;

/// How members know callers again that have logged in, as etcd's `--auth-token`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AuthToken {
    /// A name that all members keep in memory, brought by an entry of the log.
    #[default]
    Simple,
    /// A signed statement that the caller keeps (RFC 7519): good for a fixed
    /// time by the wall clock, and until users or roles change.
    Jwt(Jwt),
}

/// How JSON web tokens are signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwt {
    /// With what.
    pub method: JwtMethod,
    /// The secret that all members have, and nobody else.
    pub key: Vec<u8>,
    /// For how many seconds a token is good.
    pub ttl: u64,
}

/// A signature by a secret: RFC 7518's HMACs. Of etcd's other methods, RSA has no
/// well-kept implementation without a known flaw in its timing (RUSTSEC-2023-0071).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtMethod {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl JwtMethod {
    /// Every method.
    pub const ALL: [JwtMethod; 3] = [JwtMethod::Hs256, JwtMethod::Hs384, JwtMethod::Hs512];

    /// As headers of tokens and options name it.
    pub const fn name(self) -> &'static str {
        match self {
            JwtMethod::Hs256 => "HS256",
            JwtMethod::Hs384 => "HS384",
            JwtMethod::Hs512 => "HS512",
        }
    }
}

/// etcd's default.
const TTL: u64 = 300;

/// An option is not one of tokens, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuthTokenError(String);

impl AuthToken {
    /// From an option as etcd writes it: `simple`, or
    /// `jwt,sign-method=HS256,priv-key=FILE,ttl=10m`. `read` reads the file.
    ///
    /// # Errors
    /// If the option is of another form, names a method that there is not, or
    /// the file cannot be read.
    pub fn parse(
        option: &str,
        read: impl FnOnce(&str) -> std::io::Result<Vec<u8>>,
    ) -> Result<AuthToken, AuthTokenError> {
        let wrong = |what: String| Err(AuthTokenError(what));
        let mut parts = option.split(',');
        match parts.next() {
            Some("simple") if parts.next().is_none() => return Ok(AuthToken::Simple),
            Some("jwt") => {}
            _ => {
                return wrong(format!(
                    "{option:?} is no kind of token: expected \"simple\" or \"jwt,sign-method=..\""
                ));
            }
        }
        let (mut method, mut file, mut ttl) = (None, None, TTL);
        for part in parts {
            match part.split_once('=') {
                Some(("sign-method", name)) => {
                    let known = JwtMethod::ALL.into_iter().find(|m| m.name() == name);
                    let Some(known) = known else {
                        return wrong(format!(
                            "there is no sign-method {name:?} here: expected HS256, HS384 or HS512"
                        ));
                    };
                    method = Some(known);
                }
                Some(("priv-key", name)) => file = Some(name),
                // A secret is its own counterpart, as in etcd.
                Some(("pub-key", name)) => file = file.or(Some(name)),
                Some(("ttl", text)) => match seconds(text) {
                    Some(seconds) => ttl = seconds,
                    None => {
                        return wrong(format!("{text:?} is no ttl: expected such as \"10m\""));
                    }
                },
                _ => {
                    return wrong(format!(
                        "{part:?} is unknown of a jwt: expected sign-method, priv-key or ttl"
                    ));
                }
            }
        }
        let Some(method) = method else {
            return wrong("a jwt needs a sign-method".into());
        };
        let Some(file) = file else {
            return wrong("a jwt needs a priv-key, the name of a file with the secret".into());
        };
        let key = read(file).map_err(|e| AuthTokenError(format!("{file}: {e}")))?;
        if key.is_empty() {
            return wrong(format!("{file}: an empty secret protects nothing"));
        }
        Ok(AuthToken::Jwt(Jwt { method, key, ttl }))
    }
}

/// `90s`, `10m`, `2h`; not 0.
fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (seconds > 0).then_some(seconds)
}

/// Without the secret.
impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("method", &self.method)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> std::io::Result<Vec<u8>> {
        match name {
            "secret" => Ok(b"0123".to_vec()),
            "empty" => Ok(Vec::new()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    #[test]
    fn options_are_read_as_etcd_writes_them() {
        assert_eq!(AuthToken::parse("simple", read), Ok(AuthToken::Simple));
        let jwt = |ttl| {
            AuthToken::Jwt(Jwt {
                method: JwtMethod::Hs384,
                key: b"0123".to_vec(),
                ttl,
            })
        };
        let option = "jwt,sign-method=HS384,priv-key=secret";
        assert_eq!(AuthToken::parse(option, read), Ok(jwt(300)));
        let option = "jwt,pub-key=secret,sign-method=HS384,ttl=2h";
        assert_eq!(AuthToken::parse(option, read), Ok(jwt(7_200)));
    }

    #[test]
    fn options_that_cannot_work_are_named() {
        for (option, expected) in [
            ("", "is no kind of token"),
            ("simple,ttl=1s", "is no kind of token"),
            ("jwt", "needs a sign-method"),
            (
                "jwt,sign-method=RS256,priv-key=secret",
                "no sign-method \"RS256\"",
            ),
            ("jwt,sign-method=HS256", "needs a priv-key"),
            ("jwt,sign-method=HS256,priv-key=gone", "gone: "),
            ("jwt,sign-method=HS256,priv-key=empty", "protects nothing"),
            ("jwt,sign-method=HS256,priv-key=secret,ttl=0s", "is no ttl"),
            ("jwt,sign-method=HS256,priv-key=secret,ttl=5", "is no ttl"),
            ("jwt,sign-method=HS256,key=secret", "is unknown of a jwt"),
        ] {
            let error = AuthToken::parse(option, read).unwrap_err().to_string();
            assert!(error.contains(expected), "{option}: {error}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let jwt = AuthToken::parse("jwt,sign-method=HS256,priv-key=secret", read).unwrap();
        let shown = format!("{jwt:?}");
        assert!(shown.contains("Hs256") && !shown.contains("48"), "{shown}");
    }
}
