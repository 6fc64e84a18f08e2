//! JSON web tokens (RFC 7519), as etcd gives them out: the claims are the user,
//! the auth revision at which it logged in, and when the token ends.
//!
//! The members keep nothing of them. A token ends with its time, by the wall
//! clock of the member that is asked, and with the next change of users or
//! roles: what is asked with it then is refused for its old revision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};
use squall_api::{Jwt, JwtMethod};

const SECOND: u64 = 1_000_000_000;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) user: String,
    pub(super) revision: u64,
}

/// A token for `claims`, signed at wall time `wall` in nanoseconds.
pub(super) fn sign(jwt: &Jwt, claims: &Claims, wall: u64) -> String {
    let header = json!({ "alg": jwt.method.name(), "typ": "JWT" });
    let claims = json!({
        "username": claims.user,
        "revision": claims.revision,
        "exp": (wall / SECOND).saturating_add(jwt.ttl),
    });
    let mut token = BASE64.encode(header.to_string());
    token.push('.');
    BASE64.encode_string(claims.to_string(), &mut token);
    let signature = match jwt.method {
        JwtMethod::Hs256 => signature::<Hmac<Sha256>>(&jwt.key, &token),
        JwtMethod::Hs384 => signature::<Hmac<Sha384>>(&jwt.key, &token),
        JwtMethod::Hs512 => signature::<Hmac<Sha512>>(&jwt.key, &token),
    };
    token.push('.');
    BASE64.encode_string(signature, &mut token);
    token
}

/// What a token says at wall time `wall`; nothing if it is not, or no longer,
/// one that a member signed.
pub(super) fn verify(jwt: &Jwt, token: &str, wall: u64) -> Option<Claims> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let parsed =
        |part: &str| -> Option<Value> { serde_json::from_slice(&BASE64.decode(part).ok()?).ok() };
    // A token must not choose how it is verified.
    if parsed(header)?.get("alg")?.as_str()? != jwt.method.name() {
        return None;
    }
    let signature = BASE64.decode(signature).ok()?;
    let is_signed = match jwt.method {
        JwtMethod::Hs256 => is_signed::<Hmac<Sha256>>(&jwt.key, signed, &signature),
        JwtMethod::Hs384 => is_signed::<Hmac<Sha384>>(&jwt.key, signed, &signature),
        JwtMethod::Hs512 => is_signed::<Hmac<Sha512>>(&jwt.key, signed, &signature),
    };
    if !is_signed {
        return None;
    }
    let claims = parsed(claims)?;
    let ends = claims.get("exp")?.as_u64()?;
    if wall / SECOND >= ends {
        return None;
    }
    Some(Claims {
        user: claims.get("username")?.as_str()?.to_owned(),
        revision: claims.get("revision")?.as_u64()?,
    })
}

fn keyed<M: Mac + hmac::digest::KeyInit>(key: &[u8], signed: &str) -> M {
    let mac = <M as Mac>::new_from_slice(key);
    mac.expect("an HMAC takes keys of any length")
        .chain_update(signed)
}

fn signature<M: Mac + hmac::digest::KeyInit>(key: &[u8], signed: &str) -> Vec<u8> {
    keyed::<M>(key, signed).finalize().into_bytes().to_vec()
}

/// In a time that says nothing of where a wrong signature differs.
fn is_signed<M: Mac + hmac::digest::KeyInit>(key: &[u8], signed: &str, signature: &[u8]) -> bool {
    keyed::<M>(key, signed).verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(method: JwtMethod) -> Jwt {
        Jwt {
            method,
            key: b"secret".to_vec(),
            ttl: 10,
        }
    }

    fn claims() -> Claims {
        Claims {
            user: "u".into(),
            revision: 7,
        }
    }

    #[test]
    fn a_token_is_good_until_its_time() {
        for method in JwtMethod::ALL {
            let jwt = jwt(method);
            let token = sign(&jwt, &claims(), 5 * SECOND);
            assert_eq!(verify(&jwt, &token, 15 * SECOND - 1), Some(claims()));
            assert_eq!(verify(&jwt, &token, 15 * SECOND), None);
        }
    }

    /// The example of RFC 7515, appendix A.1: its key and its bytes.
    #[test]
    fn signatures_are_the_standards() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let expected = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = BASE64.decode(key).unwrap();
        let found = signature::<Hmac<Sha256>>(&key, signed);
        assert_eq!(BASE64.encode(found), expected);
    }

    #[test]
    fn whatever_a_member_did_not_sign_is_refused() {
        let good = jwt(JwtMethod::Hs256);
        let token = sign(&good, &claims(), 0);
        let other_key = Jwt {
            key: b"Secret".to_vec(),
            ..good.clone()
        };
        let unsigned = format!(
            "{}.{}.",
            BASE64.encode("{\"alg\":\"none\",\"typ\":\"JWT\"}"),
            BASE64.encode("{\"exp\":99,\"revision\":7,\"username\":\"root\"}")
        );
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let root = BASE64.encode("{\"exp\":99,\"revision\":7,\"username\":\"root\"}");
        for wrong in [
            sign(&other_key, &claims(), 0),
            sign(&jwt(JwtMethod::Hs512), &claims(), 0),
            unsigned,
            format!("{header}.{root}.{signature}"),
            signed.to_owned(),
            format!("{token}="),
            String::new(),
            "..".into(),
            "a.b.c".into(),
        ] {
            assert_eq!(verify(&good, &wrong, 0), None, "{wrong}");
        }
    }
}
