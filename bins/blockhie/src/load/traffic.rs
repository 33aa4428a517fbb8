//! What is sent: RECORDs to an EMR-Chain; to a PHD-Chain READINGS of devices that were enrolled for this run.

use super::fleet::{Fleet, ask};
use super::now_ms;
use crate::chain::refused;
use crate::failure::Failure;
use crate::output::note;
use blockhie_core::{ChainId, SecretKey, Transaction, TxHash, TxStatus, Verified};
use blockhie_emr::payload::{RECORD, Record};
use blockhie_phd::payload::{DEVICE, Device, READINGS, Readings, device_sign_bytes};
use prost::Message;
use std::time::{Duration, Instant};

/// Readings in each segment: ten seconds of a pulse sensor.
const READINGS_PER_SEGMENT: u32 = 10;
/// Bytes of a sealed segment of so many readings: nonce 24, salt 32, tag 16 and a few dozen of data.
const SEALED_BYTES: usize = 128;
/// How long the devices may take to be enrolled.
const ENROL_TIME: Duration = Duration::from_secs(120);
/// Pause between two questions about them.
const ENROL_PAUSE: Duration = Duration::from_millis(200);

/// Makes the transactions of a run, each by its number alone.
pub(crate) enum Traffic {
    /// RECORDs with random commitments.
    Records {
        /// Take turns.
        senders: Vec<SecretKey>,
    },
    /// READINGS with random contents. Each device counts its own sequence.
    Readings {
        /// Take turns.
        devices: Vec<SecretKey>,
        /// Sealed bytes on the chain, or only their hash.
        inline: bool,
    },
}

impl Traffic {
    /// The transaction with this number, from 0.
    pub(crate) fn make(&self, chain: &ChainId, serial: u64) -> Result<Transaction<Verified>, getrandom::Error> {
        match self {
            Self::Records { senders } => {
                let payload = Record { commitment: random(32)? }.encode_to_vec();
                Ok(Transaction::sign(chain, turn(senders, serial).0, now_ms(), RECORD, None, &payload))
            }
            Self::Readings { devices, inline } => {
                let (device, round) = turn(devices, serial);
                let payload = readings(round, *inline)?.encode_to_vec();
                Ok(Transaction::sign(chain, device, now_ms(), READINGS, None, &payload))
            }
        }
    }
}

/// The key whose turn it is, and how many turns it had before.
fn turn(keys: &[SecretKey], serial: u64) -> (&SecretKey, u64) {
    let count = keys.len().max(1) as u64;
    (&keys[usize::try_from(serial % count).unwrap_or(0)], serial / count)
}

fn readings(round: u64, inline: bool) -> Result<Readings, getrandom::Error> {
    let mut readings = Readings {
        first_seq: round * u64::from(READINGS_PER_SEGMENT),
        count: READINGS_PER_SEGMENT,
        content: random(32)?,
        ..Readings::default()
    };
    if inline {
        readings.sealed = random(SEALED_BYTES)?;
    } else {
        readings.blob = random(32)?;
        readings.sealed_len = SEALED_BYTES as u64;
    }
    Ok(readings)
}

fn random(len: usize) -> Result<Vec<u8>, getrandom::Error> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).map(|()| bytes)
}

/// Enrols new devices of this owner and waits until every node takes their readings: final there, or, where there are
/// no members and nothing ever is final, in a block.
pub(crate) async fn enrol(fleet: &Fleet, owner: &SecretKey, count: u16) -> Result<Vec<SecretKey>, Failure> {
    let (chain, mut devices, mut hashes) = (fleet.chain(), Vec::new(), Vec::new());
    for serial in 0..u64::from(count) {
        let device = SecretKey::generate().map_err(Failure::failed)?;
        let signature = device.sign(&device_sign_bytes(&chain, &owner.public(), &device.public()));
        let payload =
            Device { device_key: device.public().as_bytes().to_vec(), device_signature: signature.0.to_vec() };
        let tx = Transaction::sign(&chain, owner, now_ms(), DEVICE, None, &payload.encode_to_vec()).into_unverified();
        let client = fleet.client(fleet.turn(serial));
        hashes.push(client.submit(&tx).await.map_err(|error| refused(&error))?);
        devices.push(device);
    }
    note(&format!("{count} devices enrolled; waiting until every node takes their readings …"));
    let deadline = Instant::now() + ENROL_TIME;
    for node in 0..fleet.len() {
        for hash in &hashes {
            wait_until_usable(fleet, node, *hash, deadline).await?;
        }
    }
    Ok(devices)
}

async fn wait_until_usable(fleet: &Fleet, node: usize, hash: TxHash, deadline: Instant) -> Result<(), Failure> {
    loop {
        match ask(fleet.client(node), hash).await {
            Some(TxStatus::Committed { void: Some(reason), .. }) => {
                return Err(Failure::failed(format!("device: its enrolment {hash} is void: {reason}")));
            }
            Some(TxStatus::Committed { is_final, .. }) if is_final || fleet.genesis().is_open() => return Ok(()),
            _ if Instant::now() >= deadline => {
                let waited = ENROL_TIME.as_secs();
                return Err(Failure::failed(format!("device: its enrolment {hash} is not final after {waited} s"))
                    .hint("is the chain mining, and are enough members up for its quorum?"));
            }
            _ => tokio::time::sleep(ENROL_PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::{ChainKind, Hash32};
    use std::collections::BTreeSet;

    fn keys() -> Vec<SecretKey> {
        [1, 2, 3].map(|byte| SecretKey::from_seed([byte; 32])).into()
    }

    #[test]
    fn readings_of_a_device_never_meet_and_hold_the_rules_of_the_chain() {
        for inline in [false, true] {
            let traffic = Traffic::Readings { devices: keys(), inline };
            let mut seen = BTreeSet::new();
            for serial in 0..9 {
                let tx = traffic.make(&Hash32([7; 32]), serial).unwrap();
                let Ok(blockhie_phd::Payload::Readings(readings)) = blockhie_phd::Payload::read(&tx, &Hash32([7; 32]))
                else {
                    panic!("{tx:?} is no READINGS")
                };
                assert_eq!((readings.first_seq % 10, readings.count), (0, READINGS_PER_SEGMENT));
                assert_eq!((readings.sealed.is_empty(), readings.blob.is_empty()), (!inline, inline));
                assert!(seen.insert((*tx.from(), readings.first_seq)), "{serial}");
                let checked = tx.into_unverified().verify(&Hash32([7; 32]), ChainKind::Phd);
                assert!(checked.is_ok());
            }
            assert_eq!(seen.iter().map(|(from, _)| *from).collect::<BTreeSet<_>>().len(), 3);
        }
    }

    #[test]
    fn records_are_all_different() {
        let traffic = Traffic::Records { senders: keys() };
        let hashes: BTreeSet<TxHash> =
            (0..9).map(|serial| traffic.make(&Hash32([7; 32]), serial).unwrap().hash()).collect();
        assert_eq!(hashes.len(), 9);
    }
}
