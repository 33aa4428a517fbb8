//! The body of a batch: multipart/form-data, one part for each file, in order.

use super::source::Source;
use crate::failure::Failure;

/// Most bytes of one batch: it is held in memory here and at the gateway.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// Content type and body. File names stay here: they may name a patient, and the gateway has no use for them.
pub(crate) fn build(sources: &[Source]) -> Result<(String, Vec<u8>), Failure> {
    // 128 random bits stand in no file by chance, and nobody who writes one knows them.
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
    let boundary = format!("blockhie-{}", hex::encode(random));
    let mut body = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let bytes = source.read()?;
        if body.len() + bytes.len() > MAX_BATCH_BYTES {
            return Err(Failure::usage(format!(
                "--batch: expected at most {MAX_BATCH_BYTES} bytes in all files, got more"
            ))
            .hint("publish them in several batches"));
        }
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"record\"; filename=\"record-{index}\"\r\n\
             Content-Type: {}\r\n\r\n",
            source.media_type
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), body))
}
