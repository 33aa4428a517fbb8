//! Every route, with who may call it, and what surrounds all of them.

use crate::access::{Access, Caller, Gate, Operator, changes, from_elsewhere};
use crate::api::{chains, devices, links, network, records, service};
use crate::app::App;
use crate::clock::now_ms;
use crate::error::ApiError;
use crate::limits::{MAX_FIELD_BYTES, REQUEST_TIME, UPLOAD_TIME};
use crate::pages::{
    self, assets, block, devices as device_pages, explorer, fairness, links as link_pages, login, network as peers,
    publish, search, verify,
};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, delete, get, post};
use blockhie_core::{PublicKey, SignedRequest, request};
use std::time::Instant;

/// How a request is counted and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Short: refused when too many run.
    Quick,
    /// With a body of megabytes: waits for its turn.
    Upload,
    /// As long as the page is open.
    Stream,
}

/// A line of the table.
pub(crate) struct Route {
    /// The method.
    pub(crate) method: &'static str,
    /// The path, as axum writes it.
    pub(crate) path: &'static str,
    /// Who may.
    pub(crate) access: Access,
    load: Load,
    handler: MethodRouter<App>,
}

#[derive(Clone)]
struct Context {
    app: App,
    method: &'static str,
    route: &'static str,
    access: Access,
    load: Load,
}

/// The table. Nothing is served that is not in it.
#[must_use]
pub(crate) fn table() -> Vec<Route> {
    use Access::{Holder, Operator as Op, OperatorPage as Page, Public};
    use Load::{Quick, Stream, Upload};
    let at = |method, path, access, load, handler| Route { method, path, access, load, handler };
    vec![
        at("POST", "/api/v1/records", Op, Upload, post(records::create)),
        at("GET", "/api/v1/records/{record}", Op, Quick, get(records::bytes)),
        at("DELETE", "/api/v1/records/{record}", Op, Quick, delete(records::erase)),
        at("GET", "/api/v1/records/{record}/opening", Op, Quick, get(records::opening)),
        at("GET", "/api/v1/records/{record}/receipt", Op, Quick, get(records::receipt)),
        at("GET", "/api/v1/records/{record}/status", Op, Quick, get(records::state)),
        at("POST", "/api/v1/devices", Public, Quick, post(devices::create)),
        at("GET", "/api/v1/devices", Op, Quick, get(devices::list)),
        at("GET", "/api/v1/devices/{key}", Holder, Quick, get(devices::one)),
        at("GET", "/api/v1/devices/{key}/status", Public, Quick, get(devices::status)),
        at("GET", "/api/v1/devices/{key}/receipt", Holder, Quick, get(devices::receipt)),
        at("POST", "/api/v1/devices/{key}/readings", Public, Upload, post(devices::push)),
        at("GET", "/api/v1/devices/{key}/readings", Holder, Upload, get(devices::readings)),
        at("GET", "/api/v1/devices/{key}/segments/{first_seq}/status", Public, Quick, get(devices::segment_status)),
        at("GET", "/api/v1/devices/{key}/segments/{first_seq}/receipt", Holder, Quick, get(devices::segment_receipt)),
        at("GET", "/api/v1/devices/{key}/segments/{first_seq}/sealed", Holder, Quick, get(devices::sealed)),
        at("GET", "/api/v1/devices/{key}/segments/{first_seq}/data", Holder, Quick, get(devices::data)),
        at("GET", "/api/v1/devices/{key}/segments/{first_seq}/opening", Holder, Quick, get(devices::opening)),
        at("DELETE", "/api/v1/devices/{key}/segments/{first_seq}", Holder, Quick, delete(devices::erase)),
        at("POST", "/api/v1/links", Public, Quick, post(links::create)),
        at("GET", "/api/v1/links/{link}", Holder, Quick, get(links::one)),
        at("GET", "/api/v1/links/{link}/opening", Holder, Quick, get(links::opening)),
        at("GET", "/api/v1/links/{link}/record", Holder, Quick, get(links::record)),
        at("GET", "/api/v1/links/{link}/device", Holder, Quick, get(links::device)),
        at("GET", "/api/v1/links/{link}/link-emr", Holder, Quick, get(links::half_emr)),
        at("GET", "/api/v1/links/{link}/link-phd", Holder, Quick, get(links::half_phd)),
        at("POST", "/api/v1/verify", Public, Upload, post(chains::check)),
        at("GET", "/api/v1/chains/{chain}/tip", Public, Quick, get(chains::tip)),
        at("GET", "/api/v1/chains/{chain}/blocks", Public, Quick, get(chains::blocks)),
        at("GET", "/api/v1/chains/{chain}/peers", Public, Quick, get(network::peers)),
        at("GET", "/api/v1/chains/{chain}/waits", Public, Quick, get(network::waits)),
        at("GET", "/api/v1/events", Public, Stream, get(chains::events)),
        at("GET", "/healthz", Public, Quick, get(service::healthz)),
        at("GET", "/readyz", Public, Quick, get(service::readyz)),
        at("GET", "/metrics", Public, Quick, get(service::metrics)),
        at("GET", "/openapi.json", Public, Quick, get(service::openapi)),
        at("GET", "/", Public, Quick, get(explorer::blocks)),
        at("GET", "/{chain}/blocks/{hash}", Public, Quick, get(block::block)),
        at("GET", "/{chain}/tx/{hash}", Public, Quick, get(block::transaction)),
        at("GET", "/search", Public, Quick, get(search::search)),
        at("GET", "/devices", Public, Quick, get(device_pages::list)),
        at("GET", "/devices/{key}", Public, Quick, get(device_pages::one)),
        at("GET", "/links", Public, Quick, get(link_pages::list)),
        at("GET", "/links/{link}", Page, Quick, get(link_pages::one)),
        at("GET", "/network", Public, Quick, get(peers::page)),
        at("GET", "/fairness", Public, Quick, get(fairness::page)),
        at("GET", "/verify", Public, Quick, get(verify::form)),
        at("POST", "/verify", Public, Upload, post(verify::check)),
        at("GET", "/login", Public, Quick, get(login::form)),
        at("POST", "/login", Public, Quick, post(login::enter)),
        at("POST", "/logout", Page, Quick, post(login::leave)),
        at("GET", "/publish", Page, Quick, get(publish::form)),
        at("POST", "/publish", Page, Upload, post(publish::send)),
        at("GET", "/publish/records/{record}", Page, Quick, get(publish::record)),
        at("GET", "/assets/{name}", Public, Quick, get(assets::asset)),
    ]
}

/// The whole service.
pub(crate) fn router(app: &App) -> Router {
    let mut router = Router::new();
    for Route { method, path, access, load, handler } in table() {
        let context = Context { app: app.clone(), method, route: path, access, load };
        // Bodies of uploads are bounded where they are read; elsewhere there are only small forms.
        let limit = match load {
            Load::Upload => DefaultBodyLimit::disable(),
            Load::Quick | Load::Stream => DefaultBodyLimit::max(MAX_FIELD_BYTES),
        };
        router = router.route(path, handler.route_layer(limit).route_layer(from_fn_with_state(context, around)));
    }
    router.fallback(not_found).method_not_allowed_fallback(wrong_method).layer(from_fn(headers)).with_state(app.clone())
}

async fn not_found(request: Request) -> Response {
    let error = ApiError::not_found("there is no such page or route");
    if is_page(request.uri().path()) { pages::error(&error) } else { error.into_response() }
}

async fn wrong_method() -> ApiError {
    ApiError::method()
}

/// Whether an error under this path is shown as a page.
fn is_page(path: &str) -> bool {
    !path.starts_with("/api/") && !path.starts_with("/assets/") && !path.contains('.')
}

/// Around every route: who, how many, how long, and what is counted. Nothing here looks at a path or a body.
async fn around(State(context): State<Context>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let response = admit(&context, request, next).await;
    let (status, time) = (response.status(), begun.elapsed());
    let (method, route) = (context.method, context.route);
    context.app.metrics.request(route, method, status.as_u16(), time);
    tracing::debug!(method, route, status = status.as_u16(), ms = time.as_millis(), "request");
    response
}

async fn admit(context: &Context, mut request: Request, next: Next) -> Response {
    let app = &context.app;
    let uploads = match authorise(&app.gate, context.access, &request) {
        Ok(who) => {
            let operator = who.operator.is_some();
            who.operator.map(|operator| request.extensions_mut().insert(operator));
            who.caller.map(|caller| request.extensions_mut().insert(caller));
            if operator { &app.uploads } else { &app.public_uploads }
        }
        Err(refusal) => return refusal,
    };
    let busy = || ApiError::unavailable("too many requests at once").into_response();
    let late = || ApiError::unavailable("the request took too long").into_response();
    match context.load {
        Load::Stream => next.run(request).await,
        Load::Quick => {
            let Ok(_place) = app.requests.try_acquire() else { return busy() };
            tokio::time::timeout(REQUEST_TIME, next.run(request)).await.unwrap_or_else(|_| late())
        }
        Load::Upload => {
            let work = async {
                let Ok(_place) = uploads.acquire().await else { return busy() };
                next.run(request).await
            };
            tokio::time::timeout(UPLOAD_TIME, work).await.unwrap_or_else(|_| late())
        }
    }
}

/// Who asks, where that matters.
#[derive(Default)]
struct Who {
    operator: Option<Operator>,
    caller: Option<Caller>,
}

/// Who asks, or what they are answered instead.
fn authorise(gate: &Gate, access: Access, request: &Request) -> Result<Who, Response> {
    let (method, headers) = (request.method(), request.headers());
    if changes(method) && from_elsewhere(headers) && !headers.contains_key(header::AUTHORIZATION) {
        return Err(ApiError::cross_site().into_response());
    }
    let operator = gate.operator(headers, Instant::now());
    match (access, operator) {
        (Access::Public, operator) => Ok(Who { operator, caller: None }),
        (Access::Operator, None) => Err(ApiError::unauthenticated().into_response()),
        (Access::OperatorPage, None) => Err(Redirect::to("/login").into_response()),
        (Access::Holder, None) => {
            let key = signer(request).map_err(|error| error.into_response())?;
            Ok(Who { operator: None, caller: Some(Caller::Key(key)) })
        }
        (Access::Operator | Access::Holder, Some(operator)) => {
            let given = headers.get(crate::access::CSRF_HEADER).and_then(|value| value.to_str().ok());
            if changes(method) && !Gate::same_site(&operator, given) {
                return Err(ApiError::cross_site().into_response());
            }
            let caller = (access == Access::Holder).then_some(Caller::Operator);
            Ok(Who { operator: Some(operator), caller })
        }
        // A page's form carries its token in a field: its handler looks at it.
        (Access::OperatorPage, Some(operator)) => Ok(Who { operator: Some(operator), caller: None }),
    }
}

/// Who signed a request. The routes that ask have no body, so it is signed over an empty one.
fn signer(request: &Request) -> Result<PublicKey, ApiError> {
    let value = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let value = value.filter(|value| value.starts_with(request::SCHEME)).ok_or_else(|| ApiError::unsigned(None))?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    SignedRequest::check(value, request.method().as_str(), path, b"", now_ms())
        .map_err(|error| ApiError::unsigned(Some(error.to_string())))
}

/// On every answer, errors included.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
    let fixed = [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        ("cache-control", "no-store"),
    ];
    for (name, value) in fixed {
        // A download has a stricter policy of its own, an asset may be kept.
        let name = HeaderName::from_static(name);
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
