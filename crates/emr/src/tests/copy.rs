//! The patient's copy opens with the age format and a tar reader, and gives back every byte.

use super::{draft, issuer, secret};
use crate::copy::{Contents, Recipient, RecipientError, patient_copy, write_patient_copy};
use crate::prepare;
use std::io::{self, Read, Write};

#[test]
fn the_copy_opens_and_is_byte_exact() {
    let identity = age::x25519::Identity::generate();
    let recipient: Recipient = identity.to_public().to_string().parse().unwrap();
    let record = [br#"{"value":1.50}"#.as_slice(), &[0, 255, 10], &[7; 1000]].concat();
    let secret = secret(1);
    let opening = prepare(&issuer(&secret), &draft(&record), 7).unwrap().opening.to_json();
    let receipt = "{\"format\":\"blockhie-receipt/v1\"}\n";
    let contents = Contents { record: &record, opening: &opening, receipt, time_ms: 1_700_000_000_000 };
    let file = patient_copy(&recipient, contents).unwrap();
    assert!(file.starts_with(b"age-encryption.org/v1\n-> X25519 "));
    for plain in [record.as_slice(), opening.as_bytes(), receipt.as_bytes(), b"opening.json"] {
        assert!(!file.windows(plain.len()).any(|window| window == plain));
    }

    let decryptor = age::Decryptor::new_buffered(file.as_slice()).unwrap();
    let mut plain = Vec::new();
    decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).unwrap().read_to_end(&mut plain).unwrap();
    let mut archive = tar::Archive::new(plain.as_slice());
    let mut files = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let (name, mode) = (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert_eq!(mode, 0o600);
        files.push((name, bytes));
    }
    let expected =
        [("record", record.as_slice()), ("opening.json", opening.as_bytes()), ("receipt.json", receipt.as_bytes())];
    assert_eq!(files, expected.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));

    let other = age::x25519::Identity::generate();
    let decryptor = age::Decryptor::new_buffered(file.as_slice()).unwrap();
    assert!(decryptor.decrypt(std::iter::once(&other as &dyn age::Identity)).is_err());
}

#[test]
fn a_bad_recipient_is_named_and_a_secret_key_is_not_repeated() {
    let good = age::x25519::Identity::generate().to_public().to_string();
    for text in ["", "age1", "alice@example.org", &good[..good.len() - 1], &good.replace("age1", "age2")] {
        let error = text.parse::<Recipient>().unwrap_err();
        assert!(matches!(error, RecipientError::Malformed { .. }), "{error}");
    }
    let secret = age::secrecy::ExposeSecret::expose_secret(&age::x25519::Identity::generate().to_string()).to_owned();
    for text in [secret.clone(), secret.to_lowercase()] {
        let error = text.parse::<Recipient>().unwrap_err();
        assert_eq!(error, RecipientError::Secret);
        assert!(!error.to_string().to_lowercase().contains(&secret[16..].to_lowercase()));
    }
    assert_eq!(good.parse::<Recipient>().unwrap().to_string(), good);
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let recipient: Recipient = age::x25519::Identity::generate().to_public().to_string().parse().unwrap();
    let contents = Contents { record: &[1; 100_000], opening: "{}\n", receipt: "{}\n", time_ms: 0 };
    for room in [0, 100, 70_000] {
        assert!(write_patient_copy(Full(room), &recipient, contents).is_err(), "{room}");
    }
    assert!(write_patient_copy(Full(1 << 20), &recipient, contents).is_ok());
}
