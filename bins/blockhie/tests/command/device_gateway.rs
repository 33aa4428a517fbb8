//! A gateway of the PHD-Chain for tests: devices and segments in memory, receipts on a two-member chain made on the spot.

use crate::gateway::{Request, read, receipt_on};
use blockhie_core::request::SignedRequest;
use blockhie_core::{
    ChainKind, CompactTarget, Genesis, Hash32, Member, PublicKey, SecretKey, Transaction, Unverified, Verified,
};
use blockhie_phd::formats::write_csv;
use blockhie_phd::{Payload, Place, Salt, Samples, SegmentKey, SegmentOpening, unseal};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// How it behaves; a test changes it at will.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// Takes a request and hangs up before the answer, this many times.
    pub(crate) hang_up: usize,
    /// Answers 503 to segments, this many times.
    pub(crate) busy: usize,
    /// Serves data with one bit changed.
    pub(crate) lies: bool,
    /// Nothing becomes final.
    pub(crate) stuck: bool,
    /// Segments of the largest request so far.
    pub(crate) largest: usize,
}

struct Stored {
    tx: Transaction<Verified>,
    place: Place,
    content: Hash32,
    sealed: Vec<u8>,
    key: Option<SegmentKey>,
}

#[derive(Default)]
struct Inner {
    manners: Manners,
    devices: BTreeMap<PublicKey, Vec<Transaction<Verified>>>,
    segments: BTreeMap<(PublicKey, u64), Stored>,
}

pub(crate) struct DeviceGateway {
    pub(crate) url: String,
    inner: Arc<Mutex<Inner>>,
}

pub(crate) fn genesis() -> Genesis {
    let member = |name: &str, seed| Member { key: SecretKey::from_seed([seed; 32]).public(), name: name.into() };
    let target = CompactTarget::new(0x2000_ffff).unwrap();
    let members = vec![member("north", 1), member("south", 2)];
    Genesis::with_defaults(ChainKind::Phd, "tests", Hash32([8; 32]), 1_000, target, members)
}

impl DeviceGateway {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner::default()));
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = serve(stream.unwrap(), &shared);
            }
        });
        Self { url, inner }
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.inner.lock().unwrap().manners);
    }

    pub(crate) fn manners(&self) -> Manners {
        self.inner.lock().unwrap().manners.clone()
    }

    /// First sequence number, readings and whether inline, of all segments.
    pub(crate) fn segments(&self) -> Vec<(u64, u32, bool)> {
        let inner = self.inner.lock().unwrap();
        let inline = |row: &Stored| match Payload::read(&row.tx, &genesis().chain_id()) {
            Ok(Payload::Readings(readings)) => readings.blob.is_empty(),
            other => panic!("{other:?}"),
        };
        inner.segments.values().map(|row| (row.place.first_seq, row.place.count, inline(row))).collect()
    }
}

fn serve(mut stream: TcpStream, shared: &Mutex<Inner>) -> std::io::Result<()> {
    let request = read(&mut BufReader::new(stream.try_clone()?))?;
    let mut inner = shared.lock().unwrap();
    let (status, body) = answer(&mut inner, &request);
    if request.method == "POST" && inner.manners.hang_up > 0 {
        inner.manners.hang_up -= 1;
        return Ok(());
    }
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

type Answer = (u16, Vec<u8>);

fn ok(value: &Value) -> Answer {
    (200, value.to_string().into_bytes())
}

fn fault(status: u16, message: &str) -> Answer {
    (status, json!({"error": {"class": "x", "message": message}}).to_string().into_bytes())
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn answer(inner: &mut Inner, request: &Request) -> Answer {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let parts: Vec<&str> = path.trim_start_matches("/api/v1/").split('/').collect();
    let key = |text: &str| text.parse::<PublicKey>().unwrap();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["chains", "phd", "tip"]) => ok(&json!({"chain": "phd", "chain_id": genesis().chain_id()})),
        ("POST", ["devices"]) => hand_in(inner, request),
        ("POST", ["devices", device, "readings"]) => push(inner, &key(device), request),
        ("GET", ["devices", device, "status"]) => match inner.devices.get(&key(device)) {
            Some(list) if query == "of=retire" => status(inner, &list[1]),
            Some(list) => status(inner, &list[0]),
            None => fault(404, "no such device"),
        },
        ("GET", ["devices", device, "segments", first, "status"]) => {
            match inner.segments.get(&(key(device), first.parse().unwrap())) {
                Some(row) => status(inner, &row.tx),
                None => fault(404, "no such segment"),
            }
        }
        ("GET", ["devices", device, rest @ ..]) => {
            let device = key(device);
            if !may_read(inner, &device, request) {
                return fault(404, "no such device");
            }
            match rest {
                [] => view(inner, &device, query),
                ["readings"] => readings(inner, &device, query),
                ["segments", first, what] => segment(inner, &device, first.parse().unwrap(), what),
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}

fn may_read(inner: &Inner, device: &PublicKey, request: &Request) -> bool {
    let header = request.headers.get("authorization").map_or("", String::as_str);
    if header == "Bearer token" {
        return inner.devices.contains_key(device);
    }
    let Ok(who) = SignedRequest::check(header, &request.method, &request.path, &request.body, now_ms()) else {
        return false;
    };
    inner.devices.get(device).is_some_and(|list| who == *device || who == *list[0].from())
}

fn transaction(text: &str) -> Transaction<Verified> {
    let chain = genesis().chain_id();
    let tx = Transaction::<Unverified>::from_bytes(&hex::decode(text).unwrap(), &chain).unwrap();
    tx.verify(&chain, ChainKind::Phd).unwrap()
}

fn hand_in(inner: &mut Inner, request: &Request) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let tx = transaction(body["transaction"].as_str().unwrap());
    let device = match Payload::read(&tx, &genesis().chain_id()).unwrap() {
        Payload::Device(device) => PublicKey::from_slice(&device.device_key).unwrap(),
        Payload::Retire(retire) => {
            let device = PublicKey::from_slice(&retire.device_key).unwrap();
            let Some(list) = inner.devices.get_mut(&device).filter(|list| list[0].from() == tx.from()) else {
                return fault(404, "no such device");
            };
            list.push(tx.clone());
            device
        }
        Payload::Readings(_) => panic!(),
    };
    let list = inner.devices.entry(device).or_insert_with(|| vec![tx.clone()]);
    if list[0].from() != tx.from() {
        return fault(409, "another owner enrolled it");
    }
    ok(&json!({"device": device, "txhash": list.last().unwrap().hash(), "status_url": "/s"}))
}

fn push(inner: &mut Inner, device: &PublicKey, request: &Request) -> Answer {
    if inner.manners.busy > 0 {
        inner.manners.busy -= 1;
        return fault(503, "too much is waiting");
    }
    if !inner.devices.contains_key(device) {
        return fault(404, "no such device");
    }
    if inner.devices[device].len() > 1 {
        return fault(409, "it was retired");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let (mut answers, chain) = (vec![], genesis().chain_id());
    let rows = body["segments"].as_array().unwrap();
    inner.manners.largest = inner.manners.largest.max(rows.len());
    for row in rows {
        let tx = transaction(row["transaction"].as_str().unwrap());
        assert_eq!(tx.from(), device);
        let Ok(Payload::Readings(readings)) = Payload::read(&tx, &chain) else { panic!() };
        let (first_seq, count) = (readings.first_seq, readings.count);
        let sealed = match row["sealed"].as_str() {
            Some(text) => hex::decode(text).unwrap(),
            None => readings.sealed.clone(),
        };
        let content = Hash32::from_slice(&readings.content).unwrap();
        let place = Place { chain, device: *device, first_seq, count };
        let end = first_seq + u64::from(count);
        let meets = inner.segments.values().find(|old| {
            old.place.device == *device && old.place.first_seq < end && first_seq < old.place.end_seq().unwrap()
        });
        let fresh = match meets {
            None => true,
            Some(old) if old.place == place && old.content == content => false,
            Some(old) => return fault(409, &format!("readings {first_seq} meet segment {}", old.place.first_seq)),
        };
        let key: Option<SegmentKey> = serde_json::from_value(row["key"].clone()).unwrap();
        if let Some(key) = &key {
            unseal(key, &place, &sealed, &content).unwrap();
        }
        let stored = inner.segments.entry((*device, first_seq)).or_insert(Stored { tx, place, content, sealed, key });
        let txhash = stored.tx.hash();
        answers.push(json!({"first_seq": first_seq, "count": count, "txhash": txhash, "fresh": fresh}));
    }
    ok(&json!({ "segments": answers }))
}

fn status(inner: &Inner, tx: &Transaction<Verified>) -> Answer {
    let (state, members) = if inner.manners.stuck { ("in_block", 1) } else { ("final", 2) };
    ok(&json!({"txhash": tx.hash(), "state": state, "height": 1, "members": members, "quorum": 2}))
}

fn opened(row: &Stored) -> Option<(Salt, Vec<u8>)> {
    let (salt, data) = unseal(row.key.as_ref()?, &row.place, &row.sealed, &row.content).unwrap();
    Some((salt, data.to_vec()))
}

fn of<'a>(inner: &'a Inner, device: &PublicKey) -> impl Iterator<Item = &'a Stored> {
    let device = *device;
    inner.segments.values().filter(move |row| row.place.device == device)
}

fn view(inner: &Inner, device: &PublicKey, query: &str) -> Answer {
    // Two segments a page.
    let from: u64 = query.strip_prefix("from_seq=").map_or(0, |text| text.parse().unwrap());
    let next = of(inner, device).filter(|row| row.place.first_seq >= from).nth(2).map(|row| row.place.first_seq);
    let rows: Vec<Value> = of(inner, device)
        .filter(|row| row.place.first_seq >= from)
        .take(2)
        .map(|row| {
            let samples = opened(row).map(|(_, data)| Samples::decode(&data).unwrap());
            json!({
                "first_seq": row.place.first_seq, "count": row.place.count, "txhash": row.tx.hash(), "state": "final",
                "inline": false, "held": row.key.is_some(),
                "start_ms": samples.as_ref().map(|samples| samples.time_us(0) / 1_000),
                "end_ms": samples.as_ref().map(|samples| samples.end_us() / 1_000),
            })
        })
        .collect();
    let list = &inner.devices[device];
    let state = if list.len() > 1 { "retired" } else { "enrolled" };
    ok(
        &json!({"device": device, "owner": list[0].from(), "state": state, "segments": rows, "gaps": [], "next_seq": next}),
    )
}

fn readings(inner: &Inner, device: &PublicKey, query: &str) -> Answer {
    assert!(query.starts_with("format=csv"), "{query}");
    let held: Vec<(u64, Samples)> = of(inner, device)
        .filter_map(|row| Some((row.place.first_seq, Samples::decode(&opened(row)?.1).unwrap())))
        .collect();
    let parts: Vec<(u64, &Samples)> = held.iter().map(|(first, samples)| (*first, samples)).collect();
    (200, write_csv(&parts).into_bytes())
}

fn segment(inner: &Inner, device: &PublicKey, first_seq: u64, what: &str) -> Answer {
    let Some(row) = inner.segments.get(&(*device, first_seq)) else { return fault(404, "no such segment") };
    let (salt, mut data) = match (what, opened(row)) {
        ("receipt", _) if inner.manners.stuck => return fault(409, "not final yet"),
        ("receipt", _) => return (200, receipt_on(&genesis(), &row.tx).to_json().into_bytes()),
        ("sealed", _) => return (200, row.sealed.clone()),
        (_, None) => return fault(404, "its key is not here"),
        (_, Some(opened)) => opened,
    };
    if what == "opening" {
        let length = u64::try_from(data.len()).unwrap();
        return (200, SegmentOpening::new(&row.place, salt, length).to_json().into_bytes());
    }
    assert_eq!(what, "data");
    if inner.manners.lies {
        data[9] ^= 1;
    }
    (200, data)
}
