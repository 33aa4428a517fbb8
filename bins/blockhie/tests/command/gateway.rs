//! A gateway for tests: one thread, plain HTTP/1.1, real records on a two-member chain made on the spot.

use blockhie_core::receipt::{HeaderBytes, HexBytes, RECEIPT_FORMAT, SignedHeader};
use blockhie_core::{
    ChainKind, CompactTarget, Genesis, Hash32, Header, Member, PublicKey, Receipt, SecretKey, Transaction, Verified,
    block_sign_bytes, merkle,
};
use blockhie_emr::{Draft, Issuer, Prepared, prepare, prepare_batch};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(crate) const TOKEN: &str = "a-token-of-the-tests";

/// How it behaves; a test changes it at will.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// Wants [`TOKEN`].
    pub(crate) token: bool,
    /// Takes a request, and hangs up before the answer, this many times.
    pub(crate) hang_up: usize,
    /// The state that records end in (`final` if empty).
    pub(crate) state: &'static str,
    /// Answers with the opening of other bytes.
    pub(crate) lies: bool,
    /// Answers every POST with this status and header line.
    pub(crate) refuse: Option<(u16, &'static str)>,
    /// Leaves the opening out of the answer.
    pub(crate) terse: bool,
}

#[derive(Default)]
struct Inner {
    manners: Manners,
    answers: BTreeMap<String, String>,
    records: BTreeMap<Hash32, Prepared>,
    polls: BTreeMap<Hash32, usize>,
    posts: usize,
}

pub(crate) struct Gateway {
    pub(crate) url: String,
    inner: Arc<Mutex<Inner>>,
}

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Gateway {
    pub(crate) fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner { manners, ..Inner::default() }));
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = serve(stream.unwrap(), &shared);
            }
        });
        Self { url, inner }
    }

    pub(crate) fn behave(&self, manners: Manners) {
        self.inner.lock().unwrap().manners = manners;
    }

    /// Requests that published, and different keys among them.
    pub(crate) fn posts(&self) -> (usize, usize) {
        let inner = self.inner.lock().unwrap();
        (inner.posts, inner.answers.len())
    }

    pub(crate) fn genesis() -> Genesis {
        let member = |name: &str, seed| Member { key: SecretKey::from_seed([seed; 32]).public(), name: name.into() };
        let target = CompactTarget::new(0x2000_ffff).unwrap();
        let members = vec![member("north", 1), member("south", 2)];
        Genesis::with_defaults(ChainKind::Emr, "tests", Hash32([7; 32]), 1_000, target, members)
    }
}

fn serve(mut stream: TcpStream, shared: &Mutex<Inner>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let request = read(&mut reader)?;
    let mut inner = shared.lock().unwrap();
    let (status, text) = answer(&mut inner, &request);
    if request.method == "POST" && inner.manners.hang_up > 0 {
        inner.manners.hang_up -= 1;
        return Ok(());
    }
    let extra = inner.manners.refuse.map_or("X: y", |(_, header)| header);
    let length = text.len();
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{extra}\r\n\r\n{text}")
}

pub(crate) fn read(reader: &mut impl BufRead) -> std::io::Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut first = line.split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, path, headers, body })
}

fn answer(inner: &mut Inner, request: &Request) -> (u16, String) {
    let fault = |status, message: &str| (status, json!({"error": {"class": "x", "message": message}}).to_string());
    let authorization = request.headers.get("authorization").map(String::as_str);
    if inner.manners.token && authorization != Some(&format!("Bearer {TOKEN}")) {
        return fault(401, "a token is needed");
    }
    if request.method == "POST" {
        if let Some((status, _)) = inner.manners.refuse {
            return fault(status, "not here");
        }
        assert_eq!(request.path, "/api/v1/records");
        return (202, publish(inner, request));
    }
    let mut parts = request.path.trim_start_matches("/api/v1/records/").split('/');
    let record = parts.next().unwrap().parse().unwrap();
    let Some(prepared) = inner.records.get(&record).cloned() else { return fault(404, "no such record") };
    match parts.next().unwrap() {
        "status" => (200, status(inner, record, &prepared)),
        "opening" => (200, prepared.opening.to_json()),
        "receipt" => (200, receipt(&prepared.transaction).to_json()),
        other => panic!("{other}"),
    }
}

/// First submitted, then in a block, then what the manners say.
fn status(inner: &mut Inner, record: Hash32, prepared: &Prepared) -> String {
    let polls = inner.polls.entry(record).or_default();
    *polls += 1;
    let end = if inner.manners.state.is_empty() { "final" } else { inner.manners.state };
    let state = match *polls {
        1 => "submitted",
        2 => "in_block",
        _ => end,
    };
    let (height, members) = if state == "submitted" { (Value::Null, 0) } else { (json!(1), 1) };
    json!({
        "record": record, "txhash": prepared.transaction.hash(), "state": state, "height": height, "block": null,
        "members": if state == "final" { 2 } else { members }, "quorum": 2,
    })
    .to_string()
}

fn publish(inner: &mut Inner, request: &Request) -> String {
    inner.posts += 1;
    let key = request.headers["idempotency-key"].clone();
    if let Some(known) = inner.answers.get(&key) {
        return known.clone();
    }
    let secret = SecretKey::from_seed([3; 32]);
    let issuer = Issuer { chain: Gateway::genesis().chain_id(), secret: &secret, certificate: None };
    let addressee: Option<PublicKey> = request.headers.get("x-blockhie-addressee").map(|key| key.parse().unwrap());
    let content_type = &request.headers["content-type"];
    let uploaded;
    let (prepared, batch) = match content_type.strip_prefix("multipart/form-data; boundary=") {
        Some(boundary) => {
            uploaded = parts(&request.body, boundary);
            let drafts: Vec<Draft<'_>> = uploaded.iter().map(|(media, bytes)| draft(media, bytes, addressee)).collect();
            (prepare_batch(&issuer, &drafts, 1_500).unwrap(), true)
        }
        None => (vec![prepare(&issuer, &draft(content_type, &request.body, addressee), 1_500).unwrap()], false),
    };
    let other = prepare(&issuer, &draft("text/plain", b"other bytes", addressee), 1_500).unwrap();
    let rows = prepared.iter().map(|row| {
        let opening = if inner.manners.lies { &other.opening } else { &row.opening };
        let opening = if inner.manners.terse { json!("/opening") } else { serde_json::to_value(opening).unwrap() };
        json!({ "record": row.commitment, "txhash": row.transaction.hash(), "status_url": "/s", "opening": opening })
    });
    let mut rows: Vec<Value> = rows.collect();
    let text = if batch { json!({ "records": rows }) } else { rows.remove(0) }.to_string();
    inner.records.extend(prepared.into_iter().map(|row| (row.commitment, row)));
    inner.answers.insert(key, text.clone());
    text
}

fn draft<'a>(content_type: &str, bytes: &'a [u8], addressee: Option<PublicKey>) -> Draft<'a> {
    Draft { media_type: content_type.parse().unwrap(), bytes, addressee }
}

/// Media type and bytes of each part.
fn parts(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let mark = format!("--{boundary}").into_bytes();
    let starts: Vec<usize> = (0..=body.len() - mark.len()).filter(|at| body[*at..].starts_with(&mark)).collect();
    let part = |pair: &[usize]| {
        let part = &body[pair[0] + mark.len() + 2..pair[1] - 2];
        let split = (0..part.len()).find(|at| part[*at..].starts_with(b"\r\n\r\n")).unwrap();
        let head = String::from_utf8(part[..split].to_vec()).unwrap();
        let media = head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).unwrap();
        (media.to_owned(), part[split + 4..].to_vec())
    };
    starts.windows(2).map(part).collect()
}

/// The transaction alone in block 1, and block 2 by the other member.
pub(crate) fn receipt(tx: &Transaction<Verified>) -> Receipt {
    receipt_on(&Gateway::genesis(), tx)
}

/// The same on a chain whose members are secrets 1 and 2.
pub(crate) fn receipt_on(genesis: &Genesis, tx: &Transaction<Verified>) -> Receipt {
    let chain = genesis.chain_id();
    let sealed = |height, previous, seed, txhashes: &[Hash32]| {
        let secret = SecretKey::from_seed([seed; 32]);
        let header = Header {
            previous,
            tx_root: merkle::head(txhashes),
            history_root: Hash32::ZERO,
            siblings_root: merkle::head(&[]),
            miner: secret.public().into(),
            height,
            time_ms: 2_000 + height,
            tx_count: u32::try_from(txhashes.len()).unwrap(),
            target: genesis.first_target,
            nonce: 0,
        };
        let signature = Some(secret.sign(&block_sign_bytes(&chain, &header.hash(&chain))));
        (header.hash(&chain), SignedHeader { header: HeaderBytes(header.preimage(&chain)), signature })
    };
    let (hash, block) = sealed(1, Hash32::ZERO, 1, &[tx.hash()]);
    let (_, next) = sealed(2, hash, 2, &[]);
    Receipt {
        format: RECEIPT_FORMAT.into(),
        transaction: HexBytes(tx.to_bytes()),
        index: 0,
        path: vec![],
        sibling: None,
        block,
        history: vec![],
        run: vec![next],
    }
}
