//! The files to publish: their names, media types and bytes.

use crate::failure::Failure;
use crate::files;
use blockhie_core::{Hash32, PublicKey, sha256};
use blockhie_emr::MediaType;
use blockhie_emr::publish::MAX_RECORD_BYTES;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where nothing else is known.
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// Extensions of files that hospitals have. `.json` is FHIR here; anything else needs `--media-type`.
const TYPES: [(&str, &str); 5] = [
    ("json", "application/fhir+json"),
    ("pdf", "application/pdf"),
    ("xml", "application/xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("dcm", "application/dicom"),
];

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its file name, extension included: what the outputs are called after.
    pub(crate) name: String,
    /// Media type that is committed with the bytes.
    pub(crate) media_type: MediaType,
    /// SHA-256 of its bytes when the command began.
    pub(crate) digest: Hash32,
}

impl Source {
    /// Reads the bytes again; they must not have changed since the command began.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Failure> {
        let bytes = read(&self.path)?;
        if sha256(&[&bytes]) != self.digest {
            return Err(Failure::form(format!("file {}: changed while it was published", self.path.display()))
                .hint("run the same command again: as a changed file it becomes a new record"));
        }
        Ok(bytes)
    }

    /// What an idempotency key is bound to: the bytes and all that the gateway commits beside them.
    pub(crate) fn fingerprint(&self, addressee: Option<&PublicKey>) -> Hash32 {
        let to = addressee.map_or_else(Vec::new, |key| key.as_bytes().to_vec());
        sha256(&[b"blockhie-publish/v1\0", self.digest.as_bytes(), &to, b"\0", self.media_type.as_str().as_bytes()])
    }
}

/// Reads every file once, so that an unreadable one is told before anything is published.
pub(crate) fn open_all(paths: &[PathBuf], media_type: Option<&MediaType>) -> Result<Vec<Source>, Failure> {
    let mut seen: BTreeMap<String, &Path> = BTreeMap::new();
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Failure::usage(format!("file {}: expected a file name in UTF-8", path.display()))
                .hint("its outputs are called after it; rename it")
        })?;
        if let Some(other) = seen.insert(name.to_owned(), path) {
            let (one, two) = (other.display(), path.display());
            return Err(Failure::usage(format!("files {one} and {two}: expected different names"))
                .hint("their outputs would overwrite each other; publish them with different --out"));
        }
        let media_type = media_type.cloned().unwrap_or_else(|| guess(path));
        let digest = sha256(&[&read(path)?]);
        sources.push(Source { path: path.clone(), name: name.to_owned(), media_type, digest });
    }
    Ok(sources)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    files::read(path, MAX_RECORD_BYTES, "file")
}

fn guess(path: &Path) -> MediaType {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_ascii_lowercase();
    let known = TYPES.iter().find(|(known, _)| *known == extension).map_or(UNKNOWN_TYPE, |(_, media)| media);
    known.parse().expect("the table holds media types; a test reads all of it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{EXIT_FORM, EXIT_USAGE};

    #[test]
    fn media_types_are_guessed_by_extension() {
        for (extension, media) in TYPES {
            assert_eq!(guess(Path::new(&format!("a.{extension}"))).as_str(), media);
        }
        assert_eq!(guess(Path::new("A.JSON")).as_str(), "application/fhir+json");
        assert_eq!(guess(Path::new("json")).as_str(), UNKNOWN_TYPE);
        assert_eq!(guess(Path::new("a.tar.gz")).as_str(), UNKNOWN_TYPE);
    }

    #[test]
    fn files_are_read_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let (one, missing) = (folder.path().join("a.json"), folder.path().join("b.json"));
        std::fs::write(&one, b"{}").unwrap();
        assert_eq!(open_all(&[one.clone(), missing], None).unwrap_err().code, EXIT_FORM);
        assert_eq!(open_all(&[one.clone(), one.clone()], None).unwrap_err().code, EXIT_USAGE);
        let sources = open_all(std::slice::from_ref(&one), None).unwrap();
        assert_eq!(sources[0].read().unwrap(), b"{}");
        std::fs::write(&one, b"{ }").unwrap();
        assert_eq!(sources[0].read().unwrap_err().code, EXIT_FORM);
    }

    #[test]
    fn the_fingerprint_covers_bytes_type_and_addressee() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let key = blockhie_core::SecretKey::from_seed([1; 32]).public();
        let print = |bytes: &[u8], media: Option<&str>, to| {
            std::fs::write(&path, bytes).unwrap();
            let media = media.map(|media| media.parse().unwrap());
            open_all(std::slice::from_ref(&path), media.as_ref()).unwrap()[0].fingerprint(to)
        };
        let all = [
            print(b"{}", None, None),
            print(b"{ }", None, None),
            print(b"{}", Some("text/plain"), None),
            print(b"{}", None, Some(&key)),
        ];
        assert_eq!(all[0], print(b"{}", None, None));
        assert_eq!(std::collections::BTreeSet::from(all).len(), all.len());
    }
}
