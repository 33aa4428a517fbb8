//! A gateway of both chains for tests: one record, one device, links between them; receipts made on the spot.

use crate::device_gateway;
use crate::gateway::{Gateway, Request, TOKEN, read, receipt_on};
use blockhie_core::request::SignedRequest;
use blockhie_core::{Genesis, Hash32, PublicKey, Receipt, SecretKey, Signature, Transaction, Verified};
use blockhie_coupling::{LINK_OPENING_FORMAT, LinkOpening, LinkTerms, Seed, link_transaction};
use blockhie_emr::{Draft, Issuer, Prepared, content_digest, prepare};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const RECORD: &[u8] = br#"{"resourceType":"Observation","valueQuantity":{"value":1.50}}"#;

/// How it behaves; a test changes it at will.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manners {
    /// Takes a link and hangs up before the answer, this many times.
    pub(crate) hang_up: usize,
    /// Nothing becomes final.
    pub(crate) stuck: bool,
    /// Tells of a link that ends a moment later.
    pub(crate) lies: bool,
}

/// Record and device of one person, and who signs for them.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) owner: SecretKey,
    pub(crate) holder: SecretKey,
    pub(crate) device: SecretKey,
    pub(crate) record: Prepared,
    enrolment: Transaction<Verified>,
}

impl Person {
    /// The record is for the holder, or for nobody.
    pub(crate) fn new(addressed: bool) -> Self {
        let secret = |n| SecretKey::from_seed([n; 32]);
        let (owner, holder, device) = (secret(31), secret(32), secret(33));
        let (emr, phd) = chains();
        let institution = secret(3);
        let issuer = Issuer { chain: emr.chain_id(), secret: &institution, certificate: None };
        let addressee = addressed.then(|| holder.public());
        let draft = Draft { media_type: "application/fhir+json".parse().unwrap(), bytes: RECORD, addressee };
        let record = prepare(&issuer, &draft, 1_500).unwrap();
        let enrolment = blockhie_phd::enrol(&phd.chain_id(), &owner, &device, 1_500);
        Self { owner, holder, device, record, enrolment }
    }

    pub(crate) fn terms(&self, seed: Seed, audience: PublicKey, expiry_ms: u64) -> LinkTerms {
        let (emr, phd) = chains();
        let (record, device) = (self.record.commitment, self.device.public());
        LinkTerms { emr: emr.chain_id(), phd: phd.chain_id(), seed, record, device, audience, expiry_ms }
    }

    /// The opening and the receipts of record, device and both halves.
    pub(crate) fn proof(&self, terms: &LinkTerms, owner: Signature, holder: Signature) -> (LinkOpening, [Receipt; 4]) {
        let (emr, phd) = chains();
        let opened = &self.record.opening;
        let opening = LinkOpening {
            format: LINK_OPENING_FORMAT.into(),
            emr: terms.emr,
            phd: terms.phd,
            seed: terms.seed.clone(),
            issuer: opened.issuer,
            addressee: opened.addressee,
            content: content_digest(&opened.salt, &opened.media_type, RECORD),
            batch: None,
            device: terms.device.into(),
            audience: terms.audience.into(),
            expiry_ms: terms.expiry_ms,
            owner_signature: owner,
            holder_signature: holder,
        };
        let half = |chain: &Genesis, n| {
            let one_time = SecretKey::from_seed([n; 32]);
            let tx = link_transaction(&chain.chain_id(), &one_time, &terms.seed, &terms.record, &terms.device, 1_600);
            receipt_on(chain, &tx)
        };
        let (record, device) = (receipt_on(&emr, &self.record.transaction), receipt_on(&phd, &self.enrolment));
        (opening, [record, device, half(&emr, 41), half(&phd, 42)])
    }
}

/// The EMR-Chain and the PHD-Chain.
pub(crate) fn chains() -> (Genesis, Genesis) {
    (Gateway::genesis(), device_gateway::genesis())
}

pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

struct Link {
    terms: LinkTerms,
    signatures: (Signature, Signature),
    polls: usize,
}

struct Inner {
    manners: Manners,
    person: Person,
    links: BTreeMap<Hash32, Link>,
    posts: usize,
}

pub(crate) struct LinkGateway {
    pub(crate) url: String,
    inner: Arc<Mutex<Inner>>,
}

impl LinkGateway {
    pub(crate) fn start(person: Person) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Inner { manners: Manners::default(), person, links: BTreeMap::new(), posts: 0 };
        let inner = Arc::new(Mutex::new(inner));
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

    /// Requests that handed a link in, and different links among them.
    pub(crate) fn posts(&self) -> (usize, usize) {
        let inner = self.inner.lock().unwrap();
        (inner.posts, inner.links.len())
    }
}

fn serve(mut stream: TcpStream, shared: &Mutex<Inner>) -> std::io::Result<()> {
    let request = read(&mut BufReader::new(stream.try_clone()?))?;
    let mut inner = shared.lock().unwrap();
    let (status, text) = answer(&mut inner, &request);
    if request.method == "POST" && inner.manners.hang_up > 0 {
        inner.manners.hang_up -= 1;
        return Ok(());
    }
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
}

type Answer = (u16, String);

fn fault(status: u16, message: &str) -> Answer {
    (status, json!({"error": {"class": "x", "message": message}}).to_string())
}

fn answer(inner: &mut Inner, request: &Request) -> Answer {
    let (emr, phd) = chains();
    let parts: Vec<&str> = request.path.trim_start_matches("/api/v1/").split('/').collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["chains", "emr", "tip"]) => (200, json!({ "chain_id": emr.chain_id() }).to_string()),
        ("GET", ["chains", "phd", "tip"]) => (200, json!({ "chain_id": phd.chain_id() }).to_string()),
        ("POST", ["links"]) => hand_in(inner, request),
        ("GET", ["links", link, what @ ..]) => {
            let link: Hash32 = link.parse().unwrap();
            if !may_read(inner, &link, request) {
                return fault(404, "no such link");
            }
            match what {
                [] => status(inner, &link),
                [what] => file(inner, &link, what),
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}

fn is_operator(request: &Request) -> bool {
    request.headers.get("authorization") == Some(&format!("Bearer {TOKEN}"))
}

fn may_read(inner: &Inner, link: &Hash32, request: &Request) -> bool {
    let Some(link) = inner.links.get(link) else { return false };
    let header = request.headers.get("authorization").map_or("", String::as_str);
    let who = SignedRequest::check(header, &request.method, &request.path, &request.body, now_ms());
    let person = &inner.person;
    let allowed = [person.owner.public(), person.holder.public(), link.terms.audience];
    is_operator(request) || who.is_ok_and(|who| allowed.contains(&who))
}

fn hand_in(inner: &mut Inner, request: &Request) -> Answer {
    inner.posts += 1;
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let text = |field: &str| body[field].as_str().unwrap();
    let person = &inner.person;
    let seed = Seed::new(text("seed").parse::<Hash32>().unwrap().0);
    let terms = person.terms(seed, text("audience").parse().unwrap(), body["expiry_ms"].as_u64().unwrap());
    if text("record") != terms.record.to_string() || text("device") != terms.device.to_string() {
        return fault(404, "no such record or device");
    }
    let owner: Signature = text("owner_signature").parse().unwrap();
    if !terms.is_signed_by(&person.owner.public(), &owner) {
        return fault(404, "no such record or device");
    }
    let holder = match (&body["holder_signature"], person.record.opening.addressee) {
        (Value::Null, None) if is_operator(request) => terms.sign(&SecretKey::from_seed([3; 32])),
        (Value::Null, None) => return fault(401, "the operator's token is needed"),
        (Value::String(text), Some(_)) => text.parse().unwrap(),
        other => panic!("{other:?}"),
    };
    let link = terms.seed.link_id();
    inner.links.entry(link).or_insert(Link { terms, signatures: (owner, holder), polls: 0 });
    (202, json!({ "link": link, "status_url": "/s" }).to_string())
}

/// First the halves wait, then one is on its way, then both are final.
fn status(inner: &mut Inner, link: &Hash32) -> Answer {
    let stuck = inner.manners.stuck;
    let row = inner.links.get_mut(link).unwrap();
    row.polls += 1;
    let states = match row.polls {
        1 => ["waiting", "waiting"],
        2 => ["submitted", "in_block"],
        _ if stuck => ["submitted", "final"],
        _ => ["final", "final"],
    };
    let leg = |chain: &str, state: &str| {
        let due_ms = if state == "waiting" { now_ms() + 60_000 } else { 1_600 };
        let height = if matches!(state, "in_block" | "final") { json!(1) } else { Value::Null };
        json!({ "chain": chain, "txhash": Hash32::ZERO, "state": state, "not_before_ms": due_ms, "height": height,
                "members": 1, "quorum": 2 })
    };
    let legs = [leg("emr", states[0]), leg("phd", states[1])];
    (200, json!({ "link": link, "record": row.terms.record, "legs": legs, "state": states[0] }).to_string())
}

fn file(inner: &Inner, link: &Hash32, what: &str) -> Answer {
    let row = &inner.links[link];
    let (mut opening, [record, device, emr, phd]) = inner.person.proof(&row.terms, row.signatures.0, row.signatures.1);
    if inner.manners.lies {
        opening.expiry_ms += 1;
    }
    let text = match what {
        "opening" => opening.to_json(),
        "record" => record.to_json(),
        "device" => device.to_json(),
        "link-emr" => emr.to_json(),
        "link-phd" => phd.to_json(),
        other => panic!("{other}"),
    };
    (200, text)
}
