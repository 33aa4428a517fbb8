//! `Node { number, ipport }`: addresses of peers.

use super::{ConversionError, counted, wire};
use crate::limits::MAX_NODES;
use crate::pb;
use std::net::SocketAddr;

impl TryFrom<pb::Node> for Vec<SocketAddr> {
    type Error = ConversionError;
    fn try_from(node: pb::Node) -> Result<Self, ConversionError> {
        counted("node.number", node.number, node.ipport.len(), MAX_NODES)?;
        node.ipport.iter().map(|text| address("node.ipport", text)).collect()
    }
}

/// An address of digits; names are not looked up.
pub(super) fn address(field: &'static str, text: &[u8]) -> Result<SocketAddr, ConversionError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| ConversionError::new(field, "ip:port", format!("{:?}", String::from_utf8_lossy(text))))
}

impl From<&[SocketAddr]> for pb::Node {
    /// Takes the first [`MAX_NODES`].
    fn from(nodes: &[SocketAddr]) -> Self {
        let ipport: Vec<_> = nodes.iter().take(MAX_NODES).map(|node| wire(node.to_string().as_bytes())).collect();
        let number = i32::try_from(ipport.len()).expect("at most 64");
        Self { number: Some(number), ipport }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    fn node(number: i32, texts: &[&'static [u8]]) -> pb::Node {
        pb::Node { number: Some(number), ipport: texts.iter().map(|text| Bytes::from_static(text)).collect() }
    }

    #[test]
    fn only_addresses_of_digits() {
        assert_eq!(Vec::try_from(node(0, &[])).unwrap(), Vec::<SocketAddr>::new());
        assert_eq!(Vec::<SocketAddr>::try_from(node(2, &[b"127.0.0.1:80", b"[::1]:9"])).unwrap().len(), 2);
        for bad in
            [&b"nowhere"[..], b"", b"127.0.0.1", b"localhost:80", b"127.0.0.1:99999", b"\xff\xff:1", b"1.2.3.4:5 "]
        {
            let error = Vec::<SocketAddr>::try_from(node(1, &[bad])).unwrap_err();
            assert_eq!((error.field, &*error.expected), ("node.ipport", "ip:port"));
        }
    }

    #[test]
    fn the_number_is_there_and_agrees() {
        assert!(Vec::<SocketAddr>::try_from(pb::Node::default()).is_err());
        for number in [-1, 0, 2] {
            assert!(Vec::<SocketAddr>::try_from(node(number, &[b"127.0.0.1:80"])).is_err());
        }
        let many = vec![&b"127.0.0.1:80"[..]; 65];
        assert!(Vec::<SocketAddr>::try_from(node(64, &many[..64])).is_ok());
        assert!(Vec::<SocketAddr>::try_from(node(65, &many)).is_err());
    }

    proptest! {
        #[test]
        fn addresses_come_back(nodes in proptest::collection::vec(any::<SocketAddr>(), 0..80)) {
            // The text of an IPv6 address has no flow label.
            let nodes: Vec<SocketAddr> = nodes.iter().map(|node| SocketAddr::new(node.ip(), node.port())).collect();
            let back = Vec::<SocketAddr>::try_from(pb::Node::from(&nodes[..])).unwrap();
            prop_assert_eq!(&back[..], &nodes[..nodes.len().min(MAX_NODES)]);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(node) = pb::Node::decode(&bytes[..]) {
                let _ = Vec::<SocketAddr>::try_from(node);
            }
        }
    }
}
