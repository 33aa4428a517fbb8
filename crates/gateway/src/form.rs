//! Bodies and forms, read within bounds.

use crate::error::ApiError;
use crate::limits::{MAX_DRAINED_BYTES, MAX_FIELD_BYTES, MAX_RECORD_BYTES, MAX_UPLOAD_BYTES, MAX_UPLOAD_FILES};
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Fields that hold a file even when they come without a file name.
const FILE_FIELDS: [&str; 6] = ["file", "files", "record", "segment", "receipt", "opening"];

/// A file of a form. Its name is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormFile {
    pub(crate) field: String,
    pub(crate) media_type: Option<String>,
    pub(crate) bytes: Bytes,
}

/// A multipart form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) files: Vec<FormFile>,
}

impl Form {
    /// A text field that is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The one file of this field, if there is one.
    pub(crate) fn file(&self, field: &str) -> Result<Option<&FormFile>, ApiError> {
        let mut files = self.files.iter().filter(|file| file.field == field);
        let first = files.next();
        if files.next().is_some() {
            return Err(ApiError::invalid(format!("form: {field}: expected one file, got several")));
        }
        Ok(first)
    }

    /// Only these fields.
    pub(crate) fn expect_fields(&self, allowed: &[&str]) -> Result<(), ApiError> {
        let names = self.texts.keys().map(String::as_str).chain(self.files.iter().map(|file| file.field.as_str()));
        for name in names {
            if !allowed.contains(&name) {
                let allowed = allowed.join(", ");
                return Err(ApiError::invalid(format!("form: expected no other fields than {allowed}")));
            }
        }
        Ok(())
    }
}

/// Whether a request carries a form.
pub(crate) fn is_multipart(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media.to_ascii_lowercase().starts_with("multipart/form-data")
}

/// The whole body, at most `limit` bytes. A longer one is read to its end first and thrown away.
pub(crate) async fn read_body(body: Body, what: &str, limit: usize) -> Result<Bytes, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut held = BytesMut::new();
    let mut length = 0usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::invalid(format!("{what}: the body ended early")))?;
        length = length.saturating_add(chunk.len());
        if length <= limit {
            held.extend_from_slice(&chunk);
        } else {
            held.clear();
            if length > MAX_DRAINED_BYTES {
                break;
            }
        }
    }
    if length > limit { Err(ApiError::too_large(what, limit)) } else { Ok(held.freeze()) }
}

/// Reads a JSON body. Its form is told to whoever sent it, and logged nowhere.
pub(crate) async fn read_json<T: DeserializeOwned>(body: Body, what: &str, limit: usize) -> Result<T, ApiError> {
    let bytes = read_body(body, what, limit).await?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::invalid(format!("{what}: {error}")))
}

/// Reads a multipart form.
pub(crate) async fn read_form(request: Request) -> Result<Form, ApiError> {
    if !is_multipart(request.headers()) {
        return Err(ApiError::media("expected a multipart/form-data body"));
    }
    let mut parts =
        Multipart::from_request(request, &()).await.map_err(|error| ApiError::invalid(error.body_text()))?;
    let mut form = Form::default();
    let mut seen = 0usize;
    let mut refused = None;
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        match read_part(part, &mut form, &mut seen).await {
            Ok(()) => {}
            // What follows is read and thrown away, so that the answer arrives.
            Err(error) if seen <= MAX_DRAINED_BYTES => refused = refused.or(Some(error)),
            Err(error) => return Err(error),
        }
        if refused.is_some() {
            form = Form::default();
        }
    }
    refused.map_or(Ok(form), Err)
}

async fn read_part(part: Field<'_>, form: &mut Form, seen: &mut usize) -> Result<(), ApiError> {
    let field = part.name().unwrap_or_default().to_owned();
    let named = part.file_name().is_some();
    let unnamed = part.file_name().is_some_and(str::is_empty);
    // As it was sent: the parsed form is absent where it is not what the parser expects.
    let media_type = match part.headers().get(header::CONTENT_TYPE) {
        None => None,
        Some(value) => {
            Some(value.to_str().map_err(|_| ApiError::invalid("form: Content-Type: expected ASCII"))?.to_owned())
        }
    };
    let is_file = named || FILE_FIELDS.contains(&field.as_str());
    let limit = if is_file { MAX_RECORD_BYTES } else { MAX_FIELD_BYTES };
    let bytes = read_field(part, limit, seen).await?;
    if *seen > MAX_UPLOAD_BYTES {
        return Err(ApiError::too_large("form", MAX_UPLOAD_BYTES));
    }
    if !is_file {
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| ApiError::invalid("form: expected UTF-8 text"))?;
        if form.texts.insert(field, text).is_some() {
            return Err(ApiError::invalid("form: expected each text field once"));
        }
    } else if !(unnamed && bytes.is_empty()) {
        // A browser sends an empty file without a name where none was chosen.
        form.files.push(FormFile { field, media_type, bytes });
    }
    if form.files.len() > MAX_UPLOAD_FILES || form.texts.len() > MAX_UPLOAD_FILES {
        return Err(ApiError::invalid(format!("form: expected at most {MAX_UPLOAD_FILES} files and fields")));
    }
    Ok(())
}

async fn read_field(mut part: Field<'_>, limit: usize, seen: &mut usize) -> Result<Bytes, ApiError> {
    let mut held = BytesMut::new();
    let mut length = 0usize;
    while let Some(chunk) = part.chunk().await.map_err(broken)? {
        length = length.saturating_add(chunk.len());
        *seen = seen.saturating_add(chunk.len());
        if length <= limit && *seen <= MAX_UPLOAD_BYTES {
            held.extend_from_slice(&chunk);
        } else {
            held.clear();
        }
        if *seen > MAX_DRAINED_BYTES {
            break;
        }
    }
    if length > limit { Err(ApiError::too_large("form: a file", limit)) } else { Ok(held.freeze()) }
}

fn broken(error: MultipartError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::too_large("form", MAX_UPLOAD_BYTES);
    }
    ApiError::invalid("form: expected a whole multipart/form-data body, got one that is malformed or ends early")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(body: impl Into<Body>) -> Request {
        Request::post("/").header(header::CONTENT_TYPE, "multipart/form-data; boundary=b").body(body.into()).unwrap()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_body_at_its_limit_is_taken_and_one_byte_more_is_not() {
        let read = |len: usize| run(read_body(Body::from(vec![1u8; len]), "record", 1_000));
        assert_eq!(read(1_000).unwrap().len(), 1_000);
        assert_eq!(read(1_001).unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(read(0).unwrap().len(), 0);
    }

    #[test]
    fn files_and_fields_are_told_apart() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.json\"\r\nContent-Type: application/json\r\n\r\n{}\r\n\
            --b\r\nContent-Disposition: form-data; name=\"addressee\"\r\n\r\n ab \r\n\
            --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n\r\n--b--\r\n";
        let form = run(read_form(request(body))).unwrap();
        assert_eq!((form.files.len(), form.text("addressee")), (1, Some("ab")));
        assert_eq!(
            (form.files[0].media_type.as_deref(), &form.files[0].bytes[..]),
            (Some("application/json"), &b"{}"[..])
        );
        assert!(form.expect_fields(&["file"]).is_err() && form.expect_fields(&["file", "addressee"]).is_ok());
    }

    #[test]
    fn a_file_above_the_limit_is_refused_and_the_rest_is_read() {
        let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        let mut body = head.as_bytes().to_vec();
        body.resize(body.len() + MAX_RECORD_BYTES + 1, b'x');
        body.extend_from_slice(b"\r\n--b--\r\n");
        assert_eq!(run(read_form(request(body))).unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = run(read_form(request([b"--b\r\n".as_slice(), &bytes].concat())));
        }
    }
}
