//! The internal copy of the frozen contract differs from it in presence and in tags 10 to 12, and nowhere else.

use blockhie_transport::pb::DESCRIPTORS;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");

fn compile(file: &str) -> FileDescriptorProto {
    let path = std::path::Path::new(PROTO).join(file);
    let mut compiled = protox::compile([path], [PROTO]).unwrap().file.pop().unwrap();
    compiled.source_code_info = None;
    compiled
}

fn bytes_field(name: &str, number: i32, label: Label) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(Type::Bytes.into()),
        json_name: Some(name.into()),
        ..Default::default()
    }
}

#[test]
fn the_internal_copy_differs_only_in_presence_and_tags_10_to_12() {
    let mut expected = compile("blochie.proto");
    expected.name = Some("internal/blochie_presence.proto".into());
    let mut required = 0;
    for message in &mut expected.message_type {
        for field in &mut message.field {
            if field.label() == Label::Required {
                field.set_label(Label::Optional);
                required += 1;
            }
        }
        if message.name() == "Block" {
            message.field.push(bytes_field("siblinghash", 10, Label::Repeated));
            message.field.push(bytes_field("minersignature", 11, Label::Optional));
            message.field.push(bytes_field("historyroot", 12, Label::Optional));
        }
    }
    assert_eq!(required, 15, "the frozen contract has 15 required fields");
    assert_eq!(compile("internal/blochie_presence.proto"), expected);
}

#[test]
fn the_server_is_built_from_these_files() {
    let served = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    for file in ["internal/blochie_presence.proto", "blockhie/v1/ledger.proto", "blockhie/v1/peer.proto"] {
        assert_eq!(served.file.iter().find(|served| served.name() == file), Some(&compile(file)));
    }
    assert_eq!(served.file.len(), 3);
}
