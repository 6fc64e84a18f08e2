//! How etcd's messages look in JSON: readable by people, lossless for machines.

/// Zero fields are left out, as in etcd's own JSON.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Bytes as a string where they are text, else as `base64:...`. Text that
/// itself starts with `base64:` is encoded, so that reading is unambiguous.
pub(crate) mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::borrow::Cow;

    const PREFIX: &str = "base64:";

    pub(crate) fn serialize<S: Serializer>(value: &Bytes, out: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(value) {
            Ok(text) if !text.starts_with(PREFIX) => out.serialize_str(text),
            _ => out.collect_str(&format_args!("{PREFIX}{}", STANDARD.encode(value))),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Bytes, D::Error> {
        let text = Cow::<'de, str>::deserialize(input)?;
        match text.strip_prefix(PREFIX) {
            None => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Some(encoded) => STANDARD
                .decode(encoded)
                .map(Bytes::from)
                .map_err(|e| D::Error::custom(format_args!("bytes are not base64: {e}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::pb::PutRequest;
    use bytes::Bytes;

    #[test]
    fn bytes_survive_json_whether_text_or_not() {
        for value in [
            &b"plain"[..],
            b"",
            b"\x00\xff",
            b"base64:AAAA",
            "z\u{fc}rich".as_bytes(),
        ] {
            let put = PutRequest {
                key: Bytes::from_static(b"k"),
                value: Bytes::copy_from_slice(value),
                ..PutRequest::default()
            };
            let json = serde_json::to_string(&put).unwrap();
            assert_eq!(
                serde_json::from_str::<PutRequest>(&json).unwrap(),
                put,
                "{json}"
            );
        }
        let put = PutRequest {
            key: Bytes::from_static(b"k"),
            ..PutRequest::default()
        };
        assert_eq!(serde_json::to_string(&put).unwrap(), r#"{"key":"k"}"#);
    }
}
