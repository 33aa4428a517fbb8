//! The codec of all services: prost, with two rules before a message is built.
//!
//! tonic's own codec answers INTERNAL to bytes that are no message, which blames this node, and it allocates one
//! element for each repeated field, however many there are.

use crate::convert::ConversionError;
use crate::limits::MAX_MESSAGE_FIELDS;
use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use std::marker::PhantomData;
use std::sync::Arc;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encodes `T` and decodes `U`.
#[derive(Debug, Clone)]
pub struct BoundedCodec<T, U>(PhantomData<fn(T) -> U>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = MessageEncoder<T>;
    type Decoder = MessageDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

/// Half of [`BoundedCodec`].
#[derive(Debug, Clone)]
pub struct MessageEncoder<T>(PhantomData<fn(T)>);

impl<T: Message + 'static> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buf).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Half of [`BoundedCodec`].
#[derive(Debug, Clone)]
pub struct MessageDecoder<U>(PhantomData<fn() -> U>);

impl<U: Message + Default + 'static> Decoder for MessageDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        decode(buf.copy_to_bytes(buf.remaining())).map(Some).map_err(|error| {
            let mut status = Status::invalid_argument(error.to_string());
            // Tells the client's side of this codec from a status that the server sent.
            status.set_source(Arc::new(error));
            status
        })
    }
}

fn decode<U: Message + Default>(bytes: Bytes) -> Result<U, ConversionError> {
    let broken = |error: prost::DecodeError| ConversionError::new("message", "a protobuf message", error.to_string());
    let mut rest = &bytes[..];
    let mut fields = 0;
    while rest.has_remaining() {
        let (tag, wire_type) = decode_key(&mut rest).map_err(broken)?;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map_err(broken)?;
        fields += 1;
        if fields > MAX_MESSAGE_FIELDS {
            let expected = format!("at most {MAX_MESSAGE_FIELDS} fields");
            return Err(ConversionError::new("message", expected, "more"));
        }
    }
    U::decode(bytes).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;
    use proptest::prelude::*;

    #[test]
    fn a_flood_of_fields_is_refused_before_it_is_built() {
        let flood = |count: usize| Bytes::from([0x3a, 0].repeat(count));
        assert_eq!(decode::<pb::Block>(flood(MAX_MESSAGE_FIELDS)).unwrap().txshash.len(), MAX_MESSAGE_FIELDS);
        let error = decode::<pb::Block>(flood(MAX_MESSAGE_FIELDS + 1)).unwrap_err();
        assert_eq!(error.to_string(), "message: expected at most 4500 fields, got more");
    }

    #[test]
    fn bytes_that_are_no_message_are_told_so() {
        for bad in [&b"\x0a\x05abc"[..], b"\x0a", b"\x08\x01", b"\x0f", b"\x00\x00"] {
            let error = decode::<pb::Message>(Bytes::from_static(bad)).unwrap_err();
            assert!(error.to_string().starts_with("message: expected a protobuf message, got "), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let plain = pb::Block::decode(&bytes[..]);
            // The scan refuses nothing that prost takes, and the other way round.
            prop_assert_eq!(decode::<pb::Block>(Bytes::from(bytes)).ok(), plain.ok());
        }
    }
}
