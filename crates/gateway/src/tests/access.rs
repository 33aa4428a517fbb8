//! Who may: generated from the table of routes.

use super::{alone, connected, multipart};
use crate::access::{Access, COOKIE};
use crate::limits::PUBLIC_UPLOADS;
use crate::routes::table;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};

/// A key that nothing has.
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// The path with identifiers in it that nothing has.
fn filled(path: &str) -> String {
    let zero = "0".repeat(64);
    path.replace("{record}", &zero)
        .replace("{hash}", &zero)
        .replace("{name}", "style.css")
        .replace("{chain}", "emr")
        .replace("{first_seq}", "0")
        .replace("{key}", KEY)
        .replace("{link}", &zero)
}

/// Who asks, with what, and whether that is the operator.
type Role = (&'static str, Option<(header::HeaderName, String)>, bool);

fn roles(token: &str, cookie: &str) -> Vec<Role> {
    let bearer = |text: &str| Some((header::AUTHORIZATION, text.to_owned()));
    let flipped: String = token.chars().rev().collect();
    vec![
        ("nobody", None, false),
        ("wrong token", bearer(&format!("Bearer {}", "0".repeat(64))), false),
        ("reversed token", bearer(&format!("Bearer {flipped}")), false),
        ("token cut short", bearer(&format!("Bearer {}", &token[..63])), false),
        ("token and more", bearer(&format!("Bearer {token}0")), false),
        ("other scheme", bearer(&format!("Basic {token}")), false),
        ("no scheme", bearer(token), false),
        ("empty token", bearer("Bearer "), false),
        ("invented session", Some((header::COOKIE, format!("{COOKIE}={}", "a".repeat(64)))), false),
        ("token as session", Some((header::COOKIE, format!("{COOKIE}={token}"))), false),
        ("session", Some((header::COOKIE, cookie.to_owned())), true),
        ("operator", bearer(&format!("Bearer {token}")), true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix_of_roles_and_routes() {
    let (rig, _node, _serving) = connected(&["North"]).await;
    let (cookie, _) = rig.log_in().await;
    let mut cases = 0;
    for route in table().iter().filter(|route| route.path != "/api/v1/events") {
        for (role, credential, operator) in roles(&rig.token, &cookie) {
            if (route.path, role) == ("/logout", "session") {
                continue;
            }
            let mut request = Request::builder().method(route.method).uri(filled(route.path));
            if let Some((name, value)) = credential {
                request = request.header(name, value);
            }
            let answer = rig.send(request.body(Body::empty()).unwrap()).await;
            let (status, what) = (answer.status, format!("{role}: {} {}", route.method, route.path));
            let session_changes = role == "session" && route.method != "GET";
            match (route.access, operator) {
                (Access::Operator | Access::Holder, false) => {
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}");
                }
                (Access::OperatorPage, false) => {
                    assert_eq!((status, answer.header("location")), (StatusCode::SEE_OTHER, "/login"), "{what}");
                }
                // A session alone changes nothing: the page token is missing.
                (Access::Operator | Access::Holder, true) if session_changes => {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{what}");
                }
                _ => {
                    assert!(!matches!(status, StatusCode::UNAUTHORIZED) || route.path == "/login", "{what}: {status}");
                    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{what}");
                }
            }
            cases += 1;
        }
    }
    assert!(cases >= 200, "{cases}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_forbidden_look_the_same() {
    let (rig, _node, _serving) = connected(&["North"]).await;
    let taken = rig.publish("text/plain", "there").await;
    let there = format!("/api/v1/records/{}", taken["record"].as_str().unwrap());
    for rest in ["", "/opening", "/receipt", "/status"] {
        let paths = [
            format!("{there}{rest}"),
            filled(&format!("/api/v1/records/{{record}}{rest}")),
            format!("/api/v1/records/%2e%2e{rest}"),
        ];
        let mut answers = Vec::new();
        for path in paths {
            let answer = rig.anonymous("GET", &path).await;
            answers.push((answer.status, answer.body, answer.headers));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{rest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_publishes_with_its_page_token_only() {
    let (rig, node, _serving) = connected(&["North"]).await;
    let (cookie, csrf) = rig.log_in().await;
    let publish = async |token: Option<&str>| {
        rig.with_cookie("POST", "/api/v1/records", &cookie, token, Body::from("bytes")).await
    };
    publish(None).await.expect_error(403, "forbidden");
    publish(Some("0000")).await.expect_error(403, "forbidden");
    let (_, others) = rig.log_in().await;
    publish(Some(&others)).await.expect_error(403, "forbidden");
    assert_eq!(node.pending(), 0);
    assert_eq!(publish(Some(&csrf)).await.status, StatusCode::ACCEPTED);

    // The page's own form carries it in a field.
    let (media_type, body) = multipart(&[("files", Some("a"), None, b"x"), ("csrf", None, None, b"wrong")]);
    let form = async |body: Vec<u8>, site: &str| {
        let request = Request::post("/publish").header(header::COOKIE, &cookie).header("sec-fetch-site", site);
        rig.send(request.header(header::CONTENT_TYPE, &media_type).body(body.into()).unwrap()).await
    };
    assert_eq!(form(body, "same-origin").await.status, StatusCode::FORBIDDEN);
    let (_, good) = multipart(&[("files", Some("a"), None, b"x"), ("csrf", None, None, csrf.as_bytes())]);
    assert_eq!(form(good.clone(), "cross-site").await.status, StatusCode::FORBIDDEN);
    assert_eq!(node.pending(), 1);
    assert_eq!(form(good, "same-origin").await.status, StatusCode::SEE_OTHER);
    assert_eq!(node.pending(), 2);

    let leave = |csrf: String| {
        let request = Request::post("/logout").header(header::COOKIE, &cookie);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        rig.send(request.body(format!("csrf={csrf}").into()).unwrap())
    };
    assert_eq!(leave("wrong".into()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(leave(csrf.clone()).await.status, StatusCode::SEE_OTHER);
    publish(Some(&csrf)).await.expect_error(401, "unauthenticated");
}

#[tokio::test]
async fn the_cookie_is_out_of_reach() {
    let rig = alone();
    let request = Request::post("/login").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let body = format!("token={}", rig.token);
    let answer = rig.send(request.header("x-forwarded-proto", "https").body(body.into()).unwrap()).await;
    let cookie = answer.header("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(&rig.token));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_security_headers() {
    let (rig, _node, _serving) = connected(&["North"]).await;
    let mut paths: Vec<String> = table().iter().map(|route| filled(route.path)).collect();
    paths.retain(|path| path != "/api/v1/events");
    paths.extend(["/nothing".into(), "/api/v1/nothing".into(), "/assets/nothing".into()]);
    for path in paths {
        let answer = rig.get(&path).await;
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src '"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(!answer.header("cache-control").is_empty(), "{path}");
    }
}

/// A body that never comes to its end.
fn endless() -> Body {
    Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_send_slowly_keep_no_operator_from_publishing() {
    let (rig, _node, _serving) = connected(&["North"]).await;
    let slow = (0..PUBLIC_UPLOADS + 2).map(|_| {
        let content_type = "multipart/form-data; boundary=x";
        let request = Request::post("/api/v1/verify").header(header::CONTENT_TYPE, content_type);
        let (router, request) = (rig.router.clone(), request.body(endless()).unwrap());
        tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await })
    });
    let slow: Vec<_> = slow.collect();
    // They hold every place of strangers before the operator comes.
    for _ in 0..200 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        if rig.gateway.free_public_uploads() == 0 {
            break;
        }
    }
    assert_eq!(rig.gateway.free_public_uploads(), 0);
    let publish = rig.call("POST", "/api/v1/records", &[("content-type", "text/plain")], b"a record".to_vec());
    let answer = tokio::time::timeout(super::PATIENCE, publish).await.expect("the operator has places of its own");
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}
