//! Compiles etcd's messages with protox (pure Rust: no protoc needed).

use prost_build::Config;
use protox::prost_reflect::prost_types::field_descriptor_proto::{Label, Type};

const PROTOS: [&str; 7] = [
    "proto/auth.proto",
    "proto/election.proto",
    "proto/kv.proto",
    "proto/lock.proto",
    "proto/peer.proto",
    "proto/raft_internal.proto",
    "proto/rpc.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;

    let mut config = Config::new();
    config.bytes(["."]);
    config.message_attribute(
        ".",
        "#[derive(serde::Serialize, serde::Deserialize)] #[serde(default)]",
    );
    config.enum_attribute(
        ".",
        "#[derive(serde::Serialize, serde::Deserialize)] #[serde(rename_all = \"snake_case\")]",
    );
    // Histories are read by people: zero fields are left out, and bytes are
    // written as text wherever they are text.
    for file in &descriptors.file {
        for message in &file.message_type {
            let name = format!(".{}.{}", file.package(), message.name());
            for field in &message.field {
                let path = format!("{name}.{}", field.name());
                let in_oneof = field.oneof_index.is_some();
                if !in_oneof {
                    config.field_attribute(
                        &path,
                        "#[serde(skip_serializing_if = \"crate::json::is_default\")]",
                    );
                }
                if field.r#type() == Type::Bytes && field.label() != Label::Repeated {
                    config.field_attribute(&path, "#[serde(with = \"crate::json::bytes\")]");
                }
            }
        }
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
